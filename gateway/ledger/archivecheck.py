"""Layer 5: sealed history under verification: by the archives' footers, or every byte of every block."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Final

from gateway.ledger.archive import BLOCK, TRAILER, ArchiveInfo, Block, frames_in, open_block, parse_block_head
from gateway.ledger.findings import DECLARING_KINDS
from gateway.ledger.frame import DECLARES, HEADER_BYTES, records_of
from gateway.ledger.scrutiny import Scrutiny
from gateway.ledger.seal import frames_of_archive
from gateway.ledger.segment import Placed
from gateway.ledger.shelf import Shelved, in_line
from gateway.ledger.storage import Storage, StoredFile

BLOCK_HURT: Final = "a block of the archive is not what was written"
LOST: Final = "records could not be read any more when this archive was made"
FRAME_HURT: Final = "a block of the archive is whole, and does not hold the commits it should"


class ArchiveCheck:
    """One look at the archives, oldest first."""

    def __init__(
        self,
        storage: Storage,
        shelved: list[Shelved],
        scrutiny: Scrutiny,
        step: Callable[[int], None],
    ) -> None:
        self._storage = storage
        self._shelved = {each.name: each for each in shelved}
        self._findings = scrutiny.findings
        self._scrutiny = scrutiny
        self._step = step  # is told of each file's bytes when they were looked at

    def run(self, log_id: bytes, *, deep: bool, against_seq: int) -> int:
        """Look at all of them; whole, where `deep` says so or the kept head lies inside. Return the highest epoch."""
        findings = self._findings
        line = in_line(list(self._shelved.values()), log_id.hex())
        for each in self._shelved.values():
            first_seq = each.info.first_seq if each.info is not None else 0
            for problem in each.problems:
                if problem.is_forged:
                    findings.forge(first_seq, each.name, problem.offset, problem.reason)
                else:
                    findings.hurt_at(each.name, problem.offset, problem.reason, first_seq)
            if each.info is not None and each.info.log_id != log_id.hex():
                findings.forge(0, each.name, 0, f"of another ledger ({each.info.log_id}; this one is {log_id.hex()})")
        for info in line:
            for told in info.declares:
                findings.take(told)
        for info in line:
            size = self._shelved[info.name].size
            if deep or info.first_seq <= against_seq < info.last_seq:
                self._whole(info)
            else:
                self._scrutiny.archive(info, size - TRAILER.size)
                for first, last in info.lost:
                    self._findings.hurt_at(info.name, size - TRAILER.size, LOST, first, last)
                if info.declares_more:
                    self._declares(info)
            self._step(size)
        return max((info.last_epoch for info in line), default=0)

    def _whole(self, info: ArchiveInfo) -> None:
        """Look at every byte of an archive."""
        recovery, records = self._scrutiny.recovery, self._scrutiny.records
        is_whole = True
        try:
            file = self._storage.open(info.name, writable=False)
        except OSError as error:
            self._findings.hurt_at(
                info.name, 0, f"cannot be read: {error.strerror or error}", info.first_seq, info.last_seq
            )
            return
        try:
            for block in info.blocks:
                is_whole = self._block(file, info, block) and is_whole
        finally:
            file.close()
        footer_at = info.blocks[-1].offset + BLOCK.size + info.blocks[-1].size
        if not is_whole:
            return
        told = (info.chain, info.records)
        if told != (recovery.chain.hex(), self._scrutiny.records - records):
            self._findings.forge(
                info.first_seq, info.name, footer_at, "the footer tells of other commits than are here"
            )
        for seq in self._findings.unconfirmed(info.declares):
            self._findings.forge(seq, info.name, footer_at, "the footer tells of a gap that no record here declares")

    def _block(self, file: StoredFile, info: ArchiveInfo, block: Block) -> bool:
        """Look at one block; return whether it is what was written."""
        raw = _opened(file, info, block)
        if raw is None:
            self._findings.hurt_at(info.name, block.offset, BLOCK_HURT, block.first_seq, block.last_seq)
            return False
        frames = [(Placed(block.offset, header, is_whole=True), body) for header, body, _ in frames_in(raw)]
        size = sum(HEADER_BYTES + len(body) for _, body in frames)
        if not frames or size != len(raw) or _range_of(frames) != (block.first_seq, block.last_seq):
            self._findings.forge(block.first_seq, info.name, block.offset, FRAME_HURT)
        self._scrutiny.block(info.name, frames)
        return True

    def _declares(self, info: ArchiveInfo) -> None:
        """Take the declarations of an archive whose footer does not list them all."""
        with contextlib.suppress(OSError):
            for found in frames_of_archive(self._storage, info):
                if isinstance(found, tuple) and found[0].flags & DECLARES:
                    for record in records_of(*found).records:
                        if record.kind in DECLARING_KINDS:
                            self._findings.declare(record)


def _opened(file: StoredFile, info: ArchiveInfo, block: Block) -> bytes | None:
    """Return the frames of a block whose header says what the footer says of it, None where it is hurt."""
    try:
        head = parse_block_head(file.read(BLOCK.size, block.offset))
        if head is None or (head.size, head.raw_size) != (block.size, block.raw_size):
            return None
        if (head.first_seq, head.last_seq) != (block.first_seq, block.last_seq):
            return None
        return open_block(head, file.read(block.size, block.offset + BLOCK.size), info.codec)
    except OSError:
        return None


def _range_of(frames: list[tuple[Placed, bytes]]) -> tuple[int, int]:
    return frames[0][0].header.base_seq, frames[-1][0].header.next_seq - 1
