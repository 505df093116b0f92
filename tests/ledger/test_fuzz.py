"""LEDGER 4, row 16, bounded: whatever the bytes are, the parsers answer with values and with errors of ours."""

from __future__ import annotations

import contextlib
import json
from functools import cache

from fastcrc.crc32 import iscsi as crc32c
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import LedgerError
from gateway.ledger import snapshot
from gateway.ledger.archive import (
    BLOCK,
    BLOCK_MAGIC,
    HEAD,
    TRAILER,
    TRAILER_MARK,
    footer_place,
    frames_in,
    open_block,
    parse_block_head,
    parse_footer,
    parse_head,
)
from gateway.ledger.frame import HEADER, MAGIC, has_true_chain, leaves_of, parse_header, records_of
from gateway.ledger.meta import META_BYTES, decode_meta
from gateway.ledger.reader import Reader
from gateway.ledger.record import parse_records
from gateway.ledger.segment import walk
from gateway.ledger.verify import verify
from gateway.testing.storage import Image, MemoryStorage
from tests.ledger.folders import LOG_ID, UNIT, changed, filled, storied

EDITS = st.lists(st.tuples(st.integers(0, 1 << 16), st.binary(min_size=1, max_size=64)), min_size=1, max_size=6)
BITS_8, BITS_16, BITS_32, BITS_64 = (st.integers(0, (1 << bits) - 1) for bits in (8, 16, 32, 64))


@cache
def sealed() -> Image:
    return filled(17)


@cache
def lapped() -> Image:
    return storied(20)


def edited(data: bytes, edits: list[tuple[int, bytes]]) -> bytes:
    """Return bytes with pieces overwritten, cut to their length."""
    hurt = bytearray(data)
    for at, piece in edits:
        place = at % len(data)
        hurt[place : place + len(piece)] = piece
    return bytes(hurt[: len(data)])


def with_crc(raw: bytes) -> bytes:
    return raw[:-4] + crc32c(raw[:-4]).to_bytes(4, "little")


@st.composite
def headers(draw: st.DrawFn) -> bytes:
    """Return a frame's header with a right checksum and anything in it."""
    small = st.integers(0, 12)
    return with_crc(
        HEADER.pack(
            MAGIC, 1, 0, draw(BITS_8), 32, draw(small | BITS_64), draw(small | BITS_64), draw(small | BITS_64),
            draw(BITS_64), draw(BITS_32), draw(small | BITS_16), draw(small | BITS_8), draw(BITS_8),
            draw(small | BITS_32), draw(BITS_32), draw(st.binary(min_size=8, max_size=8)),
            draw(st.binary(min_size=32, max_size=32)), LOG_ID, draw(small | BITS_32), draw(st.just(9) | BITS_8),
            draw(BITS_8), draw(small | BITS_16), draw(small | BITS_32), 0,
        )
    )  # fmt: skip


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """Return a frame of one unit with right checksums: a true one, some fields and maybe the body made up."""
    place = UNIT * draw(st.integers(0, 7))
    true, strange = filled(8)["hot/00.seg"][place : place + UNIT], HEADER.unpack(draw(headers()))
    fields = list(HEADER.unpack(true[: HEADER.size]))
    for at in draw(st.sets(st.integers(3, 22), max_size=3)):
        fields[at] = strange[at]
    body = true[HEADER.size : HEADER.size + fields[13]]
    if draw(st.booleans()):
        body = edited(body, draw(EDITS)) if body else draw(st.binary(max_size=UNIT - HEADER.size))
        fields[13], fields[14] = len(body), crc32c(body)
    return (with_crc(HEADER.pack(*fields)) + body).ljust(UNIT, b"\0")[:UNIT]


def survives(image: Image) -> None:
    """Verify and read files, whatever they hold."""
    for deep in (False, True):
        with contextlib.suppress(LedgerError):
            found = verify(MemoryStorage(image), deep=deep)
            assert (found.damage != []) == (found.verdict in {"damaged", "forged"})
    with contextlib.suppress(LedgerError):
        reader = Reader(MemoryStorage(image))
        seqs = [item.seq for item in reader.read()]
        assert seqs == sorted(set(seqs))
        reader.head()
        reader.locate(3)


@given(st.binary(max_size=600))
def test_any_bytes_are_parsed(data: bytes) -> None:
    for start in (b"", MAGIC, BLOCK_MAGIC, b"LDA1", b"LDM1", b"LDS1"):
        with contextlib.suppress(LedgerError):
            parse_header(start + data)
            parse_records(start + data, 0, 50)
            walk(start + data, UNIT, LOG_ID)
            decode_meta((start + data).ljust(META_BYTES, b"\0"))
            parse_head(start + data)
            parse_block_head(start + data)
            list(frames_in(start + data))
            footer_place((start + data)[-TRAILER.size :], len(data))
            parse_footer(data, crc32c(data))
            snapshot.parse(start + data, LOG_ID)


