"""Layer 9: the JSON lines that `tidegate ledger append` reads: cut from a stream, then each one record or a refusal."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Final

import msgspec

from gateway.errors import RecordError
from gateway.ledger.base import Item
from gateway.ledger.record import MAX_BODY_BYTES, check_route, encode_body, flags_of

MAX_LINE_BYTES: Final = 2 * MAX_BODY_BYTES  # a body of full size, its keys, and blanks for every taste
TOO_LONG: Final = f"a line of more than {MAX_LINE_BYTES:,} bytes; a record's body holds at most {MAX_BODY_BYTES:,}"

_known_route = lru_cache(maxsize=1024)(check_route)


class Line(msgspec.Struct, forbid_unknown_fields=True):
    """One record as it is written in a line."""

    kind: str
    route: str | None  # null: about the whole gateway
    class_: str = msgspec.field(name="class")
    body: msgspec.Raw
    cause: int | None = None


_decode: Final = msgspec.json.Decoder(Line).decode


class Lines:
    """Cuts a stream into lines. Holds one unfinished line of at most MAX_LINE_BYTES, whatever comes."""

    def __init__(self) -> None:
        self._rest = b""
        self._skipping = False  # the end of a line that was too long is still to come

    def feed(self, chunk: bytes) -> Iterator[bytes | None]:
        """Yield every line that has ended, without its end; None for one that was too long."""
        *whole, rest = chunk.split(b"\n")
        if whole:
            whole[0] = self._rest + whole[0]
            self._rest = b""
        for line in whole:
            yield None if self._skipping or len(line) > MAX_LINE_BYTES else line
            self._skipping = False
        if not self._skipping:
            self._rest += rest
            if len(self._rest) > MAX_LINE_BYTES:
                self._rest, self._skipping = b"", True

    def end(self) -> Iterator[bytes | None]:
        """Yield what came behind the last line end, if anything did."""
        if self._skipping or self._rest:
            yield None if self._skipping else self._rest
        self._rest, self._skipping = b"", False


def item_of(line: bytes | None) -> Item:
    """Return what `append_many` takes; the body is the line's own text. Raises: RecordError."""
    if line is None:
        raise RecordError(TOO_LONG)
    try:
        told = _decode(line)
    except (ValueError, RecursionError) as error:
        raise RecordError(_plain(line, error)) from error
    flags_of(told.kind, told.class_, told.cause, 0)
    if told.route is not None:
        _known_route(told.route)
    encode_body(told.body)
    return told.kind, told.route, told.body, told.class_, told.cause


def _plain(line: bytes, error: Exception) -> str:
    """Return what is wrong with a line, in the words of its writer."""
    if not line.strip():
        return "a blank line; write one JSON object a line"
    if isinstance(error, RecursionError):
        return "JSON nested too deep"
    words = str(error)
    if words == "Input data was truncated":
        words = "the line ends inside its JSON, or an escape is half of a surrogate pair"
    if "missing required field" in words or "unknown field" in words:
        return f"{words}; the keys are kind, route, class, body, cause"
    return f"no record: {words}"
