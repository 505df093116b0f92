from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import EncodeError
from gateway.framing.checks import check_of, known_checks
from gateway.framing.seal import Seal, residue_of

KINDS = st.sampled_from(known_checks())


@settings(deadline=None)
@given(kind=KINDS, order=st.sampled_from(["big", "little"]), start=st.integers(0, 3), body=st.binary(min_size=3))
def test_what_is_closed_opens_and_one_flipped_bit_keeps_it_shut(kind: str, order, start: int, body: bytes):
    seal = Seal(check_of(kind), start, order)
    frame = seal.close(body)
    assert seal.open(frame) == body
    broken = bytearray(frame)
    broken[-1 if order == "big" else -seal.size] ^= 1
    assert seal.open(bytes(broken)) is None


@pytest.mark.parametrize(
    ("kind", "order", "expected"),
    [
        ("crc-16-modbus", "little", 0),
        ("crc-16-modbus", "big", None),
        ("crc-16-ibm-3740", "big", 0),
        ("crc-16-ibm-sdlc", "little", 0x0F47),
        ("crc-32-iso-hdlc", "little", 0x2144DF1C),
        ("xor-8", "big", 0),
        ("lrc", "big", 0),
        ("sum-8", "big", None),
    ],
)
def test_a_check_over_its_own_bytes_leaves_the_same_in_natural_order(kind: str, order, expected: int | None):
    check = check_of(kind)
    assert residue_of(check.compute, check.size, order) == expected


def test_bytes_before_the_start_are_not_vouched_for():
    seal = Seal(check_of("sum-8"), start=2)
    assert seal.open(b"xx" + seal.close(b"ab123")[2:]) == b"xx123"


def test_a_frame_too_short_for_its_check_stays_shut():
    assert Seal(check_of("crc-32-iso-hdlc")).open(b"abc") is None
    assert Seal(check_of("sum-8"), start=4).open(b"\x00\x00") is None


def test_a_body_that_ends_before_its_check_begins_is_not_closed():
    with pytest.raises(EncodeError, match=r"check\.from = 3"):
        Seal(check_of("sum-8"), start=3).close(b"ab")