@given(headers(), st.binary(max_size=300))
def test_a_header_of_anything_with_a_right_checksum_is_answered(raw: bytes, body: bytes) -> None:
    header = parse_header(raw)
    if header is not None:
        records_of(header, body)
        leaves_of(header, body)
        has_true_chain(header, body, bytes(32))
    walk((raw + body).ljust(4 * UNIT, b"\0"), UNIT, LOG_ID)


@given(st.lists(frames() | headers().map(lambda raw: raw.ljust(UNIT, b"\1")), min_size=1, max_size=8))
def test_a_segment_of_anything_with_right_checksums_is_verified_and_read(parts: list[bytes]) -> None:
    survives(changed(filled(8), "hot/00.seg", b"".join(parts).ljust(8 * UNIT, b"\0")))
    survives(changed(sealed(), "hot/01.seg", b"".join(parts).ljust(8 * UNIT, b"\0")))


@given(st.sampled_from(["META.a", "META.b", "hot/00.seg", "hot/01.seg", "hot/02.seg"]), EDITS)
def test_an_edited_file_is_verified_and_read(name: str, edits: list[tuple[int, bytes]]) -> None:
    survives(changed(sealed(), name, edited(sealed()[name], edits)))


@given(st.data())
def test_an_edited_archive_or_snapshot_is_verified_and_read(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([name for name in lapped() if name.endswith((".arc", ".snap"))]))
    survives(changed(lapped(), name, edited(lapped()[name], data.draw(EDITS))))


@given(EDITS)
def test_meta_of_anything_with_a_right_checksum_is_verified_and_read(edits: list[tuple[int, bytes]]) -> None:
    meta = with_crc(edited(sealed()["META.a"][:140], edits).ljust(META_BYTES, b"\0"))
    survives(changed(sealed(), "META.a", meta))
    survives({**sealed(), "META.a": meta, "META.b": meta})


@given(EDITS)
def test_a_footer_of_anything_with_a_right_checksum_is_verified_and_read(edits: list[tuple[int, bytes]]) -> None:
    name = "arc/00000000000000000001.arc"
    data = sealed()[name]
    place = footer_place(data[-TRAILER.size :], len(data))
    assert place is not None
    footer = edited(data[place[0] : place[0] + place[1]], edits)
    end = footer + TRAILER.pack(len(footer), crc32c(footer), TRAILER_MARK)
    survives(changed(sealed(), name, data[: place[0]] + end))


FIELDS = ["first_seq", "last_seq", "records", "first_epoch", "last_epoch", "incarnation", "boot_no"]
NUMBERS = st.integers(-2, 400) | st.integers(-(1 << 70), 1 << 70)


@given(
    st.dictionaries(st.sampled_from(FIELDS), NUMBERS, min_size=1),
    st.lists(st.tuples(*(NUMBERS,) * 5), max_size=3) | st.none(),
)
def test_a_footer_of_impossible_numbers_is_verified_and_read(
    numbers: dict[str, int], blocks: list[tuple[int, ...]] | None
) -> None:
    name = "arc/00000000000000000001.arc"
    data = sealed()[name]
    place = footer_place(data[-TRAILER.size :], len(data))
    assert place is not None
    told = json.loads(data[place[0] : place[0] + place[1]]) | numbers
    if blocks is not None:
        told["blocks"] = blocks
    footer = json.dumps(told).encode()
    end = footer + TRAILER.pack(len(footer), crc32c(footer), TRAILER_MARK)
    survives(changed(sealed(), name, data[: place[0]] + end))


@given(BITS_32, BITS_32, BITS_32, BITS_64, BITS_64, st.binary(max_size=200))
@settings(max_examples=50)
def test_a_block_of_anything_with_right_checksums_is_opened_or_refused(
    size: int, raw_size: int, count: int, first_seq: int, last_seq: int, data: bytes
) -> None:
    for told in (size, len(data)):
        head = parse_block_head(
            with_crc(BLOCK.pack(BLOCK_MAGIC, told, raw_size, count, first_seq, last_seq, crc32c(data), 0))
        )
        assert head is not None
        for codec in ("zlib", "zstd"):
            raw = open_block(head, data, codec)  # type: ignore[arg-type]
            assert raw is None or len(raw) == raw_size
    assert parse_head(with_crc(HEAD.pack(b"LDA1", 1, 0, 9, 0, LOG_ID, 1, bytes(28), 0))) is None
