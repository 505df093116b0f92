"""Run B against run A: which figures got worse by more than they may. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from gateway.errors import UsageError
from gateway.spelling import did_you_mean
from hil.report.figures import Figure

_LIMIT: Final = re.compile(r"(.+)=([+-]?)([0-9]+(?:\.[0-9]+)?)(%?)")


class Limit(NamedTuple):
    """How much worse a figure may get."""

    amount: float
    is_percent: bool
    sign: str = ""  # which way is worse, of a figure of which nobody can say: "" either

    def text(self, worse: int) -> str:
        """Return it as people write it, with the sign of what is worse."""
        sign = {-1: "-", 1: "+"}.get(worse, self.sign or "±")
        return f"{sign}{self.amount:g}{'%' if self.is_percent else ''}"

    def worse_by(self, change: float, worse: int) -> float:
        """Return how much worse a change is."""
        worse = worse or {"-": -1, "+": 1}.get(self.sign, 0)
        return change * worse if worse else abs(change)


NONE_WORSE: Final = Limit(0.0, is_percent=False)


class Row(NamedTuple):
    """One figure of both runs."""

    name: str
    a: float | None
    b: float | None
    unit: str
    change: float | None
    limit: str | None
    is_within: bool

    def facts(self) -> dict[str, Any]:
        """Return what `--json` shows."""
        return {**{name: getattr(self, name) for name in self._fields[:-1]}, "pass": self.is_within}


def read_limit(text: str) -> tuple[str, Limit]:
    """Return the name and the limit of "NAME=+10%" or "NAME=+5". Raises: UsageError."""
    match = _LIMIT.fullmatch(text)
    if match is None:
        raise UsageError(f"--limit {text}: write NAME=+10% or NAME=+5, for example latency_p99=+10%")
    return match[1], Limit(float(match[3]), is_percent=bool(match[4]), sign=match[2])


def compare(
    before: Mapping[str, Figure], after: Mapping[str, Figure], limits: Sequence[tuple[str, Limit]] = ()
) -> list[Row]:
    """Return a row for each figure of either run. Without a limit of its own a figure may not get worse at all.

    Of a measurement with a minimum and a maximum, or with neither, nobody can say what is worse. It is held to a limit
    if it is given one, and that limit's sign says it: `+5` more, `-5` less, `5` both. What A had and B has no more
    fails where it is given a limit: nobody can say that B keeps it.
    Raises: UsageError for a limit on what neither run has.
    """
    given = dict(limits)
    names = [*before, *(name for name in after if name not in before)]
    for name in given:
        if name not in names:
            raise UsageError(f"--limit {name}: neither run has it{did_you_mean(name, names)}")
    return [_row(name, before.get(name), after.get(name), given.get(name)) for name in names]


def _row(name: str, before: Figure | None, after: Figure | None, limit: Limit | None) -> Row:
    known = after or before
    assert known is not None
    a, b = (None if each is None else each.value for each in (before, after))
    if known.worse == 0 and limit is None:
        return Row(name, a, b, known.unit, _change(a, b), None, is_within=True)
    is_held = limit is not None or name == "coverage"
    limit = limit or NONE_WORSE
    text = limit.text(known.worse)
    if a is None or b is None:  # what only one of them has cannot have got worse; what A had and B is held to is missed
        return Row(name, a, b, known.unit, None, text, is_within=a is None or not is_held)
    worse_by = limit.worse_by(b - a, known.worse)
    allowed = abs(a) * limit.amount / 100 if limit.is_percent else limit.amount
    return Row(name, a, b, known.unit, _change(a, b), text, is_within=worse_by <= allowed + 1e-9 * max(abs(a), abs(b)))


def _change(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else round(b - a, 9)
