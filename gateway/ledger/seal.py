"""Layer 5: bringing segments of the ring into an archive, and finding the archives that are there.

An archive is written under another name, synced, read back, renamed, and its folder synced; only then may the caller
recycle the segments. Cut anywhere, the segments still hold everything, and what was unfinished is removed at the next
opening for writing.

Numbers that the segments should hold and that cannot be read any more do not hold up sealing: the archive lists them as
`lost`, for whoever seals to declare.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final, Self

import msgspec

from gateway.ledger.archive import (
    BLOCK,
    HEAD,
    MAX_LISTED,
    TRAILER,
    ArchiveInfo,
    Block,
    BlockHead,
    Codec,
    Packer,
    archive_name,
    footer_place,
    frames_in,
    open_block,
    parse_block_head,
    parse_footer,
    parse_head,
)
from gateway.ledger.frame import HEADER_BYTES, THINNED, Header, body_of, records_of
from gateway.ledger.record import Record
from gateway.ledger.recovery import Live
from gateway.ledger.segment import Tail, in_order, tail_of, walk
from gateway.ledger.storage import Storage, StoredFile, insist
from gateway.ledger.thinning import thin

FOLDER: Final = "arc"
WRITE_BYTES: Final = 262_144
_NAME: Final = re.compile(r"\d{20}\.arc")
UNFINISHED: Final = ".tmp"


class Frame:
    """One frame on its way into an archive."""

    __slots__ = ("header", "raw", "records")

    def __init__(self, header: Header, raw: bytes, records: list[Record]) -> None:
        self.header = header
        self.raw = raw  # header and body
        self.records = records


def seal(
    storage: Storage,
    log_id: bytes,
    unit_bytes: int,
    segments: Sequence[Live],
    codec: Codec | None = None,
    *,
    salvages: bool = False,
) -> ArchiveInfo:
    """Write one archive of whole segments, in the order of their epochs; durable on return. Raises: OSError.

    A segment that the medium does not give back fails sealing, which may be tried again. Where that does not help,
    `salvages` takes what can be read.
    """
    with ArchiveFile(storage, archive_name(segments[0].first_seq)) as file:
        info = pack(storage, log_id, unit_bytes, segments, file, codec=codec, salvages=salvages)
        file.finish(info)
    return info


def pack(
    storage: Storage,
    log_id: bytes,
    unit_bytes: int,
    segments: Sequence[Live],
    file: ArchiveFile,
    *,
    codec: Codec | None = None,
    salvages: bool = False,
) -> ArchiveInfo:
    """Write what segments hold into an archive that is not finished yet. Raises: OSError."""
    lost = Lost(segments[0].first_seq)
    packer: Packer | None = None
    for segment in segments:
        for frame in frames_of_segment(storage, log_id, unit_bytes, segment, salvages=salvages):
            lost.take(frame)
            if packer is None:
                packer = Packer(log_id, frame.header.base_seq, codec)
                file.write(packer.head())
            file.write(packer.add(frame.header, frame.raw, frame.records, segment.epoch))
    if packer is None:
        raise OSError(errno.EIO, f"nothing of {len(segments)} segments can be read")
    if lost.next_seq != segments[-1].next_seq and not salvages:
        raise OSError(errno.EIO, f"sealing read up to {lost.next_seq - 1}, not to {segments[-1].next_seq - 1}")
    end, info = packer.finish(lost.up_to(segments[-1].next_seq))
    file.write(end)
    return info


class Lost:
    """Which of the numbers that segments should hold are not there."""

    def __init__(self, first_seq: int) -> None:
        self._ranges: list[tuple[int, int]] = []
        self._tail: Tail | None = None
        self.next_seq = first_seq

    def take(self, frame: Frame) -> None:
        """Take the next frame."""
        header = frame.header
        if self._tail is None or not self._tail.is_joined_by(header):
            self._miss(header.base_seq)
        if header.flags & THINNED:
            self.next_seq = header.base_seq
            for record in frame.records:
                self._miss(record.seq)
                self.next_seq = record.seq + 1
            self._miss(header.next_seq)
        self.next_seq = header.next_seq
        self._tail = tail_of(header, self._tail)

    def _miss(self, seq: int) -> None:
        if seq > self.next_seq:
            self._ranges.append((self.next_seq, seq - 1))

    def up_to(self, next_seq: int) -> list[tuple[int, int]]:
        """Return what is not there, in order; of very many ranges the last ones as one."""
        self._miss(next_seq)
        if len(self._ranges) > MAX_LISTED:
            return [*self._ranges[: MAX_LISTED - 1], (self._ranges[MAX_LISTED - 1][0], self._ranges[-1][1])]
        return self._ranges


class ArchiveFile:
    """An archive being written: it has its name only once everything of it is durable."""

    def __init__(self, storage: Storage, name: str) -> None:
        """`name` is what it is to be called, unless its first numbers turn out to be lost."""
        self._storage = storage
        self.name = name
        self.unfinished = f"{name}.{os.getpid()}{UNFINISHED}"  # a child of a killed process writes another
        self._file: StoredFile | None = None
        self._offset = 0
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0

    def __enter__(self) -> Self:
        """Start anew. Raises: OSError."""
        self._storage.remove(self.unfinished)
        self._file = self._storage.open(self.unfinished, create=True)
        return self

    def write(self, data: bytes) -> None:
        """Take bytes, in order; they go out in big pieces."""
        if data:
            self._waiting.append(data)
            self._waiting_bytes += len(data)
            if self._waiting_bytes >= WRITE_BYTES:
                self._flush()

    def _flush(self) -> None:
        assert self._file is not None
        data = b"".join(self._waiting)
        self._file.write(data, self._offset)
        self._offset += len(data)
        self._waiting, self._waiting_bytes = [], 0

    def sync(self, info: ArchiveInfo) -> None:
        """Bring all of it to the medium and read it back; `name_archive` may follow. Raises: OSError."""
        assert self._file is not None
        self._flush()
        self._file.sync()
        self._file.close()
        self._file = None
        read_back(self._storage, self.unfinished, info)

    def finish(self, info: ArchiveInfo) -> None:
        """Make it durable under its name; an archive that had the name is gone. Raises: OSError."""
        self.sync(info)
        name_archive(self._storage, self.unfinished, info.name)

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        """Remove what did not come to its end."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
        if self._file is not None or error is not None:
            with contextlib.suppress(OSError):
                self._storage.remove(self.unfinished)


