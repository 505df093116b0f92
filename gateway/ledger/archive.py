"""Layer 2: sealed history: the frames of some segments, without their padding, compressed, never changed. Pure.

FORMAT.md section 7 is the contract. A file reads from its end (the footer says where everything lies) and, should the
footer be hurt, from its start (every block says what it is).

    [header:64] [block header:40, compressed frames] * n [footer: JSON] [trailer:16]
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterator, Sequence
from struct import Struct
from typing import Any, Final, Literal

import msgspec
from fastcrc.crc32 import iscsi as crc32c

from gateway.errors import LedgerFormatError
from gateway.ledger.frame import DECLARES, HEADER_BYTES, Header, body_of, parse_header
from gateway.ledger.record import CLASSES, Record

MAGIC: Final = b"LDA1"
BLOCK_MAGIC: Final = b"LDAB"
END_MAGIC: Final = b"LDAE"
MAJOR, MINOR = 1, 0
# magic major minor codec reserved | log_id | first_seq | zeros | crc
HEAD: Final = Struct("<4s4B16sQ28sI")
# magic size raw_size frames | first_seq last_seq | crc of the data | crc of what stands before
BLOCK: Final = Struct("<4sIIIQQII")
TRAILER: Final = Struct("<IIQ")  # of the footer: length, crc; then END_MAGIC twice: "LDAELDAE"
TRAILER_MARK: Final = int.from_bytes(END_MAGIC * 2, "little")
BLOCK_BYTES: Final = 262_144  # of frames, before compression
MAX_BLOCK_BYTES: Final = 1 << 22  # a block that claims more was not made by us: it is not opened
MAX_LISTED: Final = 2_000  # routes and declarations that a footer lists; more: it says that it does not list them
MAX_DECLARED_BYTES: Final = 65_536  # of the bodies of declarations that a footer lists

Codec = Literal["zlib", "zstd"]
CODECS: Final[tuple[Codec, ...]] = ("zlib", "zstd")


class Block(msgspec.Struct, frozen=True, array_like=True):
    """Where a block lies."""

    offset: int  # of its header
    size: int  # compressed
    raw_size: int
    first_seq: int
    last_seq: int


class ArchiveInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The footer: what is in an archive, and where."""

    name: str  # "arc/00000000000000000001.arc"
    log_id: str
    codec: Codec
    first_seq: int  # of the range it stands for
    last_seq: int
    records: int  # that can be read
    first_epoch: int
    last_epoch: int
    incarnation: int
    boot_no: int  # the highest
    wall_min_ns: int
    wall_max_ns: int
    link: str  # hex of the first 8 bytes of the chain hash before it
    chain: str  # hex of the chain hash behind it
    raw_bytes: int
    classes: list[str]
    blocks: list[Block]
    is_thinned: bool = False
    routes: list[str] | None = None  # None: too many to list
    telemetry: list[str] | None = None  # routes with telemetry, "" for records without route; None: too many to list
    declares: list[dict[str, Any]] = []  # bodies of its gap and damage records, with their seq
    declares_more: bool = False  # there are more than the footer lists
    lost: list[tuple[int, int]] = []  # numbers from .. to that could not be read any more when it was sealed


def archive_name(first_seq: int) -> str:
    """Return the name of the archive that starts there."""
    return f"arc/{first_seq:020d}.arc"


def best_codec() -> Codec:
    """Return zstd where the library is installed."""
    try:
        import zstandard  # noqa: F401
    except ImportError:
        return "zlib"
    return "zstd"


def compress(data: bytes, codec: Codec) -> bytes:
    """Return compressed bytes."""
    if codec == "zlib":
        return zlib.compress(data, 6)
    import zstandard

    packed: bytes = zstandard.ZstdCompressor(level=3).compress(data)
    return packed


def decompress(data: bytes, codec: Codec, raw_size: int) -> bytes | None:
    """Return what was compressed; None where it is not `raw_size` bytes. Raises: LedgerFormatError without zstd."""
    if codec == "zlib":
        opener = zlib.decompressobj()
        try:
            found = opener.decompress(data, raw_size + 1)
        except zlib.error:
            return None
        return found if len(found) == raw_size and opener.eof and not opener.unused_data else None
    try:
        import zstandard
    except ImportError as error:
        raise LedgerFormatError("this archive is compressed with zstd; install it: pip install zstandard") from error
    try:
        if zstandard.frame_content_size(data) != raw_size:
            return None
        found = zstandard.ZstdDecompressor().decompress(data, max_output_size=raw_size)
    except zstandard.ZstdError:
        return None
    return found if len(found) == raw_size else None


