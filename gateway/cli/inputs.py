"""Layer 9: what `decode` reads, as a stream of items, in constant memory on any length.

An item is (t, address as text, address, body or Garbage): one thing to match. Here: where bytes come from, lines of
bounded length, and binary streams. The line formats are in `inputs_lines`, other programs' CAN logs in `inputs_logs`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from gateway.errors import UsageError
from gateway.frame import MAX_GARBAGE_BYTES, Address, Garbage

Item = tuple[float | None, str | None, Address, bytes | Garbage]
Bodies = list[bytes | Garbage]

CHUNK_BYTES: Final = 65_536
MAX_LINE_BYTES: Final = 1 << 20  # a capture of half a megabyte in hex on one line
MAX_BODY_BYTES: Final = 1 << 20  # of a whole input taken as one body


@contextmanager
def opened(file: str) -> Iterator[BinaryIO]:
    """Open a file, or standard input for "-". Raises: UsageError if it cannot be read."""
    if file == "-":
        yield sys.stdin.buffer
        return
    try:
        stream = Path(file).open("rb", buffering=0)  # noqa: SIM115 - closed below; only opening is ours to explain
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from error
    with stream:
        yield stream


def chunks(stream: BinaryIO, before_read: Callable[[int], None]) -> Iterator[bytes]:
    """Give what is there, piece by piece, until the end; `before_read` is told the bytes so far and may flush.

    Raises: UsageError if reading fails (a folder, a device that goes away).
    """
    read = getattr(stream, "read1", stream.read)  # a pipe's bytes are shown when they come, not when 64 kB have
    total = 0
    while True:
        before_read(total)
        try:
            chunk = read(CHUNK_BYTES)
        except OSError as error:
            raise UsageError(f"{getattr(stream, 'name', 'input')}: {error.strerror}") from error
        if not chunk:
            return
        total += len(chunk)
        yield chunk


def lines(pieces: Iterable[bytes]) -> Iterator[bytes | Garbage]:
    """Give lines without their end; one longer than MAX_LINE_BYTES comes as garbage in pieces, up to its end."""
    rest, skipping = b"", False
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            if skipping or len(line) > MAX_LINE_BYTES:
                yield from cut(line, "line too long")
                skipping = False
            else:
                yield line
        if skipping or len(rest) > MAX_LINE_BYTES:
            yield from cut(rest, "line too long")
            rest, skipping = b"", True
    if rest:
        yield rest


def cut(raw: bytes, reason: str) -> list[Garbage]:
    """Return refused bytes as garbage of at most MAX_GARBAGE_BYTES each; no bytes are one record all the same."""
    ends = range(0, len(raw) or 1, MAX_GARBAGE_BYTES)
    return [Garbage(raw[at : at + MAX_GARBAGE_BYTES], reason) for at in ends]


def stream_items(pieces: Iterable[bytes], feed: Callable[[bytes], Bodies], gap: Callable[[], Bodies]) -> Iterator[Item]:
    """Give the frames and garbage of a byte stream as `feed` finds them; its end counts as a gap."""
    for piece in pieces:
        for body in feed(piece):
            yield None, None, None, body
    for body in gap():
        yield None, None, None, body


def whole_items(pieces: Iterable[bytes], address_text: str | None, address: Address) -> Iterator[Item]:
    """Give the whole input as one body. Raises: UsageError if it is too long for one."""
    body = bytearray()
    for piece in pieces:
        body += piece
        if len(body) > MAX_BODY_BYTES:
            raise UsageError(f"more than {MAX_BODY_BYTES} bytes are no single body; give one body per line as hex")
    if body:
        yield None, address_text, address, bytes(body)
