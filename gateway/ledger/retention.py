"""Layer 5: what of sealed history goes, by age and by bytes. Declared first, then done.

Telemetry goes when its time is over, and before its time where the archives take more than they may: the oldest first.
State, commands and audit stay; only when there is no telemetry left to give and the bytes still do not suffice, the
oldest archive goes whole (snapshots keep the state it left). Cut anywhere, a declaration stands for what is still
there, which is harmless, and never the other way round.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any, Final, NamedTuple

from gateway.ledger.archive import ArchiveInfo, Packer, archive_name
from gateway.ledger.base import MIB, Options
from gateway.ledger.frame import Header, records_of
from gateway.ledger.record import CLASSES, Record
from gateway.ledger.seal import ArchiveFile, Hurt, frames_of_archive
from gateway.ledger.storage import Storage
from gateway.ledger.thinning import thin

SMALL_BYTES: Final = 8 * MIB  # everything of a ledger of small footprint
MERGED_BYTES: Final = MIB  # thinned archives are joined with their neighbour up to this size
Declare = Callable[[dict[str, Any]], None]


class Sized(NamedTuple):
    """An archive and what it takes."""

    info: ArchiveInfo
    size: int


def keep_ns_of(options: Options, route: str | None) -> int:
    """Return for how long telemetry of a route is kept."""
    return options.keep.get(route or "", options.keep_ns)


def expired(info: ArchiveInfo, options: Options, now_ns: int) -> bool:
    """Return whether some telemetry of an archive is over its time, down to its newest record."""
    if info.telemetry is None:
        return info.wall_max_ns + options.keep_ns < now_ns
    return any(info.wall_max_ns + keep_ns_of(options, route) < now_ns for route in info.telemetry)


def bytes_allowed(options: Options) -> int:
    """Return what archives may take together; a small ledger leaves room for its ring and for one archive to come."""
    if not options.is_small:
        return options.archive_bytes
    return min(options.archive_bytes, SMALL_BYTES - options.ring_bytes - options.ring_bytes // 2 - MIB // 2)


def sized(storage: Storage, archives: Sequence[ArchiveInfo]) -> list[Sized]:
    """Return archives with their sizes; one that cannot be opened takes nothing."""
    found = []
    for info in archives:
        size = 0
        with contextlib.suppress(OSError):
            file = storage.open(info.name, writable=False)
            size = file.size()
            file.close()
        found.append(Sized(info, size))
    return found


def retain(
    storage: Storage,
    archives: Sequence[ArchiveInfo],
    options: Options,
    now_ns: int,
    declare: Declare,
    *,
    need_bytes: int = 0,
) -> list[ArchiveInfo]:
    """Apply retention and return the archives there are then. Raises: OSError.

    `now_ns` is the wall clock; it counts only as far as sealed history bears it out, so that a clock that jumps ahead
    for a moment deletes nothing. `need_bytes` more are to become free than the sizes ask for, of telemetry alone.
    """
    if not archives:
        return []
    now_ns = min(now_ns, max(info.wall_max_ns for info in archives))
    work = _Work(storage, sized(storage, archives), declare)
    for place in range(len(work.kept)):
        if expired(work.kept[place].info, options, now_ns):
            work.thin(place, _young_enough(options, now_ns))
    allowed = bytes_allowed(options) - need_bytes
    for place in range(len(work.kept)):
        if work.total <= allowed:
            break
        if work.kept[place].info.telemetry != []:
            work.thin(place, lambda record: record.class_ != "telemetry")
    while work.total > allowed and len(work.kept) > 1 and not need_bytes:
        work.drop_oldest()
    work.join_small()
    return [each.info for each in work.kept]


def _young_enough(options: Options, now_ns: int) -> Callable[[Record], bool]:
    return lambda record: record.class_ != "telemetry" or record.wall_ns + keep_ns_of(options, record.route) >= now_ns


class _Work:
    """Archives while they are being thinned."""

    def __init__(self, storage: Storage, kept: list[Sized], declare: Declare) -> None:
        self._storage = storage
        self._declare = declare
        self.kept = kept

    @property
    def total(self) -> int:
        return sum(each.size for each in self.kept)

    def thin(self, place: int, keeps: Callable[[Record], bool]) -> None:
        """Rewrite one archive with what is to be kept. One that is hurt stays as it is, until it is dropped whole."""
        info = self.kept[place].info
        if not self._is_whole(info, gives=lambda record: not keeps(record)):
            return  # nothing was written: what is hurt or young is looked at again in every round
        with ArchiveFile(self._storage, info.name) as file:
            fresh = _rewrite(file, self._records(info), info, keeps)
            self._declare(
                {
                    "from_seq": info.first_seq,
                    "to_seq": info.last_seq,
                    "reason": "retention",
                    "classes": ["telemetry"],
                    "records": info.records - fresh.records,
                }
            )
            file.finish(fresh)
        self.kept[place] = sized(self._storage, [fresh])[0]

    def drop_oldest(self) -> None:
        """Give up the oldest archive whole."""
        info = self.kept[0].info
        self._declare(
            {
                "from_seq": 1,  # what told of earlier losses may stand in it
                "to_seq": info.last_seq,
                "reason": "retention",
                "classes": list(CLASSES),
                "records": info.records,
                "whole": True,
            }
        )
        self._storage.remove(info.name)  # one that comes back after a cut was declared, and reads
        del self.kept[0]

    def join_small(self) -> None:
        """Join neighbours that are thinned and small, so that their number stays small too."""
        place = 0
        while place + 1 < len(self.kept):
            first, second = self.kept[place], self.kept[place + 1]
            if not self._are_to_join(first, second):
                place += 1
                continue
            frames = chain(self._records(first.info), self._records(second.info))
            with ArchiveFile(self._storage, first.info.name) as file:
                fresh = _rewrite(file, frames, first.info, lambda _record: True)
                file.finish(fresh)
            self._storage.remove(second.info.name)
            self.kept[place : place + 2] = sized(self._storage, [fresh])
            place = max(0, place - 1)

    def _are_to_join(self, first: Sized, second: Sized) -> bool:
        """Return whether joining makes fewer small files: not so often that one is written again for every crumb."""
        if not (first.info.is_thinned and second.info.is_thinned) or second.info.first_seq != first.info.last_seq + 1:
            return False
        if first.size + second.size > MERGED_BYTES or first.size > 2 * second.size:
            return False
        return self._is_whole(first.info) and self._is_whole(second.info)

    def _is_whole(self, info: ArchiveInfo, *, gives: Callable[[Record], bool] | None = None) -> bool:
        """Return whether all of an archive can be read, and whether it holds a record that `gives` asks for.

        What cannot be read must not pass for what retention took out.
        """
        found = gives is None
        try:
            for frame in frames_of_archive(self._storage, info):
                if isinstance(frame, Hurt):
                    return False
                found = found or (gives is not None and any(map(gives, records_of(*frame).records)))
        except OSError:
            return False
        return found

    def _records(self, info: ArchiveInfo) -> Iterator[tuple[Header, list[Record]]]:
        for frame in frames_of_archive(self._storage, info):
            if isinstance(frame, Hurt):
                raise OSError(errno.EIO, f"{info.name} could be read a moment ago, and cannot now")
            header, body = frame
            yield header, records_of(header, body).records


def _rewrite(
    file: ArchiveFile,
    frames: Iterator[tuple[Header, list[Record]]],
    first: ArchiveInfo,
    keeps: Callable[[Record], bool],
) -> ArchiveInfo:
    """Write thinned frames into an archive of the same start, not finished yet; return its footer."""
    packer = Packer(bytes.fromhex(first.log_id), first.first_seq)
    assert archive_name(first.first_seq) == file.name
    file.write(packer.head())
    for header, raw, records in thin(frames, keeps):
        file.write(packer.add(header, raw, records, header.epoch, is_thinned=True))
    end, info = packer.finish()
    file.write(end)
    return info
