"""Layer 5: snapshots under verification. They are derived: nothing is lost with one, and nothing in one is believed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from fastcrc.crc32 import iscsi as crc32c

from gateway.ledger.findings import Findings
from gateway.ledger.scrutiny import Told
from gateway.ledger.snapshot import FOLDER, HEAD, MAGIC, parse
from gateway.ledger.storage import Storage

DERIVED: Final = "it is derived: the log holds all that it says, and the next sealing makes another"
_NAME: Final = re.compile(r"(\d{20})\.snap")


class _Head(NamedTuple):
    log_id: bytes
    seq: int
    size: int
    digest: bytes


def check_snapshots(
    storage: Storage, log_id: bytes, told: Mapping[str, Told], findings: Findings, *, deep: bool
) -> None:
    """Look at every snapshot; `told` are records of them that were read, by file."""
    there = [leaf for leaf in storage.names(FOLDER) if _NAME.fullmatch(leaf)]
    for leaf in there:
        _look(storage, log_id, f"{FOLDER}/{leaf}", told, findings, deep=deep)
    newest = max(told.values(), key=lambda each: each.seq, default=None)
    if newest is not None and newest.file.removeprefix(f"{FOLDER}/") not in there:
        findings.hurt_at(newest.file, 0, f"the snapshot is gone; {DERIVED}")


def _look(
    storage: Storage, log_id: bytes, name: str, told: Mapping[str, Told], findings: Findings, *, deep: bool
) -> None:
    try:
        file = storage.open(name, writable=False)
        try:
            size = file.size()
            data = file.read(size if deep else HEAD.size, 0)
        finally:
            file.close()
    except OSError as error:
        findings.hurt_at(name, 0, f"cannot be read: {error.strerror or error}; {DERIVED}")
        return
    head = _head_of(data)
    if head is None or HEAD.size + head.size != size:
        findings.hurt_at(name, 0, f"the snapshot is not what was written; {DERIVED}")
    elif head.log_id != log_id:
        findings.forge(0, name, 0, f"of another ledger ({head.log_id.hex()}; this one is {log_id.hex()})")
    elif name != f"{FOLDER}/{head.seq:020d}.snap":
        findings.forge(head.seq, name, 0, f"a snapshot of {head.seq} under another name")
    elif name in told and told[name].sha256 != head.digest.hex():
        findings.forge(head.seq, name, 0, "not the snapshot whose hash the log tells")
    elif deep and ((state := parse(data, log_id)) is None or state.seq != head.seq):
        findings.hurt_at(name, HEAD.size, f"the snapshot is not what was written; {DERIVED}")


def _head_of(data: bytes) -> _Head | None:
    if len(data) < HEAD.size or data[:4] != MAGIC:
        return None
    fields = HEAD.unpack_from(data)
    if crc32c(data[: HEAD.size - 4]) != fields[-1]:
        return None
    return _Head(fields[5], fields[6], fields[8], fields[10])
