"""What holds for the whole suite."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

HIL = Path(__file__).with_name("hil")

settings.register_profile("suite", deadline=None)  # a test proves an end, not a speed: machines are busy
settings.load_profile("suite")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Give a run of `hil` alone one worker more than cores: a third of its time it waits for processes and wires."""
    folders = [Path(config.invocation_params.dir, argument.partition("::")[0]).resolve() for argument in config.args]
    return (os.cpu_count() or 1) + 1 if all(each == HIL or HIL in each.parents for each in folders) else None
