"""Sealed history: frames in blocks, a footer that says where; what is hurt is noticed and the rest still reads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import LedgerFormatError
from gateway.ledger import archive as archive_module
from gateway.ledger.archive import (
    CODECS,
    HEAD,
    TRAILER,
    ArchiveInfo,
    Codec,
    Packer,
    compress,
    decompress,
    footer_place,
    frames_in,
    open_block,
    parse_block_head,
    parse_footer,
    parse_head,
)
from gateway.ledger.draft import Checker, Draft, Routes
from gateway.ledger.frame import HEADER_BYTES, Header, Stamp, body_of, first_chain, parse_header, records_of
from gateway.ledger.seal import Hurt, frames_of_archive
from gateway.ledger.shelf import shelf
from gateway.testing.storage import MemoryStorage

LOG_ID = bytes(range(16))


def packed(count: int, codec: Codec = "zlib", size: int = 40) -> tuple[bytes, ArchiveInfo, list[bytes]]:
    """Return an archive of `count` frames of one record, its footer, and the frames as they are kept."""
    routes, chain = Routes(), first_chain(LOG_ID)
    packer = Packer(LOG_ID, 1, codec)
    parts, frames = [packer.head()], []
    for seq in range(1, count + 1):
        draft = Draft(Stamp(LOG_ID, 1, 1, seq * 1_000_000, 0), seq, 0)
        kind = "gap" if seq % 7 == 0 else "reading"
        body = {"dropped": seq} if kind == "gap" else bytes([seq % 256]) * size
        draft.put(Checker(routes).check([(kind, f"a/b/c{seq % 5}", body)]).records, 0, seq * 1_000_000, 65_536, routes)
        after = draft.chain(chain)
        raw = draft.build(flags=0, epoch=3, previous=chain, chain=after, unit_log2=12)
        chain = after
        header = parse_header(raw)
        assert header is not None
        kept = raw[: HEADER_BYTES + header.body_bytes]
        body_bytes = body_of(raw, 0, header)
        assert body_bytes is not None
        frames.append(kept)
        parts.append(packer.add(header, kept, records_of(header, body_bytes).records, 3))
    end, info = packer.finish()
    return b"".join([*parts, end]), info, frames


def read(data: bytes, info: ArchiveInfo) -> list[bytes]:
    found: list[bytes] = []
    for block in info.blocks:
        head = parse_block_head(data[block.offset :])
        assert head is not None
        start = block.offset + archive_module.BLOCK.size
        raw = open_block(head, data[start : start + head.size], info.codec)
        assert raw is not None
        found += [whole for _, _, whole in frames_in(raw)]
    return found


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("count", [1, 3, 50])
def test_the_frames_of_an_archive_come_back_as_they_were(codec: Codec, count: int) -> None:
    data, info, frames = packed(count, codec)
    assert read(data, info) == frames


def test_a_large_archive_is_made_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_module, "BLOCK_BYTES", 2000)
    data, info, frames = packed(60)
    assert len(info.blocks) > 5
    assert [block.first_seq for block in info.blocks[1:]] == [block.last_seq + 1 for block in info.blocks[:-1]]
    assert read(data, info) == frames


def test_the_footer_is_found_from_the_end_and_says_what_is_inside() -> None:
    data, info, _ = packed(14)
    place = footer_place(data[-TRAILER.size :], len(data))
    assert place is not None
    assert parse_footer(data[place[0] : place[0] + place[1]], place[2]) == info
    assert (info.first_seq, info.last_seq, info.records, info.first_epoch, info.classes) == (
        1,
        14,
        14,
        3,
        ["telemetry"],
    )
    assert info.routes == [f"a/b/c{number}" for number in range(5)]
    assert [told["dropped"] for told in info.declares] == [7, 14]


def test_the_start_says_whose_it_is() -> None:
    assert parse_head(packed(1, "zlib")[0]) == (LOG_ID, "zlib", 1)


@pytest.mark.parametrize("bit", range(HEAD.size * 8))
def test_every_flipped_bit_of_the_start_is_noticed(bit: int) -> None:
    raw = bytearray(packed(1)[0])
    raw[bit // 8] ^= 1 << bit % 8
    assert parse_head(bytes(raw)) is None


def test_every_flipped_bit_of_a_block_a_footer_and_a_trailer_is_noticed() -> None:
    data, info, _ = packed(3)
    (block,) = info.blocks
    for bit in range(HEAD.size * 8, len(data) * 8):
        raw = bytearray(data)
        raw[bit // 8] ^= 1 << bit % 8
        hurt = bytes(raw)
        head = parse_block_head(hurt[block.offset :])
        start = block.offset + archive_module.BLOCK.size
        is_read = head is not None and open_block(head, hurt[start : start + head.size], info.codec) is not None
        place = footer_place(hurt[-TRAILER.size :], len(hurt))
        is_told = place is not None and parse_footer(hurt[place[0] : place[0] + place[1]], place[2]) is not None
        assert not (is_read and is_told)


@given(st.binary(max_size=200))
def test_any_bytes_are_looked_at_without_an_error(data: bytes) -> None:
    head = parse_block_head(b"LDAB" + data)
    assert head is None or head.size >= 0
    parse_head(b"LDA1" + data)
    place = footer_place(data[-TRAILER.size :], len(data))
    assert place is None or place[0] + place[1] <= len(data)
    parse_footer(data, 0)
    assert sum(map(len, frames_in(b"LDF1" + data))) <= len(data) + 4


@given(st.binary(max_size=300), st.sampled_from(CODECS))
def test_what_is_compressed_comes_back_and_never_larger_than_was_told(data: bytes, codec: Codec) -> None:
    small = compress(data, codec)
    assert decompress(small, codec, len(data)) == data
    assert decompress(small, codec, max(0, len(data) - 1)) is None or not data


@given(st.binary(max_size=300), st.sampled_from(CODECS), st.integers(0, 400))
def test_what_was_never_compressed_is_refused_without_an_error(data: bytes, codec: Codec, size: int) -> None:
    found = decompress(data, codec, size)
    assert found is None or len(found) == size


def test_a_newer_archive_is_refused_by_name() -> None:
    raw = bytearray(packed(1)[0][: HEAD.size])
    raw[4] = 2
    raw[-4:] = archive_module.crc32c(bytes(raw[:-4])).to_bytes(4, "little")
    with pytest.raises(LedgerFormatError, match="newer version"):
        parse_head(bytes(raw))


def test_a_footer_lists_so_many_bytes_of_declarations_and_says_that_there_are_more() -> None:
    header, raw = frame_of_gaps()
    packer = Packer(LOG_ID, 1, "zlib")
    body = records_of(header, raw[HEADER_BYTES:])
    packer.add(header, raw, body.records, 1)
    info = packer.finish()[1]
    assert (len(body.records), len(info.declares), info.declares_more) == (5, 2, True)


def frame_of_gaps() -> tuple[Header, bytes]:
    """Return a frame of five long declarations."""
    routes, draft = Routes(), Draft(Stamp(LOG_ID, 1, 1, 0, 0), 1, 0)
    items = [("gap", None, {"dropped": 1, "reason": "x" * 30_000})] * 5
    draft.put(Checker(routes).check(items).records, 0, 0, 1 << 20, routes)
    raw = draft.build(flags=0, epoch=1, previous=bytes(32), chain=bytes(32), unit_log2=12)
    header = parse_header(raw)
    assert header is not None
    return header, raw[: HEADER_BYTES + header.body_bytes]


@pytest.mark.parametrize("codec", CODECS)
def test_an_archive_cut_at_any_byte_gives_the_blocks_before_the_cut_and_no_others(
    codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_module, "BLOCK_BYTES", 600)
    data, info, frames = packed(9, codec)
    assert len(info.blocks) > 2
    ends = [block.offset + archive_module.BLOCK.size + block.size for block in info.blocks]
    lasts = [block.last_seq for block in info.blocks]
    for size in range(len(data)):
        storage = MemoryStorage({info.name: data[:size]})
        (found,) = shelf(storage)
        assert found.problems
        whole = sum(end <= size for end in ends)
        if not whole:
            assert found.info is None
            continue
        assert found.info is not None
        told = [frame for frame in frames_of_archive(storage, found.info) if not isinstance(frame, Hurt)]
        assert [body for _, body in told] == [frame[HEADER_BYTES:] for frame in frames[: lasts[whole - 1]]]
