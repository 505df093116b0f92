"""Dates in ISO 8601 as nanoseconds since 1970 and back, exactly. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from gateway.errors import UsageError

NS: Final = 1_000_000_000
LOWEST_S: Final = -62_135_596_800  # year 1
HIGHEST_S: Final = 253_402_300_799  # year 9999
_ISO: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d:\d\d)(?:\.(\d{1,30}))?(Z|[+-]\d\d:\d\d)?)?", re.ASCII
).fullmatch


def iso_of(wall_ns: int) -> str:
    """Return a date with as many digits as it needs: 2026-11-28T12:00:00.25Z. Raises: UsageError beyond year 9999."""
    seconds, rest = divmod(wall_ns, NS)
    if not LOWEST_S <= seconds <= HIGHEST_S:
        raise UsageError(f"{seconds} s since 1970 is in no year from 1 to 9999")
    days, second = divmod(seconds - LOWEST_S, 86_400)
    date = datetime.fromordinal(days + 1).date().isoformat()
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{date}T{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}{fraction}Z"


def ns_of(text: str) -> int:
    """Return nanoseconds since 1970 of a date as in ISO 8601; without a zone it is UTC. Raises: UsageError."""
    found = _ISO(text)
    date, time, fraction, zone = found.groups() if found else ("", None, None, None)
    zone = "+00:00" if zone in (None, "Z") else zone
    try:
        moment = datetime.fromisoformat(f"{date}T{time or '00:00:00'}{zone}")
    except ValueError:
        raise UsageError(f"{text[:40]!r} is no date and time; write for example 2026-11-28T12:00:00Z") from None
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * NS + int((fraction or "").ljust(9, "0")[:9])
