"""Layer 2: when two decoded values are the same, and the coherence of desired, reported and effective. Pure.

Values are what `decode` gives: numbers, booleans, texts (labels too), lists of them, tables. None is no value.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Any, Final

SLACK_ULP: Final = 4  # what scaling and subtracting doubles may cost: 21.0 and 20.9 differ by 0.1, not by more


class Coherence(StrEnum):
    """How far a setpoint's shadow can be trusted (DESIGN 7)."""

    UNKNOWN = "UNKNOWN"  # nothing was ever reported
    STALE = "STALE"  # what was reported is too old to say anything about now
    STABLE = "STABLE"  # the device is where it should be, or nobody wants anything
    PENDING = "PENDING"  # a command is under way
    CLAMPED = "CLAMPED"  # the device took another value instead, and stays with it
    DIVERGED = "DIVERGED"  # it is not where it should be, and nothing is under way


def coherence(
    desired: Any, reported: Any, effective: Any, *, tolerance: float, is_stale: bool, is_open: bool
) -> Coherence:
    """Return the coherence of desired D, reported R and effective E, each None where there is none; first match wins.

    `is_stale` says that R is older than its `stale_after` or from before this boot or the last loss of the device,
    `is_open` that a command of this setpoint has no outcome yet.
    """
    if reported is None:
        return Coherence.UNKNOWN
    if is_stale:
        return Coherence.STALE
    if desired is None or agree(reported, desired, tolerance):
        return Coherence.STABLE
    if is_open:
        return Coherence.PENDING
    if effective is not None and not agree(effective, desired, tolerance):
        return Coherence.CLAMPED
    return Coherence.DIVERGED


def agree(one: Any, other: Any, tolerance: float) -> bool:
    """Return whether two values are the same: numbers within `tolerance`, everything else exactly.

    True is 1 (a one-bit field may report what a byte was written to), but no tolerance makes on the same as off.
    NaN and infinity are the same as nothing, not even themselves.
    """
    if _is_number(one) and _is_number(other):
        return _near(one, other, tolerance)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(
            agree(mine, yours, tolerance) for mine, yours in zip(one, other, strict=True)
        )
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(agree(value, other[name], tolerance) for name, value in one.items())
    return bool(one == other)


def is_storable(value: Any) -> bool:
    """Return whether a shadow may hold `value`: something, and no NaN or infinity anywhere in it."""
    return value is not None and _is_finite(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _near(one: float, other: float, tolerance: float) -> bool:
    if isinstance(one, int) and isinstance(other, int):
        return abs(one - other) <= tolerance
    if not (_is_finite(one) and _is_finite(other)):
        return False
    try:
        return abs(one - other) <= tolerance + SLACK_ULP * math.ulp(max(abs(one), abs(other)))
    except OverflowError:  # an integer beyond every double
        return False


def _is_finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, list):
        return all(map(_is_finite, value))
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    return True
