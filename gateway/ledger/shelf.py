"""Layer 5: the archives of a folder as they are found: each with what it says of itself and what is wrong with that.

An archive whose footer is hurt is read from its start instead; only the blocks that are hurt themselves are lost.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from gateway.ledger.archive import (
    BLOCK,
    HEAD,
    MAX_BLOCK_BYTES,
    TRAILER,
    ArchiveInfo,
    Block,
    Codec,
    footer_place,
    frames_in,
    parse_footer,
    parse_head,
)
from gateway.ledger.frame import LINK_BYTES, Header
from gateway.ledger.seal import FOLDER, blocks_of_hurt_archive
from gateway.ledger.storage import Storage, insist

_NAME: Final = re.compile(r"\d{20}\.arc")
_HEX: Final = re.compile(r"[0-9a-f]*")


class Problem(NamedTuple):
    """What is wrong with an archive beside its blocks."""

    offset: int
    reason: str
    is_forged: bool = False


class Shelved(NamedTuple):
    """One archive."""

    name: str
    size: int
    info: ArchiveInfo | None  # None: nothing of it can be read
    problems: list[Problem]


def shelf(storage: Storage) -> list[Shelved]:
    """Return the archives of a folder, by name. Raises: LedgerFormatError for what a newer version wrote."""
    return [_look(storage, f"{FOLDER}/{leaf}") for leaf in storage.names(FOLDER) if _NAME.fullmatch(leaf)]


def archives_of(storage: Storage, log_id: bytes) -> list[ArchiveInfo]:
    """Return the archives of a ledger in order, also those that can only be read from their start."""
    return in_line(shelf(storage), log_id.hex())


def in_line(found: Sequence[Shelved], log_id: str) -> list[ArchiveInfo]:
    """Return a ledger's archives in the order of their numbers, without those that another one covers wholly."""
    own = [each.info for each in found if each.info is not None and each.info.log_id == log_id]
    own.sort(key=lambda info: (info.first_seq, -info.last_seq))
    kept: list[ArchiveInfo] = []
    for info in own:
        if not kept or info.last_seq > kept[-1].last_seq:
            kept.append(info)
    return kept


def _look(storage: Storage, name: str) -> Shelved:
    try:
        size, head, place, info = insist(lambda: _ends(storage, name))
    except OSError as error:
        return Shelved(name, 0, None, [Problem(0, f"cannot be read: {error.strerror or error}")])
    problems: list[Problem] = []
    if head is None:
        problems.append(Problem(0, "the archive's start is not what was written"))
    if info is not None and place is not None and not _is_sound(info, place[0]):
        problems.append(Problem(place[0], "the archive's footer is whole and says what cannot be", is_forged=True))
        info = None
    if info is None or place is None:
        at = max(0, size - TRAILER.size) if place is None else place[0]
        problems.append(Problem(at, "the archive's footer is not what was written; its blocks are read from the start"))
        if head is not None:
            info = _from_blocks(storage, name, *head)
    else:
        problems += _contradictions(name, info, head, place[0])
        info = msgspec.structs.replace(info, name=name)  # under whatever name, it can be read
    return Shelved(name, size, info, problems)


def _ends(
    storage: Storage, name: str
) -> tuple[int, tuple[bytes, Codec, int] | None, tuple[int, int, int] | None, ArchiveInfo | None]:
    """Return the size of an archive, what its head says, where its footer is and what that says. Raises: OSError."""
    file = storage.open(name, writable=False)
    try:
        size = file.size()
        head = parse_head(file.read(HEAD.size, 0))
        place = footer_place(file.read(TRAILER.size, max(0, size - TRAILER.size)), size)
        info = None if place is None else parse_footer(file.read(place[1], place[0]), place[2])
    finally:
        file.close()
    return size, head, place, info


def _is_sound(info: ArchiveInfo, footer_at: int) -> bool:
    """Return whether a footer can be followed: our packer writes no other, whoever else can."""
    ids = ((info.log_id, 16), (info.link, LINK_BYTES), (info.chain, 32))
    if not all(len(text) == 2 * size and _HEX.fullmatch(text) for text, size in ids):
        return False
    numbers = [info.first_seq, *(seq for block in info.blocks for seq in (block.first_seq, block.last_seq))]
    if not info.blocks or numbers != sorted(numbers) or not 1 <= numbers[0] <= numbers[-1] == info.last_seq < 1 << 63:
        return False
    if not all(1 <= first <= last < 1 << 63 for first, last in info.lost):
        return False
    ends = [HEAD.size]
    for block in info.blocks:
        if block.offset != ends[-1] or block.size < 1 or not 0 < block.raw_size <= MAX_BLOCK_BYTES:
            return False
        ends.append(block.offset + BLOCK.size + block.size)
    return ends[-1] == footer_at


def _contradictions(
    name: str, info: ArchiveInfo, head: tuple[bytes, Codec, int] | None, footer_at: int
) -> list[Problem]:
    """Return where a whole archive does not agree with itself or with its name."""
    found: list[Problem] = []
    if info.name != name:
        found.append(Problem(footer_at, f"an archive that was made as {info.name}", is_forged=True))
    if head is not None and head != (bytes.fromhex(info.log_id), info.codec, info.first_seq):
        found.append(Problem(0, "the archive's start is not that of its footer", is_forged=True))
    return found


def _from_blocks(storage: Storage, name: str, log_id: bytes, codec: Codec, first_seq: int) -> ArchiveInfo | None:
    """Return what the footer of an archive would say, as far as it is needed to read it."""
    first: Header | None = None
    last: Header | None = None
    blocks: list[Block] = []
    records = 0
    with contextlib.suppress(OSError):
        for offset, head, raw in blocks_of_hurt_archive(storage, name):
            blocks.append(Block(offset, head.size, head.raw_size, head.first_seq, head.last_seq))
            for header, _, _ in frames_in(raw):
                first = first or header
                last = header
                records += header.records
    if first is None or last is None:
        return None
    return ArchiveInfo(
        name=name, log_id=log_id.hex(), codec=codec, first_seq=first_seq, last_seq=blocks[-1].last_seq,
        records=records, first_epoch=first.epoch, last_epoch=last.epoch, incarnation=last.incarnation,
        boot_no=last.boot_no, wall_min_ns=0, wall_max_ns=(1 << 63) - 1, link=first.link.hex(), chain=last.chain.hex(),
        raw_bytes=sum(block.raw_size for block in blocks), classes=[], blocks=blocks, declares_more=True,
    )  # fmt: skip
