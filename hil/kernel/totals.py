"""What the guests' pytests found, added up: pytest's summary line, and the reasons why it is not good enough. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

OUTCOMES: Final = ("failed", "passed", "skipped", "deselected", "xfailed", "xpassed", "error")  # in pytest's order
MUST_BE_NONE: Final = ("failed", "error", "skipped", "xfailed", "xpassed")
LEAST_PASSED: Final = 40


class Result(NamedTuple):
    """What one guest reported; without a report, why there is none."""

    guest: str
    exit_code: int = 0
    counts: Mapping[str, int] = {}
    fault: str = ""


def result_of(guest: str, report: str) -> Result:
    """Read the report that `hil.kernel.report` wrote."""
    try:
        found = json.loads(report)
        counts = {outcome: int(found["counts"][outcome]) for outcome in OUTCOMES}
        return Result(guest, int(found["exit"]), counts)
    except (ValueError, KeyError, TypeError) as error:
        return Result(guest, fault=f"its report cannot be read ({type(error).__name__}: {error})")


def reasons(results: Sequence[Result], least_passed: int = LEAST_PASSED) -> list[str]:
    """Return why the rig has failed; empty when all is well."""
    found = []
    for result in results:
        if result.fault:
            found.append(f"{result.guest}: {result.fault}")
            continue
        bad = [f"{result.counts[outcome]} {outcome}" for outcome in MUST_BE_NONE if result.counts.get(outcome)]
        if bad:
            found.append(f"{result.guest}: {', '.join(bad)}")
        elif not result.counts.get("passed"):
            found.append(f"{result.guest}: no test ran")
        elif result.exit_code != 0:
            found.append(f"{result.guest}: pytest ended with exit code {result.exit_code}")
    if not results:
        found.append("no guest ran")
    passed = totals(results)["passed"]
    if passed < least_passed:
        found.append(f"{passed} tests passed, the rig wants at least {least_passed}")
    return found


def totals(results: Sequence[Result]) -> Counter[str]:
    """Return all counts, added up; a guest without a report counts as an error."""
    counts: Counter[str] = Counter()
    for result in results:
        counts.update(result.counts)
        counts["error"] += bool(result.fault)
    return counts


def summary(results: Sequence[Result], elapsed_s: float, columns: int) -> str:
    """Return pytest's last line for all guests together: `===== 57 passed in 213.45s (0:03:33) =====`."""
    counts = totals(results)
    parts = [f"{counts[outcome]} {_plural(outcome, counts[outcome])}" for outcome in OUTCOMES if counts[outcome]]
    words = f" {', '.join(parts) or 'no tests ran'} in {_duration(elapsed_s)} "
    return words.center(columns, "=") if len(words) < columns - 2 else f"={words}="


def _plural(outcome: str, count: int) -> str:
    return "errors" if outcome == "error" and count > 1 else outcome


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.2f}s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{seconds:.2f}s ({minutes // 60}:{minutes % 60:02d}:{rest:02d})"
