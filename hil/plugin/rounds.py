"""`--hil-repeat`: rounds of one test, each with its seed, until one fails; then the strikes that matter in it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from _pytest.runner import runtestprotocol

from hil.plugin import output
from hil.plugin.session import Hil

if TYPE_CHECKING:
    from hil.faults.faults import Strike


def run(item: pytest.Item, nextitem: pytest.Item | None, hil: Hil, repeat: int) -> None:
    """Run all rounds and report one: the first that failed, or the last."""
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    own_properties = list(item.user_properties)
    reports: list[Any] = []
    for number in range(repeat):
        reports = _once(item, hil, number, own_properties)
        if any(report.failed for report in reports):
            _minimise(item, hil, reports, own_properties)
            break
        if any(report.skipped for report in reports):
            break
    hil.round, hil.only = 0, None
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    _tear_down(item, nextitem)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)


def _once(item: pytest.Item, hil: Hil, number: int, properties: Sequence[tuple[str, object]]) -> list[Any]:
    """Run one round; what stands above the test's own fixtures stays up."""
    hil.round, hil.last_faults, hil.last_results = number, None, None
    item.user_properties[:] = properties
    item._report_sections.clear()  # noqa: SLF001 - what the rounds before printed
    if hasattr(item, "_initrequest"):
        item._initrequest()  # noqa: SLF001 - fixtures anew, as pytest itself begins them
    return runtestprotocol(item, log=False, nextitem=item.parent)  # type: ignore[arg-type]  # its chain is what stays


def _tear_down(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """End what was kept for a further round, and report what goes wrong with that."""
    setup_state = item.session._setupstate  # noqa: SLF001 - as pytest itself ends it
    call = pytest.CallInfo.from_call(
        lambda: setup_state.teardown_exact(nextitem), "teardown", reraise=(KeyboardInterrupt, pytest.exit.Exception)
    )
    if call.excinfo is not None:
        item.ihook.pytest_runtest_logreport(report=item.ihook.pytest_runtest_makereport(item=item, call=call))


def _minimise(item: pytest.Item, hil: Hil, reports: list[Any], properties: Sequence[tuple[str, object]]) -> None:
    """Find which strikes of the failed round matter, none where there were none, and add them to its reports."""
    from hil.faults.minimise import minimal, schedule_of

    last = hil.last_faults
    if last is None or not _has_failed(reports):
        return
    added, strikes, number, results = last.added, last.strikes, hil.round, hil.last_results

    def fails(kept: Sequence[Strike]) -> bool:
        hil.only = {(strike.ordinal, strike.hit) for strike in kept}
        return _has_failed(_once(item, hil, number, properties))

    with tempfile.TemporaryDirectory(prefix="tidegate-hil-") as folder:
        hil.probes = Path(folder)
        schedule = schedule_of(added, minimal(strikes, fails))
        hil.probes = hil.only = None
    if results is not None:
        output.write_minimal(results, schedule)
    text = json.dumps(schedule, separators=(",", ":"))
    for report in reports:
        report.user_properties.append(("hil.minimal", text))
        if report.failed and strikes:
            report.sections.append(("hil: the faults that matter", text))


def _has_failed(reports: Sequence[Any]) -> bool:
    """Return whether a round failed by what faults can be to blame for: a tear-down comes after them."""
    return any(report.failed and report.when != "teardown" for report in reports)