def dense(header_raw: bytes, body: bytes) -> bytes:
    """Return a frame as an archive keeps it."""
    return header_raw + body


class Packer:
    """Puts frames into an archive, a block at a time: what it returns is written in that order."""

    def __init__(self, log_id: bytes, first_seq: int, codec: Codec | None = None) -> None:
        self._log_id = log_id
        self._first_seq = first_seq
        self._codec: Codec = codec or best_codec()
        self._frames: list[bytes] = []
        self._size = 0
        self._block_first = 0
        self._last: Header | None = None
        self._first: Header | None = None
        self._offset = HEAD.size
        self._blocks: list[Block] = []
        self._records = self._raw_bytes = 0
        self._wall = [1 << 63, 0]
        self._epochs = [1 << 63, 0]
        self._boot_no = 0
        self._routes: set[str] = set()
        self._telemetry: set[str] = set()
        self._classes: set[str] = set()
        self._declares: list[dict[str, Any]] = []
        self._declares_more = False
        self._declared_bytes = 0
        self._is_thinned = False

    def head(self) -> bytes:
        """Return the start of the file."""
        return _with_crc(
            HEAD.pack(MAGIC, MAJOR, MINOR, CODECS.index(self._codec), 0, self._log_id, self._first_seq, bytes(28), 0)
        )

    def add(self, header: Header, raw: bytes, records: list[Record], epoch: int, *, is_thinned: bool = False) -> bytes:
        """Take a frame, header and body in `raw`; return a block to write, or nothing yet."""
        if self._first is None:
            self._first = header
        if not self._frames:
            self._block_first = header.base_seq
        self._last = header
        self._frames.append(raw)
        self._size += len(raw)
        self._records += len(records)
        self._epochs = [min(self._epochs[0], epoch), max(self._epochs[1], epoch)]
        self._boot_no = max(self._boot_no, header.boot_no)
        self._is_thinned = self._is_thinned or is_thinned
        for record in records:
            self._wall = [min(self._wall[0], record.wall_ns), max(self._wall[1], record.wall_ns)]
            if record.route is not None and len(self._routes) <= MAX_LISTED:
                self._routes.add(record.route)
            if record.class_ == "telemetry" and len(self._telemetry) <= MAX_LISTED:
                self._telemetry.add(record.route or "")
            self._classes.add(record.class_)
        if header.flags & DECLARES:
            self._declare(records)
        return self._flush() if self._size >= BLOCK_BYTES else b""

    def _declare(self, records: list[Record]) -> None:
        for record in records:
            if record.kind in {"gap", "damage"}:
                self._declared_bytes += len(record.raw)
                if len(self._declares) >= MAX_LISTED or self._declared_bytes > MAX_DECLARED_BYTES:
                    self._declares_more = True
                    return
                body = record.body if record.is_json else None
                self._declares.append((body if isinstance(body, dict) else {}) | {"seq": record.seq})

    def _flush(self) -> bytes:
        raw = b"".join(self._frames)
        data = compress(raw, self._codec)
        assert self._last is not None
        last_seq = self._last.next_seq - 1
        head = BLOCK.pack(
            BLOCK_MAGIC, len(data), len(raw), len(self._frames), self._block_first, last_seq, crc32c(data), 0
        )
        self._blocks.append(Block(self._offset, len(data), len(raw), self._block_first, last_seq))
        self._offset += BLOCK.size + len(data)
        self._raw_bytes += len(raw)
        self._frames, self._size = [], 0
        return _with_crc(head) + data

    def finish(self, lost: Sequence[tuple[int, int]] = ()) -> tuple[bytes, ArchiveInfo]:
        """Return the end of the file and what it says. Raises: ValueError for an archive of nothing."""
        rest = self._flush() if self._frames else b""
        if self._first is None or self._last is None:
            raise ValueError("an archive of nothing")
        info = ArchiveInfo(
            name=archive_name(self._first_seq), log_id=self._log_id.hex(), codec=self._codec,
            first_seq=self._first_seq, last_seq=self._last.next_seq - 1, records=self._records,
            first_epoch=self._epochs[0], last_epoch=self._epochs[1], incarnation=self._last.incarnation,
            boot_no=self._boot_no, wall_min_ns=min(self._wall), wall_max_ns=self._wall[1],
            link=self._first.link.hex(), chain=self._last.chain.hex(), raw_bytes=self._raw_bytes,
            classes=[name for name in CLASSES if name in self._classes], blocks=self._blocks,
            is_thinned=self._is_thinned,
            routes=sorted(self._routes) if len(self._routes) <= MAX_LISTED else None,
            telemetry=sorted(self._telemetry) if len(self._telemetry) <= MAX_LISTED else None,
            declares=self._declares, declares_more=self._declares_more, lost=list(lost),
        )  # fmt: skip
        footer = msgspec.json.encode(info)
        return rest + footer + TRAILER.pack(len(footer), crc32c(footer), TRAILER_MARK), info


