"""A frame: what its header says, what its two checksums and its chain hash notice."""

from __future__ import annotations

import pytest
from fastcrc.crc32 import iscsi as crc32c
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import LedgerFormatError
from gateway.ledger.frame import (
    HEADER_BYTES,
    Stamp,
    body_of,
    build_frame,
    chain_of,
    first_chain,
    has_true_chain,
    leaves_of,
    parse_header,
    records_of,
)
from gateway.ledger.record import CLASS_CODES, IS_JSON, KIND_CODES, encode_record, leaf_of

LOG_ID = bytes(range(16))
STAMP = Stamp(LOG_ID, incarnation=3, boot_no=7, wall_ns=1_700_000_000_000_000_000, mono_ns=55, quality=2)
BODIES = [b"\x01\x02", b'{"value":1}', b""]


def frame(base_seq: int = 41, previous: bytes = first_chain(LOG_ID), stamp: Stamp = STAMP) -> bytes:
    """Return a frame of three records on one route."""
    from hashlib import sha256

    flags = [0, IS_JSON | CLASS_CODES["state"], CLASS_CODES["audit"]]
    kind, digest = KIND_CODES["note"], sha256(b"a/b/c").digest()
    records = b"".join(encode_record(kind, flags[n], 0, n, 0, body) for n, body in enumerate(BODIES))
    leaves = b"".join(
        leaf_of(base_seq + n, stamp.wall_ns + n * 1_000_000, kind, flags[n], 0, digest, body)
        for n, body in enumerate(BODIES)
    )
    return build_frame(
        stamp, flags=1, epoch=9, base_seq=base_seq, count=3, routes=[b"a/b/c"], records=records, link=previous,
        chain=chain_of(previous, base_seq, stamp, 3, leaves), unit_log2=9,
    )  # fmt: skip


FRAME = frame()


def test_a_frame_fills_whole_commit_units_with_zeros() -> None:
    header = parse_header(FRAME)
    assert header is not None
    assert (len(FRAME), FRAME[HEADER_BYTES + header.body_bytes :].strip(b"\0")) == (header.padded_bytes, b"")


def test_a_frame_gives_back_what_it_was_made_of() -> None:
    header = parse_header(FRAME)
    assert header is not None
    body = body_of(FRAME, 0, header)
    assert body is not None
    found = records_of(header, body).records
    assert [(r.seq, r.kind, r.route, r.class_, r.wall_ns - STAMP.wall_ns, r.raw, r.is_json) for r in found] == [
        (41, "note", "a/b/c", "telemetry", 0, BODIES[0], False),
        (42, "note", "a/b/c", "state", 1_000_000, BODIES[1], True),
        (43, "note", "a/b/c", "audit", 2_000_000, BODIES[2], False),
    ]
    assert (header.incarnation, header.boot_no, header.quality, header.next_seq) == (3, 7, 2, 44)


@pytest.mark.parametrize("byte", range(HEADER_BYTES))
def test_every_flipped_bit_of_a_header_is_noticed(byte: int) -> None:
    for bit in range(8):
        raw = bytearray(FRAME)
        raw[byte] ^= 1 << bit
        assert parse_header(bytes(raw)) is None


def test_every_flipped_bit_of_a_body_is_noticed() -> None:
    header = parse_header(FRAME)
    assert header is not None
    for bit in range(header.body_bytes * 8):
        raw = bytearray(FRAME)
        raw[HEADER_BYTES + bit // 8] ^= 1 << bit % 8
        assert body_of(bytes(raw), 0, header) is None


def test_of_a_hurt_body_the_intact_records_come_out_and_the_others_are_named() -> None:
    raw = bytearray(FRAME)
    raw[FRAME.index(b'{"value":1}')] ^= 1
    header = parse_header(FRAME)
    assert header is not None
    found = records_of(header, bytes(raw[HEADER_BYTES : HEADER_BYTES + header.body_bytes]))
    assert ([record.seq for record in found.records], found.hurt) == ([41, 43], [42])


@pytest.mark.parametrize("bit", range(8 * 10))
def test_a_record_whose_route_is_hurt_is_named_and_never_given_out_on_another_route(bit: int) -> None:
    raw = bytearray(FRAME)
    raw[HEADER_BYTES + bit // 8] ^= 1 << bit % 8
    header = parse_header(FRAME)
    assert header is not None
    found = records_of(header, bytes(raw[HEADER_BYTES : HEADER_BYTES + header.body_bytes]))
    assert (found.records, found.hurt) == ([], [41, 42, 43])


@given(st.binary(max_size=120))
def test_any_body_is_read_without_an_error(body: bytes) -> None:
    header = parse_header(FRAME)
    assert header is not None
    found = records_of(header, body)
    assert len(found.records) + len(found.hurt) == 3


def test_the_chain_follows_from_the_records_and_the_chain_before() -> None:
    header = parse_header(FRAME)
    assert header is not None
    body = body_of(FRAME, 0, header)
    assert body is not None
    assert has_true_chain(header, body, first_chain(LOG_ID))
    assert not has_true_chain(header, body, bytes(32))


@pytest.mark.parametrize(
    "changed",
    [STAMP._replace(incarnation=4), STAMP._replace(boot_no=8), STAMP._replace(mono_ns=56), STAMP._replace(quality=1),
     STAMP._replace(wall_ns=STAMP.wall_ns + 1_000_000)],
)  # fmt: skip
def test_the_chain_covers_who_and_when(changed: Stamp) -> None:
    assert parse_header(frame(stamp=changed)).chain != parse_header(FRAME).chain  # type: ignore[union-attr]


def test_the_chain_does_not_depend_on_where_a_frame_is_stored() -> None:
    header = parse_header(FRAME)
    assert header is not None
    moved = build_frame(
        STAMP, flags=0x23, epoch=88, base_seq=41, count=3, routes=[b"a/b/c"],
        records=FRAME[HEADER_BYTES + 10 : HEADER_BYTES + header.body_bytes], link=header.link, chain=header.chain,
        unit_log2=12,
    )  # fmt: skip
    again = parse_header(moved)
    assert again is not None
    body = body_of(moved, 0, again)
    assert body is not None
    assert (again.epoch, leaves_of(again, body)) == (88, leaves_of(header, body))


def test_a_frame_of_a_newer_version_is_refused_by_name() -> None:
    raw = bytearray(FRAME[: HEADER_BYTES - 4])
    raw[4] = 2
    raw += crc32c(bytes(raw)).to_bytes(4, "little")
    with pytest.raises(LedgerFormatError, match="newer version"):
        parse_header(bytes(raw))


@given(st.binary(max_size=300))
def test_any_bytes_are_looked_at_without_an_error(data: bytes) -> None:
    assert parse_header(b"LDF1" + data) is None or len(data) >= HEADER_BYTES - 4
