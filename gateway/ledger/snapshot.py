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
MAGIC: Final = b"LDS1"
MAJOR, MINOR = 1, 0
HEAD: Final = Struct("<4s4B16sQIII32sII")
MAX_RAW_BYTES: Final = 256 << 20
_NAME: Final = re.compile(r"(\d{20})\.snap")


def save(storage: Storage, log_id: bytes, state: State) -> dict[str, Any]:
    """Write a snapshot; durable on return. Return the body of its record. Raises: OSError."""
    raw = json.dumps(state.as_json(), separators=(",", ":"), ensure_ascii=False).encode()
    codec = best_codec()
    data = compress(raw, codec)
    digest = sha256(raw).digest()
    head = HEAD.pack(
        MAGIC, MAJOR, MINOR, CODECS.index(codec), 0, log_id, state.seq, state.incarnation, len(data), len(raw), digest,
        crc32c(data), 0,
    )[:-4]  # fmt: skip
    name = f"{FOLDER}/{state.seq:020d}.snap"
    unfinished = name + ".tmp"
    file = storage.open(unfinished, create=True)
    try:
        file.write(head + crc32c(head).to_bytes(4, "little") + data, 0)
        file.sync()
    finally:
        file.close()
    storage.rename(unfinished, name)
    storage.sync_folder(FOLDER)
    for leaf in storage.names(FOLDER)[:-KEPT] if not unfinished_in(storage) else []:
        storage.remove(f"{FOLDER}/{leaf}")
    return {"seq": state.seq, "file": name, "sha256": digest.hex()}


def take(
    storage: Storage, log_id: bytes, archived: Sequence[ArchiveInfo], end: int, more: Iterable[Sequence[Record]] = ()
) -> dict[str, Any] | None:
    """Fold what archives, and `more` behind them, hold since the last snapshot on top of it, up to number `end`.

    Return the body of the snapshot's record; None where there is one of that number already. Raises: OSError.
    """
    state = load(storage, log_id, end) or State()
    if state.seq >= end:
        return None
    for info in archived:
        if info.last_seq > state.seq:
            for frame in frames_of_archive(storage, info, state.seq + 1):
                if not isinstance(frame, Hurt):
                    state.apply_many(records_of(*frame).records)
    for records in more:
        state.apply_many(records)
    state.seq = max(state.seq, end)
    return save(storage, log_id, state)


def unfinished_in(storage: Storage) -> list[str]:
    """Remove and return what a cut left half written."""
    left = [leaf for leaf in storage.names(FOLDER) if leaf.endswith(".tmp")]
    for leaf in left:
        with contextlib.suppress(OSError):
            storage.remove(f"{FOLDER}/{leaf}")
    return [leaf for leaf in storage.names(FOLDER) if leaf.endswith(".tmp")]


def load(storage: Storage, log_id: bytes, at_most_seq: int | None = None) -> State | None:
    """Return the newest state that can be read, not beyond a number; None where there is none."""
    for leaf in reversed(storage.names(FOLDER)):
        told = _NAME.fullmatch(leaf)
        if told is None or (at_most_seq is not None and int(told[1]) > at_most_seq):
            continue
        data = b""
        with contextlib.suppress(OSError):
            file = storage.open(f"{FOLDER}/{leaf}", writable=False)
            try:
                data = file.read(file.size(), 0)
            finally:
                file.close()
        state = parse(data, log_id)
        if state is not None and state.seq == int(told[1]):
            return state
    return None


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
