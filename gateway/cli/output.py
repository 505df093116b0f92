"""Layer 9: the record lines of `decode`: strict JSON, one line a record, written in big pieces; progress on stderr."""

from __future__ import annotations

import sys
from time import monotonic
from typing import Any, BinaryIO, Final, TextIO

import msgspec

from gateway.frame import MAX_GARBAGE_BYTES
from gateway.taint import names_of

_FLUSH_BYTES: Final = 262_144
_PROGRESS_EVERY_S: Final = 0.5


class Decoded(msgspec.Struct, frozen=True, gc=False):
    """A decoded message, keys in this order."""

    n: int  # of the output, from 1
    t: float | None  # seconds, as in the log
    address: str | None
    message: str
    values: dict[str, Any]
    taints: list[str]


class RefusedPiece(msgspec.Struct, frozen=True, gc=False):
    """Bytes that are no message, keys in this order."""

    n: int
    t: float | None
    address: str | None
    garbage: str  # hex
    reason: str


class Records:
    """Numbers and writes record lines; what was written and not yet flushed stays under a few hundred kilobytes."""

    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink
        self._encode_into = msgspec.json.Encoder().encode_into
        self._buffer = bytearray()
        self._taints: dict[int, list[str]] = {0: []}
        self.count = 0
        self.refused = 0

    def message(self, t: float | None, address: str | None, name: str, values: dict[str, Any], taints: int) -> None:
        """Write one decoded message; `taints` are the bits of `gateway.taint`."""
        marks = self._taints.get(taints)
        if marks is None:
            marks = self._taints[taints] = names_of(taints)
        self.count += 1
        self._write(Decoded(self.count, t, address, name, values, marks))

    def garbage(self, t: float | None, address: str | None, raw: bytes, reason: str) -> None:
        """Write what was refused, in pieces of at most MAX_GARBAGE_BYTES."""
        for at in range(0, len(raw) or 1, MAX_GARBAGE_BYTES):
            self.count += 1
            self.refused += 1
            self._write(RefusedPiece(self.count, t, address, raw[at : at + MAX_GARBAGE_BYTES].hex(), reason))

    def flush(self) -> None:
        """Hand everything to the reader. Raises: BrokenPipeError when it left."""
        if self._buffer:
            self._sink.write(self._buffer)
            self._buffer.clear()
            self._sink.flush()

    def _write(self, record: Decoded | RefusedPiece) -> None:
        buffer = self._buffer
        self._encode_into(record, buffer, -1)
        buffer += b"\n"
        if len(buffer) > _FLUSH_BYTES:
            self.flush()


class Progress:
    """Bytes and records so far and per second, on a terminal nobody pipes records to; silent elsewhere."""

    def __init__(self, terminal: TextIO | None = None) -> None:
        shown = sys.stderr.isatty() and not sys.stdout.isatty()
        self._terminal = terminal or (sys.stderr if shown else None)
        self._began_s = self._last_s = monotonic()
        self._wrote = False

    def tell(self, total_bytes: int, records: int) -> None:
        """Say how far we are, at most twice a second."""
        if self._terminal is None:
            return
        now_s = monotonic()
        if now_s - self._last_s < _PROGRESS_EVERY_S:
            return
        self._last_s, self._wrote = now_s, True
        spent_s = now_s - self._began_s
        line = (
            f"{total_bytes / 1e6:,.1f} MB, {records:,} records "
            f"({total_bytes / 1e6 / spent_s:,.1f} MB/s, {records / spent_s:,.0f}/s)"
        )
        self._terminal.write(f"\r{line:<78}")
        self._terminal.flush()

    def end(self) -> None:
        """Leave the terminal's line, if we stand on one."""
        if self._wrote and self._terminal is not None:
            self._terminal.write("\n")
            self._terminal.flush()
