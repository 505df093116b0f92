"""A pytest plugin for the inside of a guest: writes how many tests ended how, for the rig to add up.

python -m pytest -p hil.kernel.report        with TIDEGATE_RIG_REPORT=/run/rig/report.json
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.environment import variable
from hil.kernel.totals import OUTCOMES


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
    """Write the report where the rig wants it."""
    named = variable("TIDEGATE_RIG_REPORT")
    if named is None:
        return
    counts = {outcome: len(terminalreporter.stats.get(outcome, ())) for outcome in OUTCOMES}
    Path(named).write_text(json.dumps({"exit": int(exitstatus), "counts": counts}), encoding="utf-8")
