"""Records as people read them: a line each. Pure."""

from __future__ import annotations

import json
from typing import Any, Final

from gateway.plain import printable
from hil.trace.record import Record

_MOST_BYTES: Final = 64
_MOST_CHARS: Final = 200
_ARROWS: Final = {"rx": "<", "tx": ">", "fault": "!", "note": "#"}
_HIDDEN: Final = frozenset({"source", "source_hex"})


def text_of(record: Record) -> str:
    """Return `seconds bus < kind id data |text| key=value`, nothing in it that a terminal would obey."""
    extra = {key: value for key, value in record.extra.items() if key not in _HIDDEN}
    parts = [
        f"{seconds(record.t_ns):>14}",
        f"{record.bus or '-':<6}",
        _ARROWS.get(record.dir, "?"),
        f"{record.kind:<8}",
    ]
    if "id" in extra:
        parts.append(f"{extra.pop('id')!s:>8}")
    if "text" in extra and record.dir == "note":
        parts.append(str(extra.pop("text")))
    if record.data:
        parts.append(_bytes(record.payload))
    parts += [f"{key}={_value(value)}" for key, value in sorted(extra.items())]
    return printable(" ".join(parts).rstrip())


def seconds(t_ns: int) -> str:
    """Return a time on the trace as seconds: six digits, nine where they say something."""
    whole, rest = divmod(abs(t_ns), 1_000_000_000)
    fraction = f"{rest:09d}"
    return f"{'-' if t_ns < 0 else ''}{whole}.{fraction if rest % 1000 else fraction[:6]}"


def _bytes(payload: bytes) -> str:
    shown = payload[:_MOST_BYTES]
    more = f" ... ({len(payload)} bytes)" if len(payload) > _MOST_BYTES else ""
    letters = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in shown)
    return f"{shown.hex(' ')}{more} |{letters}|"


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text if len(text) <= _MOST_CHARS else f"{text[:_MOST_CHARS]}..."
