"""What a test measured: a number with a name, a unit and limits, as people and reports read it.

Names, units and numbers are such that `NAME = "VALUE UNIT"` can stand in a report as it is.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Final, Literal

__tracebackhide__ = True  # pytest shows the line of the test instead

Verdict = Literal["pass", "marginal", "fail"]

_NAME: Final = re.compile(r"\w[\w./-]*( [\w./-]+)*")
_MAX_CHARACTERS: Final = 100
_LARGEST: Final = sys.float_info.max
_OURS: Final = "hil."  # properties that reports add themselves


class OutOfLimitsError(AssertionError):
    """A measurement is outside its limits."""

    def __init__(self, measurement: Measurement) -> None:
        super().__init__(f"{measurement.name} = {measurement.text} is {measurement.why}")
        self.measurement = measurement


@dataclass(frozen=True, slots=True)
class Measurement:
    """A measured number. Raises: ValueError for a wrong name or unit, or for numbers that are none or no limits.

    Limits are inclusive and in the unit of the value, as is `margin`: a value nearer to a limit passes, marginally.
    """

    name: str  # words of letters, digits and . / _ -
    value: float
    unit: str = ""  # empty where there is none
    minimum: float | None = None
    maximum: float | None = None
    margin: float = 0

    def __post_init__(self) -> None:
        """Check the parts, and make plain numbers of numpy's and of fractions."""
        _check_name(self.name)
        _check_unit(self.name, self.unit)
        for part in ("value", "minimum", "maximum", "margin"):
            given = getattr(self, part)
            if given is not None or part in {"value", "margin"}:
                object.__setattr__(self, part, _plain(f"{part} of {self.name}", given))
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"{self.name}: its minimum {self.minimum!r} is above its maximum {self.maximum!r}")
        if self.margin < 0:
            raise ValueError(f"{self.name}: its margin {self.margin!r} is below zero")

    @property
    def text(self) -> str:
        """The value in its shortest exact form, with its unit: `12.5 mA`."""
        return f"{self.value!r} {self.unit}".rstrip()

    @property
    def limits(self) -> str:
        """The limits as `1 to 20 mA`, `at least 1 mA`, `at most 20 mA`, or nothing."""
        if self.minimum is not None and self.maximum is not None:
            return f"{self.minimum!r} to {self.maximum!r} {self.unit}".rstrip()
        if self.minimum is not None:
            return f"at least {self.minimum!r} {self.unit}".rstrip()
        return f"at most {self.maximum!r} {self.unit}".rstrip() if self.maximum is not None else ""

    @property
    def why(self) -> str:
        """Which limit is missed, with both limits: `above its maximum of 20 mA (1 to 20 mA)`; nothing if none is."""
        if self.minimum is not None and self.value < self.minimum:
            missed = f"below its minimum of {self.minimum!r} {self.unit}"
        elif self.maximum is not None and self.value > self.maximum:
            missed = f"above its maximum of {self.maximum!r} {self.unit}"
        else:
            return ""
        both = self.minimum is not None and self.maximum is not None
        return f"{missed.rstrip()} ({self.limits})" if both else missed.rstrip()

    @property
    def verdict(self) -> Verdict:
        """How the value stands to its limits."""
        if self.why:
            return "fail"
        near = (self.minimum is not None and self.value - self.minimum < self.margin) or (
            self.maximum is not None and self.maximum - self.value < self.margin
        )
        return "marginal" if near else "pass"

    def check(self) -> None:
        """Raise OutOfLimitsError, an AssertionError, where the value is outside its limits."""
        if self.why:
            raise OutOfLimitsError(self)


def _check_name(name: str) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > _MAX_CHARACTERS:
        words = "write words of letters, digits and . / _ -, for example 'supply_current'"
        raise ValueError(f"{name!r:.120} is no name of a measurement; {words}")
    if name.startswith(_OURS):
        raise ValueError(f"{name!r} is no name of a measurement: reports use {_OURS}* themselves")


def _check_unit(name: str, unit: str) -> None:
    if not isinstance(unit, str) or not unit.isprintable() or unit != unit.strip() or len(unit) > _MAX_CHARACTERS:
        raise ValueError(f"{name}: {unit!r:.120} is no unit; write for example 'mA', or '' for none")


def _plain(what: str, number: Any) -> float:
    if not isinstance(number, bool) and isinstance(number, Real) and abs(number) <= _LARGEST:  # type: ignore[operator]
        return int(number) if isinstance(number, Integral) else float(number)
    raise ValueError(f"{what} is {type(number).__name__} {number!s:.60}; give a finite number")
