"""Figures of a recorded run, from its traces and results. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from hil.measure import Measurement
from hil.report.results import Result


class Figure(NamedTuple):
    """One number of a run. `worse`: +1 where more is worse, -1 where less is, 0 where nobody can say."""

    value: float | None
    unit: str
    worse: int


class Exchange(NamedTuple):
    """What was asked and answered on the buses of one trace."""

    latencies_ns: tuple[int, ...]
    retries: int
    errors: int
    unanswered: dict[str, int]  # sends to which nothing came, by bus
    answered: frozenset[str]  # the buses on which anything came in answer


def exchange_of(records: Iterable[Any]) -> Exchange:
    """Return how a trace's buses did.

    A latency is from a send to the first thing received after it on that bus and before the next send. A retry is a
    send that repeats the one before it, to which nothing came. An error is a record with error flags, or an error
    frame.
    """
    latencies: list[int] = []
    waiting: dict[str, Any] = {}  # the last send of each bus, until it is answered
    unanswered: dict[str, int] = {}
    answered: set[str] = set()
    retries = errors = 0
    for record in records:
        if record.dir not in ("rx", "tx"):
            continue
        errors += record.kind == "error" or bool(record.extra.get("errors"))
        before = waiting.pop(record.bus, None)
        if record.dir == "tx":
            if before is not None:
                unanswered[record.bus] = unanswered.get(record.bus, 0) + 1
                retries += _same(before, record)
            if record.kind == "transfer":  # it carries its answer
                answered.add(record.bus)
            else:
                waiting[record.bus] = record
        elif before is not None:
            answered.add(record.bus)
            latencies.append(record.t_ns - before.t_ns)
    for bus in waiting:
        unanswered[bus] = unanswered.get(bus, 0) + 1
    return Exchange(tuple(latencies), retries, errors, unanswered, frozenset(answered))


def answering(exchanges: Iterable[Exchange]) -> frozenset[str]:
    """Return the buses that answer at all."""
    return frozenset[str]().union(*(each.answered for each in exchanges))


def figures_of(
    results: Sequence[Result], exchanges: Sequence[Exchange], buses: Collection[str] = ()
) -> dict[str, Figure]:
    """Return a run's figures by name. A drop is a send to which nothing came, on a bus that answers.

    `buses`: those that are known to; else those that did in this run.
    """
    buses = buses or answering(exchanges)
    latencies = sorted(latency for each in exchanges for latency in each.latencies_ns)
    figures = {
        "latency_p99": Figure(_p99(latencies) / 1e6 if latencies else None, "ms", 1),
        "retries": Figure(sum(each.retries for each in exchanges), "", 1),
        "errors": Figure(sum(each.errors for each in exchanges), "", 1),
        "drops": Figure(sum(each.unanswered.get(bus, 0) for each in exchanges for bus in buses), "", 1),
        "coverage": Figure(coverage_of(results), "%", -1),
        "failed_tests": Figure(sum(each.outcome in {"failed", "unknown"} for each in results), "", 1),
    }
    return figures | _measured(results)


def coverage_of(results: Iterable[Result]) -> float | None:
    """Return which part of the values and setpoints of the profiles in use was exercised, in percent."""
    known: set[tuple[str, str]] = set()
    exercised: set[tuple[str, str]] = set()
    for result in results:
        for about in result.covered.values():
            for part in ("values", "setpoints"):
                known |= {(about["profile"], name) for name in about[part]["all"]}
                exercised |= {(about["profile"], name) for name in about[part]["exercised"]}
    return round(100 * len(exercised & known) / len(known), 3) if known else None


def _same(one: Any, other: Any) -> bool:
    return (one.kind, one.data, one.extra.get("id")) == (other.kind, other.data, other.extra.get("id"))


def _p99(in_order: Sequence[int]) -> int:
    """Return the nearest-rank percentile."""
    return in_order[math.ceil(0.99 * len(in_order)) - 1]


def _measured(results: Iterable[Result]) -> dict[str, Figure]:
    """Return each measurement's worst value over all tests that took it."""
    found: dict[str, list[Measurement]] = {}
    for result in results:
        for each in result.measurements:
            found.setdefault(f"measure.{each.name}", []).append(each)
    figures = {}
    for name, taken in sorted(found.items()):
        worse = _worse(taken[0])
        values = [each.value for each in taken]
        figures[name] = Figure(min(values) if worse < 0 else max(values), taken[0].unit, worse)
    return figures


def _worse(measured: Measurement) -> int:
    """Return which way is worse: towards its only limit; with both or none nobody can say."""
    if (measured.minimum is None) == (measured.maximum is None):
        return 0
    return 1 if measured.minimum is None else -1
