"""Layer 5: the folded state at the end of sealed history, so that opening reads the ring and no archive.

A snapshot that is hurt falls back to the older one, and then to folding everything again: it is derived, and never in
the way. FORMAT.md section 8.

    [magic major minor codec reserved | log_id | seq | incarnation size raw_size | sha256 of the JSON:32 | crc] [data]
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Sequence
from hashlib import sha256
from struct import Struct
from typing import Any, Final

from fastcrc.crc32 import iscsi as crc32c

from gateway.ledger.archive import CODECS, ArchiveInfo, best_codec, compress, decompress
from gateway.ledger.fold import State
from gateway.ledger.frame import records_of
from gateway.ledger.record import Record
from gateway.ledger.seal import Hurt, frames_of_archive
from gateway.ledger.storage import Storage

FOLDER: Final = "snap"
KEPT: Final = 2
SMALL_BYTES: Final = 400 << 10  # of each in a ledger of small footprint: two, and one being written
MAGIC: Final = b"LDS1"
MAJOR, MINOR = 1, 0
HEAD: Final = Struct("<4s4B16sQIII32sII")
MAX_RAW_BYTES: Final = 256 << 20
_NAME: Final = re.compile(r"(\d{20})\.snap")


def save(storage: Storage, log_id: bytes, state: State, *, limit_bytes: int | None = None) -> dict[str, Any] | None:
    """Write a snapshot; durable on return. Return the body of its record; None if it is too large. Raises: OSError."""
    raw = json.dumps(state.as_json(), separators=(",", ":"), ensure_ascii=False).encode()
    codec = best_codec()
    data = compress(raw, codec)
    if limit_bytes is not None and HEAD.size + len(data) > limit_bytes:
        return None
    digest = sha256(raw).digest()
    head = HEAD.pack(
        MAGIC, MAJOR, MINOR, CODECS.index(codec), 0, log_id, state.seq, state.incarnation, len(data), len(raw), digest,
        crc32c(data), 0,
    )[:-4]  # fmt: skip
    name = f"{FOLDER}/{state.seq:020d}.snap"
    unfinished = name + ".tmp"
    storage.remove(unfinished)  # a longer one may be left from a cut
    file = storage.open(unfinished, create=True)
    try:
        file.write(head + crc32c(head).to_bytes(4, "little") + data, 0)
        file.sync()
    finally:
        file.close()
    storage.rename(unfinished, name)
    storage.sync_folder(FOLDER)
    unfinished_in(storage)
    own = name.removeprefix(f"{FOLDER}/")
    earlier = [leaf for leaf in storage.names(FOLDER) if _NAME.fullmatch(leaf) and leaf <= own]
    for leaf in earlier[:-KEPT]:
        storage.remove(f"{FOLDER}/{leaf}")
    return {"seq": state.seq, "file": name, "sha256": digest.hex()}


def take(
    storage: Storage,
    log_id: bytes,
    archived: Sequence[ArchiveInfo],
    end: int,
    more: Iterable[Sequence[Record]] = (),
    *,
    salvages: bool = False,
    is_small: bool = False,
) -> dict[str, Any] | None:
    """Fold what archives, and `more` behind them, hold since the last snapshot on top of it, up to number `end`.

    What the medium does not give now it may give another time: only with `salvages` the state goes on without it.
    Return the body of the snapshot's record; None where there is one of that number already, or where the state is too
    large for a ledger of small footprint, which is folded from its few archives instead. Raises: OSError.
    """
    state = load(storage, log_id, end, is_strict=not salvages) or State()
    if state.seq >= end:
        storage.sync_folder(FOLDER)  # who wrote it may have been stopped before; retention will rely on it
        return None
    for info in archived:
        if info.last_seq > state.seq:
            for frame in frames_of_archive(storage, info, state.seq + 1):
                if not isinstance(frame, Hurt):
                    state.apply_many(records_of(*frame).records)
                elif frame.error is not None and not salvages:
                    raise frame.error
    for records in more:
        state.apply_many(records)
    state.seq = max(state.seq, end)
    return save(storage, log_id, state, limit_bytes=SMALL_BYTES if is_small else None)


def unfinished_in(storage: Storage) -> list[str]:
    """Remove and return what a cut left half written."""
    left = [leaf for leaf in storage.names(FOLDER) if leaf.endswith(".tmp")]
    for leaf in left:
        with contextlib.suppress(OSError):
            storage.remove(f"{FOLDER}/{leaf}")
    return [leaf for leaf in storage.names(FOLDER) if leaf.endswith(".tmp")]


def load(storage: Storage, log_id: bytes, at_most_seq: int | None = None, *, is_strict: bool = False) -> State | None:
    """Return the newest state that can be read, not beyond a number; None where there is none.

    `is_strict`: one that the medium does not give raises its OSError, whatever older ones there are.
    """
    for leaf in reversed(storage.names(FOLDER)):
        told = _NAME.fullmatch(leaf)
        if told is None or (at_most_seq is not None and int(told[1]) > at_most_seq):
            continue
        data = b""
        with contextlib.nullcontext() if is_strict else contextlib.suppress(OSError):
            file = storage.open(f"{FOLDER}/{leaf}", writable=False)
            try:
                data = file.read(file.size(), 0)
            finally:
                file.close()
        state = parse(data, log_id)
        if state is not None and state.seq == int(told[1]):
            return state
    return None


def newest_seq(storage: Storage, log_id: bytes) -> int:
    """Return the highest number that a snapshot of this ledger was made of, as their heads tell; 0: there is none."""
    for leaf in reversed(storage.names(FOLDER)):
        told = _NAME.fullmatch(leaf)
        if told is None:
            continue
        with contextlib.suppress(OSError):
            file = storage.open(f"{FOLDER}/{leaf}", writable=False)
            try:
                head = file.read(HEAD.size, 0)
            finally:
                file.close()
            if len(head) == HEAD.size and crc32c(head[:-4]) == int.from_bytes(head[-4:], "little"):
                fields = HEAD.unpack(head)
                if (fields[0], fields[5], fields[6]) == (MAGIC, log_id, int(told[1])):
                    return int(told[1])
    return 0


def parse(data: bytes, log_id: bytes) -> State | None:
    """Return the state in a snapshot's bytes; None where they are not what was written for this ledger."""
    raw = raw_of(data, log_id)
    if raw is None:
        return None
    try:
        return State.from_json(json.loads(raw))
    except (ValueError, RecursionError):
        return None


def raw_of(data: bytes, log_id: bytes) -> bytes | None:
    """Return the JSON in a snapshot's bytes, None where anything in them is not what was written."""
    if len(data) < HEAD.size or data[:4] != MAGIC:
        return None
    _, major, _, codec, reserved, told_id, _, _, size, raw_size, digest, data_crc, crc = HEAD.unpack_from(data)
    if crc32c(data[: HEAD.size - 4]) != crc or major != MAJOR or reserved or codec >= len(CODECS) or told_id != log_id:
        return None
    packed = data[HEAD.size :]
    if len(packed) != size or crc32c(packed) != data_crc or raw_size > MAX_RAW_BYTES:
        return None
    raw = decompress(packed, CODECS[codec], raw_size)
    return raw if raw is not None and sha256(raw).digest() == digest else None
