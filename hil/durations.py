"""Durations as people who write tests give them."""

from __future__ import annotations

from typing import Final

from gateway.notation import duration_ns

__tracebackhide__ = True  # pytest shows the line of the test instead

_NS: Final = 1_000_000_000

Duration = str | int  # "250ms" as in profiles, or nanoseconds
Timeout = str | float  # "250ms", or seconds, as everywhere in Python


def ns(value: Duration) -> int:
    """Return nanoseconds of "250ms" or of a whole number of them; "17ns" too. Raises: ValueError."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"{value!r} is no duration; write for example '250ms', or whole nanoseconds")  # noqa: TRY004 - one error
    if isinstance(value, int):
        if value < 0:
            raise ValueError(f"{value} ns is no duration; it is below zero")
        return value
    digits = value.removesuffix("ns")
    return int(digits) if digits != value and digits.isascii() and digits.isdigit() else duration_ns(value)


def timeout_ns(value: Timeout) -> int:
    """Return nanoseconds of "250ms" or of a number of seconds. Raises: ValueError."""
    if isinstance(value, str):
        return ns(value)
    if isinstance(value, bool) or not 0 <= value < 1e9:
        raise ValueError(f"{value!r} is no timeout; write seconds, or for example '250ms'")
    return round(value * _NS)
