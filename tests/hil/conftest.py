"""What holds for the tests of `hil`."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _light_children() -> Iterator[None]:
    """Spare the runs of pytest that tests start two plugins that no user of `hil` has: over a second of imports each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTEST_ADDOPTS", "-p no:schemathesis -p no:hypothesispytest")
        yield
