"""Layer 5: making a ledger and opening one for writing: recovery with its consequences. FORMAT.md sections 5 and 6.

What opening writes: META (the start is told), and, by its first commit, `damage` records for what is missing. Doing it
twice, or being cut while doing it, gives the same ledger.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from gateway.clock import Clock
from gateway.errors import GatewayError, LedgerFormatError, LedgerMissingError, LedgerStorageError, UsageError
from gateway.ledger import snapshot
from gateway.ledger.base import Options
from gateway.ledger.findings import DECLARING_KINDS, Ranges, declared_by, numbers_told, tells_loss
from gateway.ledger.frame import DECLARES, HEADER_BYTES, Header, body_of, first_chain, parse_header, records_of
from gateway.ledger.known import Known
from gateway.ledger.log import Log, Sealed
from gateway.ledger.medium import UNIT_BYTES
from gateway.ledger.meta import Meta
from gateway.ledger.metafile import MetaFile
from gateway.ledger.recovery import Live, Missing, Recovery
from gateway.ledger.ring import FOLDER, Ring, prewrite, segment_name
from gateway.ledger.segment import Placed, Walk, is_zero, walk
from gateway.ledger.storage import Storage

LEAST_SEGMENTS: Final = 3
READY_AT_ONCE: Final = 2  # segments that a new ledger waits for; the others are pre-written as they are needed
_SEGMENT: Final = re.compile(r"(\d{2,})\.seg")
FOLDERS: Final = ("hot", "arc", "snap")


def check_geometry(options: Options) -> None:
    """Raises: UsageError, for sizes that make no ring."""
    unit, segment, ring = options.unit_bytes or UNIT_BYTES, options.segment_bytes, options.ring_bytes
    if unit & (unit - 1) or not 512 <= unit <= 65_536:
        raise UsageError(f"a commit unit of {unit} bytes; it is a power of two from 512 to 65536")
    if segment % unit or segment < 8 * unit:
        raise UsageError(f"segments of {segment:,} bytes; they are a multiple of the commit unit, at least 8 of them")
    if ring % segment or ring < LEAST_SEGMENTS * segment:
        raise UsageError(
            f"a ring of {ring:,} bytes; it is a multiple of the segment ({segment:,} bytes), at least {LEAST_SEGMENTS}"
        )
    if ring // segment > 4096 or segment > 1 << 30:
        raise UsageError(f"a ring of {ring // segment:,} segments of {segment:,} bytes; at most 4,096 of 1 GiB")


def create(storage: Storage, options: Options, *, whole: bool = False) -> None:
    """Make an empty ledger; `whole` waits for every segment. Raises: UsageError, OSError, and then nothing is left."""
    unit_bytes = options.unit_bytes or UNIT_BYTES
    check_geometry(options)
    count = options.ring_bytes // options.segment_bytes
    names = [segment_name(number) for number in range(count if whole else min(READY_AT_ONCE, count))]
    try:
        for folder in FOLDERS:
            storage.make_folder(folder)
        for name in names:
            prewrite(storage, name, options.segment_bytes)
        storage.sync_folder()
        log_id = os.urandom(16)
        meta = Meta(
            generation=0, log_id=log_id, unit_bytes=unit_bytes, segment_bytes=options.segment_bytes,
            segments=count, is_small=options.is_small, is_clean=True, chain=first_chain(log_id),
        )  # fmt: skip
        file = MetaFile(storage, meta, None)
        file.write()
        file.write()
        storage.sync_folder()
    except OSError:
        with contextlib.suppress(OSError):
            for name in (*names, *(f"{each}.tmp" for each in names), "META.a", "META.b"):
                storage.remove(name)
        raise


def open_log(
    storage: Storage, clock: Clock, options: Options, known: Known, seal: Callable[[Sequence[Live]], Sealed]
) -> Log:
    """Return the log of a ledger, recovered. `known`: what its archives hold; `seal` makes one.

    Raises: LedgerMissingError, LedgerFormatError, LedgerStorageError.
    """
    with _as_storage_errors():
        meta = MetaFile.read(storage) or derived_meta(storage)
        if meta is None and storage.names("arc"):
            raise LedgerFormatError(
                "META and the ring are gone, and archives are left: they can be read; move them away to begin anew"
            )
        if meta is None:
            raise LedgerMissingError("no ledger here; make one with: tidegate ledger init DIR")
        told = meta.meta
        ring = Ring(storage, told.segment_bytes, told.segments)
        found = recover(storage, told, known, ring)
        if options.tells_early and not found.is_clean:
            found.recovery.note_incarnation(meta.meta.incarnation)
            found.recovery.begin_anew()
        _settle(storage, ring, meta, known, found)
        recovery = found.recovery
        log = Log(
            storage, clock, options, meta=meta, ring=ring, next_seq=recovery.next_seq, chain=recovery.chain,
            is_after_unclean=not found.is_clean, seal=seal,
        )  # fmt: skip
        _declare(log, [*known.missing, *found.recovery.missing, *found.hurt], [*known.declared, *found.declared])
    return log


@contextlib.contextmanager
def _as_storage_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if isinstance(error, GatewayError):
            raise
        raise LedgerStorageError(error.errno or 0, f"the ledger cannot be opened for writing: {error}") from error


def _settle(storage: Storage, ring: Ring, meta: MetaFile, known: Known, found: Found) -> None:
    """Take over what recovery found; bring to the medium what an earlier process left in memory. Raises: OSError."""
    told, recovery = meta.meta, found.recovery
    recovery.lost_behind(known.seq, "archives hold later numbers")
    recovery.lost_behind(told.last_seq, "they were durable, and the end of the log is gone")
    recovery.lost_behind(snapshot.newest_seq(storage, told.log_id), "a snapshot holds later numbers")
    ring.live = list(recovery.live)
    ring.top_epoch = max(found.top_epoch, known.epoch, told.sealed_epoch) + (0 if found.is_clean else 1)
    if storage.names("arc"):
        storage.sync_folder("arc")
    ring.sync_live()
    for folder in FOLDERS:
        storage.make_folder(folder)  # a copy may lack those that were empty
    ring.restore()
    for name in () if found.is_clean else found.littered:
        prewrite(storage, name, told.segment_bytes)
    meta.write(
        is_clean=False, boot_no=max(told.boot_no, recovery.boot_no) + 1, incarnation=recovery.incarnation,
        last_seq=max(told.last_seq, recovery.next_seq - 1), chain=recovery.chain,
        sealed_epoch=max(told.sealed_epoch, known.epoch), sealed_seq=known.seq,
    )  # fmt: skip


class Found(NamedTuple):
    """What the ring holds."""

    recovery: Recovery
    top_epoch: int
    is_clean: bool  # the end is where a clean close left it, and nothing was torn
    hurt: list[Missing]  # records that cannot be read in frames that are there
    declared: list[tuple[int, int]]  # ranges that records of kind gap or damage tell already
    littered: list[str]  # segments never used that a cut left something in: no commit of it has a header


def recover(storage: Storage, meta: Meta, known: Known, ring: Ring | None = None) -> Found:
    """Read the ring, a segment at a time, by epoch. Changes nothing. Raises: OSError, LedgerFormatError.

    Which epoch a segment is of is first taken from its first header alone; only where a whole look tells otherwise (a
    medium that lost the first commit of a lap) is everything read twice.
    """
    names = segment_files(storage)
    by_hint = sorted(((_hint(storage, name, meta), name) for name in names), key=_by_epoch)
    found = _Look(storage, meta, known, ring)
    if not found.read(by_hint):
        by_epoch = sorted(((read_segment(storage, name, meta)[1].epoch, name) for name in names), key=_by_epoch)
        found = _Look(storage, meta, known, ring)
        found.read(by_epoch)
    return found.result()


def _by_epoch(each: tuple[int, str]) -> tuple[int, int, str]:
    epoch, name = each
    return epoch, len(name), name


class _Look:
    """One reading of the ring, in an order of epochs that may prove wrong."""

    def __init__(self, storage: Storage, meta: Meta, known: Known, ring: Ring | None) -> None:
        self._storage = storage
        self._meta = meta
        self._archived_epoch = known.epoch  # live is what no archive holds that can be read, whatever META says
        self._sealed_epoch = max(known.epoch, meta.sealed_epoch)
        self._ring = ring
        self._recovery = Recovery(meta.log_id, known.seq, known.chain, known.incarnation)
        self._top_epoch = 0
        self._is_torn = False
        self._hurt: list[Missing] = []
        self._declared: list[tuple[int, int]] = []
        self._littered: list[str] = []

    def read(self, order: list[tuple[int, str]]) -> bool:
        """Read segments in order; return False where one is not of the epoch that was thought."""
        last: tuple[str, bytes, Walk] | None = None
        for epoch, name in order:
            data, walked = read_segment(self._storage, name, self._meta)
            if walked.epoch != epoch and max(walked.epoch, epoch) > self._archived_epoch:
                return False
            self._note(name, data, walked)
            if walked.epoch <= self._archived_epoch:
                continue
            if last is not None and last[2].epoch == walked.epoch:
                continue  # a copy of it, which no lap of the ring leaves: readers count the first one too
            if last is not None:
                self._add(*last, next(each.header.base_seq for each in walked.frames if each.is_whole))
            last = name, data, walked
        if last is not None:
            self._is_torn = self._is_torn or last[2].torn
            self._add(*last, None)
        return True

    def _note(self, name: str, data: bytes, walked: Walk) -> None:
        if walked.foreign is not None and not walked.epoch:
            raise LedgerFormatError(
                f"{name} belongs to another ledger ({walked.foreign.hex()}, this one is {self._meta.log_id.hex()}); "
                "put the right file back, or move this one away"
            )
        self._top_epoch = max(self._top_epoch, walked.seen_epoch)
        if not walked.seen_epoch and not is_zero(data):
            self._littered.append(name)
        self._is_torn = self._is_torn or walked.seen_epoch > max(walked.epoch, self._sealed_epoch)
        if self._ring is not None:
            self._ring.last_epoch[name] = walked.seen_epoch

    def _add(self, name: str, data: bytes, walked: Walk, limit_seq: int | None) -> None:
        for each in self._recovery.add(name, walked, limit_seq):
            if not each.is_whole:
                self._hurt += _hurt_of(name, data, each)
            elif each.header.flags & DECLARES:
                self._declared += _declared_in(data, each)

    def result(self) -> Found:
        """Return what was found."""
        recovery, meta = self._recovery, self._meta
        recovery.note_incarnation(meta.incarnation)
        is_clean = meta.is_clean and not self._is_torn and recovery.next_seq == meta.last_seq + 1
        used = max(self._top_epoch, self._sealed_epoch)
        littered = [name for name in self._littered if _number_of(name) >= used]  # the others were used, and are hurt
        return Found(recovery, self._top_epoch, is_clean, self._hurt, self._declared, littered)


def _number_of(name: str) -> int:
    return int(re.sub(r"\D", "", name))


def _hint(storage: Storage, name: str, meta: Meta) -> int:
    """Return the epoch that a segment's first header names; 0: none of this ledger."""
    file = storage.open(name, writable=False)
    try:
        header = parse_header(file.read(HEADER_BYTES, 0))
    finally:
        file.close()
    return 0 if header is None or header.log_id != meta.log_id else header.epoch


