"""Layer 0: values, units, ages and times as a person reads them: on a terminal, in a line, in a table.

Text of a device is never trusted: what would move a cursor or break a line is shown as a mark.
"""

from __future__ import annotations

import json
import time
import unicodedata
from typing import Any, Final

SIGNIFICANT_DIGITS: Final = 7  # what a 32-bit float holds: more would show its rounding
MARK: Final = "\N{REPLACEMENT CHARACTER}"


def value_text(value: Any) -> str:
    """Return a value: seven digits, `yes` and `no`, lists with commas, tables as JSON, `-` for nothing."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.{SIGNIFICANT_DIGITS}g}"
    if isinstance(value, list):
        return ",".join(map(value_text, value)) or "none"
    return printable(json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value))


def unit_text(unit: str) -> str:
    """Return a unit as written behind a value; UCUM's 1 is none."""
    return "" if unit == "1" else unit


def age_text(seconds: float | None) -> str:
    """Return an age in at most five cells: `0.3s`, `12s`, `4m`, `3h`, `9d`, `-` for never."""
    if seconds is None:
        return "-"
    if seconds < 10:
        return f"{max(seconds, 0.0):.1f}s"
    for limit_s, size_s, letter in ((120, 1, "s"), (7200, 60, "m"), (172_800, 3600, "h")):
        if seconds < limit_s:
            return f"{seconds / size_s:.0f}{letter}"
    return f"{seconds / 86_400:.0f}d"


def size_text(size: int) -> str:
    """Return a number of bytes in at most eight cells: `512 B`, `4.0 KiB`, `64 MiB`."""
    amount, unit = float(size), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if amount < 1000 or unit == "TiB":
            break
        amount /= 1024
    return f"{amount:.1f} {unit}" if amount < 10 and unit != "B" else f"{amount:.0f} {unit}"


def clock_text(wall_s: float) -> str:
    """Return a wall time, in seconds since 1970, as local `HH:MM:SS.mmm`."""
    return time.strftime("%H:%M:%S", time.localtime(wall_s)) + f".{int(wall_s % 1 * 1000):03}"


def printable(text: str) -> str:
    """Return `text` with everything that a terminal would obey, or that has no width, as a mark."""
    if text.isascii() and text.isprintable():
        return text
    composed = unicodedata.normalize("NFC", text)
    return "".join(
        letter if letter.isprintable() and not unicodedata.combining(letter) else MARK for letter in composed
    )
