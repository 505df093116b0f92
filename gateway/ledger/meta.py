"""Layer 2: META.a and META.b: what must be known before the ring is read, twice, the newer one wins. Pure.

FORMAT.md section 5 is the contract. Everything in them but the evidence of a clean end can be found again from the
frames, so that a ledger opens without them.

    magic major minor state small | generation | log_id | unit segment_bytes segments boot_no incarnation |
    last_seq sealed_epoch sealed_seq kept_from | chain:32 | zeros | crc32c at 4092
"""

from __future__ import annotations

from struct import Struct
from typing import Final

import msgspec
from fastcrc.crc32 import iscsi as crc32c

from gateway.errors import LedgerFormatError

MAGIC: Final = b"LDM1"
MAJOR, MINOR = 1, 0
META_BYTES: Final = 4096
NAMES: Final = ("META.a", "META.b")
_LAYOUT: Final = Struct("<4s4BQ16sIIIIIQQQQ32s")


class Meta(msgspec.Struct, frozen=True, kw_only=True):
    """One generation."""

    generation: int
    log_id: bytes
    unit_bytes: int
    segment_bytes: int
    segments: int  # of a complete ring
    is_small: bool = False
    is_clean: bool = False  # closed in order: `last_seq` and `chain` are the end, nothing was written behind it
    boot_no: int = 0
    incarnation: int = 1
    last_seq: int = 0  # evidence: durable when this was written
    chain: bytes = bytes(32)
    sealed_epoch: int = 0  # segments up to this epoch are in archives
    sealed_seq: int = 0
    kept_from: int = 1  # sequence numbers below it were given up by retention

    def encode(self) -> bytes:
        """Return the whole file."""
        head = _LAYOUT.pack(
            MAGIC, MAJOR, MINOR, self.is_clean, self.is_small, self.generation, self.log_id, self.unit_bytes,
            self.segment_bytes, self.segments, self.boot_no, self.incarnation, self.last_seq, self.sealed_epoch,
            self.sealed_seq, self.kept_from, self.chain,
        )  # fmt: skip
        padded = head.ljust(META_BYTES - 4, b"\0")
        return padded + crc32c(padded).to_bytes(4, "little")


def decode_meta(data: bytes) -> Meta | None:
    """Return what a META file says, None where it is not whole. Raises: LedgerFormatError for a newer version."""
    if len(data) != META_BYTES or data[:4] != MAGIC:
        return None
    if crc32c(data[:-4]) != int.from_bytes(data[-4:], "little"):
        return None
    if data[4] != MAJOR:
        raise LedgerFormatError(f"this ledger was written by a newer version (format {data[4]}); read it with that one")
    fields = _LAYOUT.unpack_from(data)
    return Meta(
        is_clean=bool(fields[3]), is_small=bool(fields[4]), generation=fields[5], log_id=fields[6],
        unit_bytes=fields[7], segment_bytes=fields[8], segments=fields[9], boot_no=fields[10],
        incarnation=fields[11], last_seq=fields[12], sealed_epoch=fields[13], sealed_seq=fields[14],
        kept_from=fields[15], chain=fields[16],
    )  # fmt: skip


def newest(found: dict[str, Meta | None]) -> tuple[str | None, Meta | None]:
    """Return the name and the content of the copy that counts."""
    valid = [(meta.generation, name, meta) for name, meta in found.items() if meta is not None]
    if not valid:
        return None, None
    _, name, meta = max(valid, key=lambda each: each[0])
    return name, meta
