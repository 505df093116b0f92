"""Waiting for the thing itself, as long as a busy machine needs: never for a time that should be enough."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

WITHIN_S: Final = 30.0  # for what is only a matter of time
_LOOK_S: Final = 0.002
T = TypeVar("T")


def until(condition: Callable[[], T], within_s: float = WITHIN_S) -> T:
    """Return what `condition` gives as soon as it is true."""
    end_s = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < end_s, "it never came true"
        time.sleep(_LOOK_S)
    return found


def heard(read: Callable[[], bytes | None], size: int, within_s: float = WITHIN_S) -> bytes:
    """Return at least `size` bytes of what `read` gives, piece by piece: a kernel hands on what it has got so far."""
    data = b""

    def enough() -> bool:
        nonlocal data
        data += read() or b""
        return len(data) >= size

    until(enough, within_s)
    return data


def first_met(attempt: Callable[[], T], is_met: Callable[[T], bool], tries: int = 5) -> T:
    """Return the first of `tries` results that is as promised, else the last.

    For speeds: they are promised of a machine that has the time, and a busy one has it now and then.
    """
    for _ in range(tries - 1):
        if is_met(result := attempt()):
            return result
    return attempt()
