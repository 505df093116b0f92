"""Bytes as people who write tests give them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__tracebackhide__ = True  # pytest shows the line of the test instead


def bytes_of(value: Any, least: int = 0, most: int | None = None) -> bytes:
    """Return bytes, given as such or as a list of their numbers.

    Raises: ValueError for what is none, and for fewer than `least` or more than `most`.
    """
    try:
        found = None if isinstance(value, str | int | Mapping | None) else bytes(value)
    except (TypeError, ValueError):
        found = None
    if found is None or len(found) < least:
        least_text = f", at least {least}" if least else ""
        raise ValueError(
            f"{value!r:.60} is no bytes; give bytes{least_text}: b'...', bytes.fromhex('...'), or numbers from 0 to 255"
        )
    if most is not None and len(found) > most:
        raise ValueError(f"{len(found)} bytes: at most {most} go there")
    return found