def read_segment(storage: Storage, name: str, meta: Meta) -> tuple[bytes, Walk]:
    """Return a segment's bytes and what they say. Raises: OSError, LedgerFormatError for another ledger's."""
    file = storage.open(name, writable=False)
    try:
        data = file.read(meta.segment_bytes, 0)
    finally:
        file.close()
    return data, walk(data, meta.unit_bytes, meta.log_id)


def segment_files(storage: Storage) -> list[str]:
    """Return the segments that are there, whole ones, as pre-writing names them."""
    return [f"{FOLDER}/{name}" for name in storage.names(FOLDER) if _SEGMENT.fullmatch(name)]


def _hurt_of(name: str, data: bytes, placed: Placed) -> Iterator[Missing]:
    """Yield the runs of records of one frame that cannot be read."""
    header = placed.header
    start = placed.offset + HEADER_BYTES
    lost = records_of(header, data[start : start + header.body_bytes]).hurt
    runs: list[list[int]] = []
    for seq in lost:
        if runs and seq == runs[-1][1] + 1:
            runs[-1][1] = seq
        else:
            runs.append([seq, seq])
    for first, last in runs:
        yield Missing(first, last, name, placed.offset, "the record's checksum is wrong")


def _declared_in(data: bytes, placed: Placed) -> list[tuple[int, int]]:
    body = body_of(data, placed.offset, placed.header)
    if body is None:
        return []
    told = (declared_by(each) for each in records_of(placed.header, body).records if each.kind in DECLARING_KINDS)
    return [numbers for each in told if tells_loss(each) and (numbers := numbers_told(each)) is not None]


