"""Whether moments kept their time: intervals, answers, silence, rates and order, over lists of nanoseconds.

Every function returns the distribution of what it judged, or raises `MissedLimitError`, an AssertionError that carries
it and shows it. Limits are text ("250ms") or whole nanoseconds; one that is met exactly is kept. Without a limit there
is nothing to miss, and the figures are returned. Too few samples, which is none at all, always fail: they show nothing.
Percentiles are of the nearest rank: a sample that was there, never one between two.
Lists are in order of time, as traces are. Raises: ValueError where one is not, or where a limit is no duration.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from itertools import pairwise
from math import inf, isfinite
from typing import Any, Final

from hil.durations import Duration, ns

__tracebackhide__ = True  # pytest shows the line of the test instead

_NS: Final = 1_000_000_000
_WORST: Final = 5  # samples that are named
_BARS: Final = 8
_BAR_CELLS: Final = 40
_NAMED: Final = 10  # requests and names that a message lists

Samples = Sequence[tuple[int, int]]  # (index, ns)


@dataclass(frozen=True, slots=True)
class Distribution:
    """What was measured; each figure is an attribute and an item. Without samples (`count` is 0) all figures are 0."""

    count: int
    p50_ns: int
    p90_ns: int
    p99_ns: int
    max_ns: int
    worst: list[tuple[int, int]]  # (index, ns) of the largest samples, the largest first

    def __getitem__(self, name: str) -> Any:
        """Return a figure by its name. Raises: KeyError."""
        if name not in self.keys():
            raise KeyError(name)
        return getattr(self, name)

    def keys(self) -> list[str]:
        """Return the names of all figures, so that `dict(distribution)` has them."""
        return [field.name for field in fields(self)]


@dataclass(frozen=True, slots=True)
class Rate(Distribution):
    """The intervals between events, and how often one came."""

    per_s: float  # from the first to the last; infinite where no time lies between them


@dataclass(frozen=True, slots=True)
class Order(Distribution):
    """Where the names stand that were asked for; `count` are found, and there are no times."""

    indices: list[int]


class MissedLimitError(AssertionError):
    """A limit was missed; `result` has the figures, as the attributes of the same names do."""

    def __init__(self, message: str, result: Distribution) -> None:
        super().__init__(message)
        self.result = result
        self.count = result.count
        self.p50_ns = result.p50_ns
        self.p90_ns = result.p90_ns
        self.p99_ns = result.p99_ns
        self.max_ns = result.max_ns
        self.worst = result.worst


def period(
    t: Iterable[int],
    nominal: Duration,
    *,
    p50: Duration | None = None,
    p90: Duration | None = None,
    p99: Duration | None = None,
    max: Duration | None = None,  # noqa: A002 - the word that a test wants to say
) -> Distribution:
    """Limit how far intervals are from `nominal`, in either direction: sample i is |t[i+1] - t[i] - nominal|."""
    nominal_ns = ns(nominal)
    samples = [(index, abs(interval - nominal_ns)) for index, interval in _intervals(t)]
    return _judged(f"jitter around {time_text(nominal_ns)}", samples, _limits(p50=p50, p90=p90, p99=p99, max=max))


def latency(
    requests: Iterable[int],
    replies: Iterable[int],
    *,
    p50: Duration | None = None,
    p90: Duration | None = None,
    p99: Duration | None = None,
    max: Duration | None = None,  # noqa: A002 - the word that a test wants to say
) -> Distribution:
    """Limit how long requests wait for their replies.

    The reply of a request is the first one at or after it and before the next request: one that comes unasked, twice or
    too late answers nobody else's question. A sample is the wait of an answered request, with the request's index.
    Where there is any limit, a request without a reply misses it.
    """
    return _answers(requests, replies, _limits(p50=p50, p90=p90, p99=p99, max=max))


def within(requests: Iterable[int], replies: Iterable[int], limit: Duration) -> Distribution:
    """Every request has its reply, as `latency` pairs them, at most `limit` later."""
    return _answers(requests, replies, _limits(max=limit))


def silence(t: Iterable[int], longest: Duration | None = None) -> Distribution:
    """Limit the time in which nothing came, between the first of `t` and the last: sample i is t[i+1] - t[i]."""
    return _judged("silence", _intervals(t), _limits(max=longest))


def rate(t: Iterable[int], *, minimum: float | None = None, maximum: float | None = None) -> Rate:
    """Limit the events per second, from the first to the last: the number of intervals over their sum."""
    lowest, highest = _rate_limit(minimum), _rate_limit(maximum)
    samples = _intervals(t)
    span_ns = sum(interval for _, interval in samples)
    per_s = Fraction(len(samples) * _NS, span_ns) if span_ns else None if samples else Fraction()  # None: infinite
    result = Rate(**_figures(samples), per_s=inf if per_s is None else float(per_s))
    missed = []
    if lowest is not None and per_s is not None and per_s < lowest:
        missed.append(f"rate is {result.per_s:.6g}/s, below its minimum of {minimum}/s")
    if highest is not None and (per_s is None or per_s > highest):
        missed.append(f"rate is {result.per_s:.6g}/s, above its maximum of {maximum}/s")
    _keep("rate", samples, result, missed)
    return result


def order(names: Iterable[Hashable], subsequence: Iterable[Hashable]) -> Order:
    """The names of `subsequence` occur among `names` in its order; others may stand between them.

    `indices` says where: each at its first place behind the one before.
    """
    seen, wanted = list(names), list(subsequence)
    indices: list[int] = []
    places = iter(enumerate(seen))
    for name in wanted:
        place = next((index for index, candidate in places if candidate == name), None)
        if place is None:
            break
        indices.append(place)
    result = Order(len(indices), 0, 0, 0, 0, [], indices)
    if len(indices) == len(wanted):
        return result
    missing = wanted[len(indices)]
    behind = f" behind {seen[indices[-1]]!r} at index {indices[-1]}" if indices else ""
    before = f", but one at index {seen.index(missing)}" if missing in seen else ""
    came = _listed(map(repr, seen[indices[-1] + 1 if indices else 0 :])) or "nothing"
    raise MissedLimitError(f"order: no {missing!r}{behind}{before}; there came {came}", result)


def time_text(time_ns: int) -> str:
    """Return a time as a person reads it, in four digits: `12 ms`, `1.234 us`."""
    for size, unit in ((_NS, "s"), (1_000_000, "ms"), (1_000, "us")):
        if time_ns >= 10_000 * size:
            return f"{time_ns // size} {unit}"
        if time_ns >= size:
            return f"{time_ns / size:.4g} {unit}"
    return f"{time_ns} ns"


def _limits(**limits: Duration | None) -> dict[str, int]:
    return {name: ns(limit) for name, limit in limits.items() if limit is not None}


def _rate_limit(limit: float | None) -> Fraction | None:
    if limit is None:
        return None
    if isinstance(limit, bool) or not isinstance(limit, int | float) or not isfinite(limit) or limit < 0:
        raise ValueError(f"{limit!r} is no rate; write a number of events per second")
    return Fraction(str(limit))  # what was written: 0.1 is a tenth


def _ordered(times: Iterable[int], name: str) -> list[int]:
    ordered = list(times)
    for index, time_ns in enumerate(ordered):
        if isinstance(time_ns, bool) or not isinstance(time_ns, int):
            raise ValueError(f"{name}[{index}] is {time_ns!r}; give times in whole nanoseconds")  # noqa: TRY004 - one error
        if index and time_ns < ordered[index - 1]:
            before = ordered[index - 1]
            raise ValueError(f"{name}[{index}] = {time_ns} is before {name}[{index - 1}] = {before}; sort them by time")
    return ordered


def _intervals(t: Iterable[int]) -> Samples:
    return [(index, after - before) for index, (before, after) in enumerate(pairwise(_ordered(t, "t")))]


def _answers(requests: Iterable[int], replies: Iterable[int], limits: Mapping[str, int]) -> Distribution:
    asked, answered = _ordered(requests, "requests"), _ordered(replies, "replies")
    samples, silent = [], []
    for index, request in enumerate(asked):
        place = bisect_left(answered, request)
        if place == len(answered) or (index + 1 < len(asked) and answered[place] >= asked[index + 1]):
            silent.append(index)
        else:
            samples.append((index, answered[place] - request))
    missed = []
    if silent and limits:
        missed.append(f"{len(silent)} of {len(asked)} requests had no reply before the next: {_listed(silent)}")
    return _judged("latency", samples, limits, missed)


def _judged(what: str, samples: Samples, limits: Mapping[str, int], missed: Iterable[str] = ()) -> Distribution:
    result = Distribution(**_figures(samples))
    over = [
        f"{what}: {name} is {_over(result[name + '_ns'], limit)}"
        for name, limit in limits.items()
        if result[name + "_ns"] > limit
    ]
    _keep(what, samples, result, [*missed, *over])
    return result


def _over(value_ns: int, limit_ns: int) -> str:
    """Return a value and the limit that it missed, in whole ns where they read the same otherwise."""
    value, limit = time_text(value_ns), time_text(limit_ns)
    if value == limit:
        value, limit = f"{value_ns} ns", f"{limit_ns} ns"
    return f"{value}, over its limit of {limit}"


def _figures(samples: Samples) -> dict[str, Any]:
    ranked = sorted(value for _, value in samples)
    return {
        "count": len(ranked),
        "p50_ns": _percentile(ranked, 50),
        "p90_ns": _percentile(ranked, 90),
        "p99_ns": _percentile(ranked, 99),
        "max_ns": _percentile(ranked, 100),
        "worst": sorted(samples, key=lambda sample: (-sample[1], sample[0]))[:_WORST],
    }


def _percentile(ranked: Sequence[int], percent: int) -> int:
    """Return the sample of the nearest rank: the smallest one that `percent` of all samples do not exceed."""
    return ranked[-(-percent * len(ranked) // 100) - 1] if ranked else 0


def _keep(what: str, samples: Samples, result: Distribution, missed: list[str]) -> None:
    """Raise MissedLimitError with the distribution where a limit was missed or nothing was measured."""
    if not samples:
        raise MissedLimitError("\n".join([*missed, f"{what}: too few samples"]), result)
    if missed:
        raise MissedLimitError("\n".join([*missed, *_shown(samples, result)]), result)


def _shown(samples: Samples, result: Distribution) -> list[str]:
    """Return the distribution as lines: figures, a histogram of equal steps, the worst samples."""
    figures = ", ".join(f"{name} {time_text(result[name + '_ns'])}" for name in ("p50", "p90", "p99", "max"))
    lowest = min(value for _, value in samples)
    step = max((result.max_ns - lowest) // _BARS + 1, 1)
    counts = [0] * ((result.max_ns - lowest) // step + 1)
    for _, value in samples:
        counts[(value - lowest) // step] += 1
    bars = [
        f"  from {time_text(lowest + number * step):>9} {'#' * cells:<{_BAR_CELLS}} {count}"
        for number, count in enumerate(counts)
        for cells in [-(-_BAR_CELLS * count // max(counts))]
    ]
    worst = ", ".join(f"[{index}] {time_text(value)}" for index, value in result.worst)
    return [f"  {result.count} samples: {figures}", *bars, f"  worst: {worst}"]


def _listed(things: Iterable[object]) -> str:
    texts = [str(thing) for thing in things]
    return ", ".join(texts[:_NAMED]) + (" ..." if len(texts) > _NAMED else "")
