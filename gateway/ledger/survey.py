"""Layer 5: what lies in a ledger's ring, found without META where need be and without changing anything.

Whose ledger it is, most of its segments and archives tell: one foreign file, META included, does not take over.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Final, NamedTuple

from gateway.ledger.frame import HEADER_BYTES, MAGIC, Header, parse_header
from gateway.ledger.meta import NAMES, Meta, newest
from gateway.ledger.metafile import read_copies
from gateway.ledger.ring import FOLDER
from gateway.ledger.segment import is_zero, walk
from gateway.ledger.storage import Storage, StoredFile

LEAST_UNIT_BYTES: Final = 512
DEFAULT_UNIT_BYTES: Final = 4096
PIECE_BYTES: Final = 4096  # what of a file that cannot be read whole is given up at once
_SEGMENT: Final = re.compile(r"(\d{2,})\.seg")


class Segment(NamedTuple):
    """A file of the ring, before it is read whole."""

    name: str
    number: int
    size: int
    epoch: int  # 0: no commit of this ledger is whole in it
    first_seq: int  # of its first whole commit; 0: none
    seen_epoch: int  # the highest that any of its headers names
    foreign: bytes | None  # the id of another ledger whose commits lie in it


class Survey(NamedTuple):
    """The hot part of a ledger."""

    log_id: bytes
    unit_bytes: int
    metas: dict[str, Meta | None]
    meta: Meta | None  # the newest copy that can be read and is of this ledger
    segments: list[Segment]  # by number

    @property
    def by_epoch(self) -> list[Segment]:
        """Return the segments that hold commits, the oldest first."""
        return sorted((each for each in self.segments if each.epoch), key=lambda each: (each.epoch, each.number))

    def live(self, sealed_seq: int) -> list[Segment]:
        """Return the segments that hold what is numbered above `sealed_seq` and was not given up, the oldest first.

        Of segments that name the same epoch, which recycling never leaves, the first counts.
        """
        order: list[Segment] = []
        for each in self.by_epoch:
            if not order or each.epoch != order[-1].epoch:
                order.append(each)
        needed = max(sealed_seq + 1, self.meta.kept_from if self.meta is not None else 1)
        while len(order) > 1 and order[1].first_seq <= needed:
            order.pop(0)
        return order


class _Look(NamedTuple):
    name: str
    number: int
    size: int
    known: Header | None  # the first header found anywhere in it


def survey(storage: Storage, voters: Iterable[bytes] = ()) -> Survey | None:
    """Return what is there; None where nothing tells of a ledger. `voters` are the ledger ids that archives name.

    Raises: LedgerFormatError for what a newer version wrote.
    """
    metas = read_copies(storage)
    looks = [_look(storage, name, number) for number, name in segment_files(storage)]
    votes = Counter(voters)
    votes.update(each.known.log_id for each in looks if each.known is not None)
    newest_meta = newest(metas)[1]
    if newest_meta is not None and votes[newest_meta.log_id] == max(votes.values(), default=0):
        log_id = newest_meta.log_id
    elif votes:
        log_id = votes.most_common(1)[0][0]
    else:
        return None
    own = {name: each if each is not None and each.log_id == log_id else None for name, each in metas.items()}
    meta = newest(own)[1]
    units = Counter(1 << each.known.unit_log2 for each in looks if each.known and each.known.log_id == log_id)
    unit_bytes = units.most_common(1)[0][0] if units else meta.unit_bytes if meta is not None else DEFAULT_UNIT_BYTES
    return Survey(log_id, unit_bytes, metas, meta, [_segment(storage, each, unit_bytes, log_id) for each in looks])


def state_of(storage: Storage) -> object:
    """Return something that differs when a writer has sealed, retired or joined anything, or made a segment."""
    meta = newest(read_copies(storage))[1]
    archives = [(leaf, _end_of(storage, f"arc/{leaf}")) for leaf in storage.names("arc")]
    return meta and meta.generation, archives, storage.names(FOLDER), storage.names("snap")


def _end_of(storage: Storage, name: str) -> tuple[int, bytes] | None:
    """Return what tells a file from another of the same name."""
    try:
        file = storage.open(name, writable=False)
        try:
            size = file.size()
            return size, file.read(16, max(0, size - 16))
        finally:
            file.close()
    except OSError:
        return None


def is_unmade(storage: Storage) -> bool:
    """Return whether nothing but what a cut leaves of making a ledger lies there, where nothing can be read.

    META.a is whole on the medium before META.b is begun, and segments have their names when they are whole: zeros.
    """
    if sum(name in NAMES for name in storage.names()) > 1 or storage.names("arc"):
        return False
    try:
        return all(is_zero(read_whole(storage, name)) for _, name in segment_files(storage))
    except OSError:
        return False  # what is not given back may be anything


def segment_files(storage: Storage) -> list[tuple[int, str]]:
    """Return number and name of each segment that has its final name, by number."""
    found = ((_SEGMENT.fullmatch(name), name) for name in storage.names(FOLDER))
    return sorted((int(match[1]), f"{FOLDER}/{name}") for match, name in found if match)


def read_whole(storage: Storage, name: str) -> bytes:
    """Return a file's bytes, zeros where the medium does not give them back. Raises: OSError, when it gives none."""
    file = storage.open(name, writable=False)
    try:
        size = file.size()
        try:
            return file.read(size, 0)
        except OSError as error:
            pieces = [_piece(file, at, min(PIECE_BYTES, size - at)) for at in range(0, size, PIECE_BYTES)]
            if not any(pieces):
                raise
            padded = (piece.ljust(PIECE_BYTES, b"\0") for piece in pieces)
            del error
            return b"".join(padded)[:size]
    finally:
        file.close()


def _piece(file: StoredFile, at: int, size: int) -> bytes:
    try:
        return file.read(size, at)
    except OSError:
        return b""


def _look(storage: Storage, name: str, number: int) -> _Look:
    try:
        file = storage.open(name, writable=False)
        try:
            size = file.size()
            known = parse_header(file.read(HEADER_BYTES, 0))
        finally:
            file.close()
        return _Look(name, number, size, known or _any_header(read_whole(storage, name)))
    except OSError:
        return _Look(name, number, 0, None)


def _any_header(data: bytes) -> Header | None:
    for at in range(0, len(data), LEAST_UNIT_BYTES):
        if data[at : at + 4] == MAGIC and (header := parse_header(data, at)) is not None:
            return header
    return None


def _segment(storage: Storage, look: _Look, unit_bytes: int, log_id: bytes) -> Segment:
    """Read all of it: what stands at its start may be of an earlier lap, where the commit that replaced it is lost."""
    if look.known is None:
        return Segment(look.name, look.number, look.size, 0, 0, 0, None)
    try:
        walked = walk(read_whole(storage, look.name), unit_bytes, log_id)
    except OSError:
        return Segment(look.name, look.number, look.size, 0, 0, 0, None)
    first_seq = next((each.header.base_seq for each in walked.frames if each.is_whole), 0)
    return Segment(look.name, look.number, look.size, walked.epoch, first_seq, walked.seen_epoch, walked.foreign)