def _with_crc(raw: bytes) -> bytes:
    return raw[:-4] + crc32c(raw[:-4]).to_bytes(4, "little")


def footer_place(trailer: bytes, file_size: int) -> tuple[int, int, int] | None:
    """Return offset, length and CRC of the footer from the last TRAILER.size bytes; None where they say none."""
    if len(trailer) != TRAILER.size:
        return None
    length, crc, mark = TRAILER.unpack(trailer)
    offset = file_size - TRAILER.size - length
    return None if mark != TRAILER_MARK or offset < HEAD.size else (offset, length, crc)


def parse_footer(data: bytes, crc: int) -> ArchiveInfo | None:
    """Return the footer; None where it is not what was written."""
    if crc32c(data) != crc:
        return None
    try:
        info = msgspec.json.decode(data, type=ArchiveInfo)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    for texts in (info.routes, info.telemetry):  # hundreds of archives name the same routes: each is kept once
        if texts is not None:
            texts[:] = map(sys.intern, texts)
    return info


def parse_head(data: bytes) -> tuple[bytes, Codec, int] | None:
    """Return log id, codec and first number of the file's start; None where it is hurt. Raises: LedgerFormatError."""
    if len(data) < HEAD.size or data[:4] != MAGIC:
        return None
    raw = bytes(data[: HEAD.size])
    _, major, _, codec, reserved, log_id, first_seq, zeros, crc = HEAD.unpack(raw)
    if crc32c(raw[:-4]) != crc:
        return None
    if major != MAJOR:
        raise LedgerFormatError(f"this archive was written by a newer version (format {major}); read it with that one")
    if reserved or zeros.strip(b"\0") or codec >= len(CODECS):
        return None
    return log_id, CODECS[codec], first_seq


class BlockHead(msgspec.Struct, frozen=True):
    """What a block says of itself."""

    size: int
    raw_size: int
    frames: int
    first_seq: int
    last_seq: int
    crc: int


def parse_block_head(data: bytes) -> BlockHead | None:
    """Return the header of a block; None where it is not what was written."""
    raw = bytes(data[: BLOCK.size])
    if len(raw) < BLOCK.size or raw[:4] != BLOCK_MAGIC or crc32c(raw[:-4]) != int.from_bytes(raw[-4:], "little"):
        return None
    return BlockHead(*BLOCK.unpack(raw)[1:7])


def open_block(head: BlockHead, data: bytes, codec: Codec) -> bytes | None:
    """Return the frames of a block; None where it is not what was written."""
    if len(data) != head.size or crc32c(data) != head.crc or head.raw_size > MAX_BLOCK_BYTES:
        return None
    return decompress(data, codec, head.raw_size)


def frames_in(raw: bytes) -> Iterator[tuple[Header, bytes, bytes]]:
    """Yield header, body and both as they stand, of each frame of an opened block; stops at what is no frame."""
    at = 0
    while at < len(raw):
        header = parse_header(raw, at)
        if header is None:
            return
        body = body_of(raw, at, header)
        if body is None:
            return
        end = at + HEADER_BYTES + header.body_bytes
        yield header, body, raw[at:end]
        at = end
