"""The body of a reading: what goes in comes out, whatever it is, and what is no reading is refused."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import RecordError
from gateway.ledger.reading import Reading, decode_reading, encode_reading, encode_run

SCHEMA = bytes(range(8))
GOLDEN = (
    ("0100 0001020304050607 8878563412000000 07000000 beef", Reading(SCHEMA, 7, 0x12345678_88, b"\xbe\xef")),
    (
        "010f 0001020304050607 ffffffffffffffff 01000000 02000000 0000000000000100 01aa beef",
        Reading(SCHEMA, (2 << 32) + 1, -1, b"\xbe\xef", taints=1 << 48, extra=b"\xaa", is_spilled=True),
    ),
)

readings = st.builds(
    Reading,
    schema=st.binary(min_size=8, max_size=8),
    sequence=st.integers(0, (1 << 64) - 1),
    wall_ns=st.integers(-(1 << 63), (1 << 63) - 1),
    payload=st.binary(max_size=100),
    taints=st.integers(0, (1 << 64) - 1),
    extra=st.binary(max_size=255),
    is_spilled=st.booleans(),
)


@given(readings)
def test_a_reading_comes_back_as_it_went_in(reading: Reading) -> None:
    assert decode_reading(encode_reading(reading)) == reading


@given(
    first=st.integers(0, 40) | st.integers((1 << 32) - 5, (1 << 32) + 5),
    sent=st.lists(st.tuples(st.integers(-(1 << 63), (1 << 63) - 1), st.binary(max_size=20)), max_size=8),
    taints=st.sampled_from([0, 1, 1 << 48]),
)
def test_a_run_is_the_same_as_its_readings_one_by_one(first: int, sent: list[tuple[int, bytes]], taints: int) -> None:
    numbered = enumerate(sent, first)
    one_by_one = [Reading(SCHEMA, number, wall_ns, payload, taints) for number, (wall_ns, payload) in numbered]
    run = encode_run(SCHEMA, first, [wall_ns for wall_ns, _ in sent], [payload for _, payload in sent], taints)
    assert run == list(map(encode_reading, one_by_one))


@pytest.mark.parametrize(("text", "reading"), GOLDEN)
def test_the_bytes_are_those_that_the_format_shows(text: str, reading: Reading) -> None:
    assert encode_reading(reading) == bytes.fromhex(text)
    assert decode_reading(bytes.fromhex(text)) == reading


@given(st.binary(max_size=60))
def test_any_bytes_are_a_reading_or_refused_by_name(body: bytes) -> None:
    with contextlib.suppress(RecordError):
        assert encode_reading(decode_reading(body))[2:10] == body[2:10]


@given(reading=readings, cut=st.integers(0, 300))
def test_a_reading_cut_within_its_head_is_refused(reading: Reading, cut: int) -> None:
    body = encode_reading(reading)
    head = len(body) - len(reading.payload)
    with pytest.raises(RecordError):
        decode_reading(body[: min(cut, head - 1)])


@pytest.mark.parametrize("body", [b"\x02" + bytes(30), b"\x01\x10" + bytes(30)])
def test_a_version_or_a_flag_that_is_not_known_is_refused_and_named(body: bytes) -> None:
    with pytest.raises(RecordError, match=r"version \d, flags 0x"):
        decode_reading(body)


def test_more_beside_a_payload_than_its_length_can_say_is_refused() -> None:
    with pytest.raises(RecordError, match="at most 255"):
        encode_reading(Reading(SCHEMA, 1, 0, b"", extra=bytes(256)))
