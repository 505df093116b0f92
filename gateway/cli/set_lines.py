"""Layer 9: values to set as JSON lines, and values written on a command line."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import msgspec

from gateway.cli.duration import seconds_of
from gateway.cli.set_result import Result, Terms, put, refused
from gateway.cli.talk import MAX_REQUEST_BYTES, Conversation
from gateway.errors import UsageError


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    route: str
    value: Any
    wait: str | float | None = None
    expires: str | float | None = None
    key: str | None = None

    def terms(self, usual: Terms) -> Terms:
        """Return the terms of this line. Raises: UsageError for a duration that is none."""
        wait_s = usual.wait_s if self.wait is None else seconds_of(self.wait)
        expires_s = usual.expires_s if self.expires is None else seconds_of(self.expires)
        return Terms(wait_s=wait_s, expires_s=expires_s, key=self.key)


def word_or_json(text: str) -> Any:
    """Return JSON where the text is some, else the text itself: `1500`, `true`, `"5"`, `[1, 2]`, `heating`.

    Raises: UsageError for what looks like an option.
    """
    try:
        return json_value(text)
    except (ValueError, RecursionError):
        if text.startswith("-"):
            raise UsageError(
                f"set has no option {text[:40]}; a text that begins with a dash is written as JSON, '\"-off\"'"
            ) from None
        return text


def json_value(text: str) -> Any:
    """Return the JSON in `text`. Raises: ValueError, RecursionError.

    What JSON cannot say (NaN, Infinity, 1e999) stays text: it is the gateway that refuses it, and records that.
    """
    return json.loads(text, parse_constant=str, parse_float=_finite)


def set_lines(gateway: Conversation, lines: BinaryIO, usual: Terms, show: Callable[[Result], None]) -> int:
    """Set the value of each line, show what became of it, then take the next; return the worst exit code.

    A line that makes no sense has its answer like any other. Raises: GatewayUnreachableError.
    """
    worst = 0
    for line in _bounded(lines):
        result = _answer(gateway, line, usual)
        show(result)
        worst = max(worst, result.exit_code)
    return worst


def _answer(gateway: Conversation, line: bytes, usual: Terms) -> Result:
    told: Any = None
    try:
        if len(line) > MAX_REQUEST_BYTES:
            raise UsageError(f"a line is at most {MAX_REQUEST_BYTES:,} bytes long")
        told = json_value(line.decode())
        wanted = msgspec.convert(told, _Line)
        terms = wanted.terms(usual)
    except (ValueError, RecursionError) as error:  # UsageError and msgspec's too
        known = told if isinstance(told, dict) else {}
        route, key = (word if isinstance(word, str) else None for word in (known.get("route"), known.get("key")))
        return refused(route, known.get("value"), key, "malformed", str(error))
    return put(gateway, wanted.route, wanted.value, terms)


def _bounded(lines: BinaryIO) -> Iterator[bytes]:
    """Give lines that say something; one that is too long is cut behind its limit, so that its reader sees it is."""
    while line := lines.readline(MAX_REQUEST_BYTES + 1):
        rest = line
        while len(rest) > MAX_REQUEST_BYTES and not rest.endswith(b"\n"):
            rest = lines.readline(MAX_REQUEST_BYTES + 1)
        if line.strip():
            yield line


def _finite(text: str) -> float | str:
    value = float(text)
    return value if math.isfinite(value) else text