def read_back(storage: Storage, unfinished: str, info: ArchiveInfo) -> None:
    """Raises: OSError, where an archive just written does not hold what its footer says."""
    records, chain = 0, ""
    for found in frames_of_archive(storage, msgspec.structs.replace(info, name=unfinished)):
        if isinstance(found, Hurt):
            raise OSError(errno.EIO, f"{unfinished} is not read back as it was written: {found.reason}")
        records += found[0].records
        chain = found[0].chain.hex()
    if (records, chain) != (info.records, info.chain) or read_footer(storage, info.name, unfinished) != info:
        raise OSError(errno.EIO, f"{unfinished} is not read back as it was written")


def name_archive(storage: Storage, unfinished: str, name: str) -> None:
    """Give an archive that is on the medium its name, durably. Raises: OSError."""
    storage.rename(unfinished, name)
    storage.sync_folder(FOLDER)


def frames_of_segment(
    storage: Storage, log_id: bytes, unit_bytes: int, segment: Live, *, salvages: bool = False
) -> Iterator[Frame]:
    """Yield what a segment holds of the log; of a frame that is hurt, the records that can be read. Raises: OSError."""
    data = _read_segment(storage, segment.name, unit_bytes, salvages=salvages)
    walked = walk(data, unit_bytes, log_id)
    if walked.epoch != segment.epoch:
        if salvages:
            return
        raise OSError(errno.EIO, f"{segment.name} holds epoch {walked.epoch}, not {segment.epoch}")
    for placed in in_order(walked.frames, segment.first_seq, segment.limit_seq):
        header = placed.header
        end = placed.offset + HEADER_BYTES + header.body_bytes
        body = body_of(data, placed.offset, header)
        if body is not None:
            yield Frame(header, data[placed.offset : end], records_of(header, body).records)
            continue
        salvaged = records_of(header, data[placed.offset + HEADER_BYTES : end]).records
        for thinned, raw, records in thin([(header, salvaged)], lambda _record: True):
            yield Frame(thinned, raw, records)


