"""`tidegate hil run`: the tests of a folder, on a rig."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec

import click

from gateway.errors import UsageError


@click.command(name="run", context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]})
@click.argument("arguments", metavar="[PYTEST ARGUMENTS]", nargs=-1, type=click.UNPROCESSED)
def command(arguments: tuple[str, ...]) -> None:
    """Run tests on a rig: pytest, with the options that begin with --hil.

    \b
    For example:
      tidegate hil run                                    on the simulated rig
      tidegate hil run --hil-rig bench.toml --hil-all     over all targets of a rig file
      tidegate hil run --hil-record run1 --hil-seed 7     keep traces and results
      tidegate hil run --hil-repeat 50 -k retries         hunt a flaky test, and the faults that matter in it

    Exit codes are pytest's: 0 all passed, 1 some failed, 4 wrong options, rig file or target, 5 no tests.
    """  # noqa: D301 - click keeps the lines behind its mark
    if find_spec("pytest") is None:
        raise UsageError("running tests needs the `hil` extra: pip install 'tidegate[hil]'")
    os.execv(sys.executable, [sys.executable, "-m", "pytest", *arguments])  # noqa: S606 - in our place: it takes signals, and imports what it tests