def _declare(log: Log, missing: Iterable[Missing], declared: Iterable[tuple[int, int]]) -> None:
    """Put a record of kind damage for everything that is missing and not told yet; durable on return."""
    told = Ranges()
    for first, last in declared:
        told.add(first, last)
    for each in missing:
        log.found.append(each.as_damage())
        if told.hold(each.from_seq, each.to_seq):
            continue
        log.put(log.check([("damage", None, each.body, "state")]))
    log.commit()


def derived_meta(storage: Storage) -> MetaFile | None:
    """Return what META would say, from the frames and the size of the segments; None where there is no frame."""
    names = segment_files(storage)
    for name in names:
        file = storage.open(name, writable=False)
        try:
            size = file.size()
            header = _any_header(file.read(size, 0))
        finally:
            file.close()
        if header is not None:
            count = max(len(names), LEAST_SEGMENTS, 1 + max(map(_number_of, names)))
            meta = Meta(
                generation=0, log_id=header.log_id, unit_bytes=1 << header.unit_log2, segment_bytes=size,
                segments=count,
            )  # fmt: skip
            return MetaFile(storage, meta, None)
    return None


def _any_header(data: bytes) -> Header | None:
    for at in range(0, len(data), 512):
        if data[at : at + 4] == b"LDF1" and (header := parse_header(data, at)) is not None:
            return header
    return None