def _read_segment(storage: Storage, name: str, unit_bytes: int, *, salvages: bool) -> bytes:
    """Return a segment's bytes; with `salvages`, zeros where the medium gives nothing back. Raises: OSError."""
    file = storage.open(name, writable=False)
    try:
        size = file.size()
        try:
            return file.read(size, 0)
        except OSError:
            if not salvages:
                raise
        units = []
        for at in range(0, size, unit_bytes):
            unit = b""
            with contextlib.suppress(OSError):
                unit = file.read(unit_bytes, at)
            units.append(unit.ljust(unit_bytes, b"\0"))
        return b"".join(units)
    finally:
        file.close()


def read_footer(storage: Storage, name: str, unfinished: str | None = None) -> ArchiveInfo | None:
    """Return the footer of an archive, which may lie under another name still; None where it cannot be read."""
    try:
        file = storage.open(unfinished or name, writable=False)
    except OSError:
        return None
    try:
        size = file.size()
        place = footer_place(file.read(TRAILER.size, size - TRAILER.size) if size > TRAILER.size else b"", size)
        if place is None:
            return None
        info = parse_footer(file.read(place[1], place[0]), place[2])
    except OSError:
        return None
    finally:
        file.close()
    return info if info is not None and info.name == name else None


def tidy(storage: Storage, known: Sequence[ArchiveInfo]) -> None:
    """Remove what a cut left: unfinished archives, and those that a merged one covers wholly. Raises: OSError."""
    kept = {info.name for info in known}
    for leaf in storage.names(FOLDER):
        name = f"{FOLDER}/{leaf}"
        if leaf.endswith(UNFINISHED):
            storage.remove(name)
        elif _NAME.fullmatch(leaf) and name not in kept:
            info = read_footer(storage, name)
            if info is not None and any(
                each.first_seq <= info.first_seq and info.last_seq <= each.last_seq for each in known
            ):
                storage.remove(name)


class Hurt:
    """A part of an archive that cannot be read."""

    __slots__ = ("error", "from_seq", "offset", "reason", "to_seq")

    def __init__(self, from_seq: int, to_seq: int, offset: int, reason: str, error: OSError | None = None) -> None:
        self.from_seq = from_seq
        self.to_seq = to_seq
        self.offset = offset
        self.reason = reason
        self.error = error  # of the medium, which may give it another time


def frames_of_archive(storage: Storage, info: ArchiveInfo, from_seq: int = 1) -> Iterator[tuple[Header, bytes] | Hurt]:
    """Yield header and body of the frames that hold `from_seq` and what follows; what is hurt is told in its place."""
    file = storage.open(info.name, writable=False)
    try:
        for block in info.blocks:
            if block.last_seq < from_seq:
                continue
            raw, reason, failed = None, "a block is not what was written", None
            try:
                raw = insist(partial(_block_of, file, block, info.codec))
            except OSError as error:
                reason, failed = f"a block cannot be read: {error.strerror or error}", error
            if raw is None:
                yield Hurt(block.first_seq, block.last_seq, block.offset, reason, failed)
                continue
            yield from _frames_of_block(raw, block.first_seq, block.last_seq, block.offset, from_seq)
    finally:
        file.close()


def _block_of(file: StoredFile, block: Block, codec: Codec) -> bytes | None:
    """Return what a block holds; None where it is not what the footer says. Raises: OSError."""
    head = parse_block_head(file.read(BLOCK.size, block.offset))
    if head is None or (head.size, head.raw_size) != (block.size, block.raw_size):
        return None
    return open_block(head, file.read(block.size, block.offset + BLOCK.size), codec)


def _frames_of_block(
    raw: bytes, first_seq: int, last_seq: int, offset: int, from_seq: int
) -> Iterator[tuple[Header, bytes] | Hurt]:
    next_seq = first_seq
    for header, body, _ in frames_in(raw):
        next_seq = header.next_seq
        if next_seq > from_seq:
            yield header, body
    if next_seq != last_seq + 1:
        yield Hurt(next_seq, last_seq, offset, "a frame in a block is not what was written")


def blocks_of_hurt_archive(storage: Storage, name: str) -> Iterator[tuple[int, BlockHead, bytes]]:
    """Yield offset, header and frames of the blocks of an archive without a footer, as far as they can be read."""
    file = storage.open(name, writable=False)
    try:
        head = parse_head(file.read(HEAD.size, 0))
        if head is None:
            return
        at = HEAD.size
        while (block := parse_block_head(file.read(BLOCK.size, at))) is not None:
            raw = open_block(block, file.read(block.size, at + BLOCK.size), head[1])
            if raw is not None:
                yield at, block, raw
            at += BLOCK.size + block.size
    finally:
        file.close()
