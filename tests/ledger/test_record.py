"""One record: its bytes, what it refuses, and what its leaf depends on."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import RecordError
from gateway.ledger.record import (
    CLASSES,
    COMPRESSED,
    HAS_CAUSE,
    HAS_OFFSET,
    IS_JSON,
    KINDS,
    MAX_BODY_BYTES,
    check_route,
    decode_json,
    encode_body,
    encode_record,
    flags_of,
    leaf_of,
    parse_records,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=10,
)
RECORDS = st.tuples(
    st.integers(1, 255),  # kind, of newer versions too
    st.integers(0, 3),  # class
    st.integers(0, 0xFFFF),  # route
    st.integers(0, 0xFFFF),  # dt_ms
    st.integers(0, 2**63 - 1),  # cause
    st.none() | st.integers(0, 2**32 - 1),  # offset
    st.binary(max_size=200),
)


def encoded(kind: int, class_: int, route: int, dt_ms: int, cause: int, offset: int | None, body: bytes) -> bytes:
    return encode_record(kind, class_ | (HAS_CAUSE if cause else 0), route, dt_ms, cause, body, offset)


def test_kinds_keep_their_numbers_for_ever() -> None:
    assert list(KINDS) == [
        "reading", "state", "desired", "reported", "effective", "command_intent", "command_sent", "command_result",
        "lifecycle", "boot", "clock", "profile", "schema", "route", "cursor", "gap", "damage", "snapshot", "denied",
        "grant", "wall", "job", "approval", "note",
    ]  # fmt: skip


def test_classes_keep_their_numbers_for_ever() -> None:
    assert CLASSES == ("telemetry", "state", "command", "audit")


@given(st.lists(RECORDS, max_size=8))
def test_records_written_one_behind_the_other_come_back(records: list[tuple[int, ...]]) -> None:
    data = b"".join(encoded(*record) for record in records)  # type: ignore[arg-type]
    assert [
        (each.kind, each.flags & 3, each.route, each.dt_ms, each.cause, each.offset, each.body)
        for each in parse_records(data, 0, len(records))
    ] == records


@given(record=RECORDS, data=st.data())
def test_a_flipped_bit_is_noticed_wherever_it_is(record: tuple[int, ...], data: st.DataObject) -> None:
    raw = bytearray(encoded(*record))  # type: ignore[arg-type]
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit // 8] ^= 1 << bit % 8
    found = parse_records(bytes(raw), 0, 1)
    assert found == [] or not found[0].is_intact


@given(st.binary(max_size=300), st.integers(0, 20))
def test_any_bytes_are_read_without_an_error(data: bytes, count: int) -> None:
    assert len(parse_records(data, 0, count)) <= count


@given(JSON)
def test_a_json_body_says_the_same_when_it_comes_back(body: object) -> None:
    try:
        raw, flag = encode_body(body)
    except RecordError:  # a lone surrogate: no text that can be written
        return
    assert (decode_json(raw), flag) == (json.loads(json.dumps(body)), IS_JSON)


@given(st.binary(max_size=100))
def test_a_body_of_bytes_is_kept_as_it_is(body: bytes) -> None:
    assert encode_body(body) == (body, 0)


@pytest.mark.parametrize("body", [bytes(MAX_BODY_BYTES), "x" * (MAX_BODY_BYTES - 2)])
def test_the_largest_body_is_taken(body: object) -> None:
    assert len(encode_body(body)[0]) == MAX_BODY_BYTES


@pytest.mark.parametrize(
    "body", [bytes(MAX_BODY_BYTES + 1), "x" * (MAX_BODY_BYTES - 1), object(), {1, 2, object()}, "\ud800", [[object()]]]
)
def test_a_body_that_cannot_be_kept_is_refused(body: object) -> None:
    with pytest.raises(RecordError):
        encode_body(body)


@pytest.mark.parametrize("text", ["a/b/c", "pump-1/motor/speed_2@desired", "0/0/0@frame", "a/b/c@query"])
def test_a_route_is_stored_as_its_text(text: str) -> None:
    assert check_route(text) == text.encode()


@pytest.mark.parametrize(
    "text", ["", "a", "a/b", "a/b/c/d", "A/b/c", "a/b/c@value", "a/b/c@nonsense", "a/b/c#1", "a//c", "ä/b/c", "a/b/c\n",
             "a/b/" + "c" * 300]
)  # fmt: skip
def test_what_is_no_route_is_refused(text: str) -> None:
    with pytest.raises(RecordError):
        check_route(text)


@pytest.mark.parametrize(("kind", "class_", "cause"), [("nonsense", "state", None), ("note", "nonsense", None),
                                                       ("note", "state", 0), ("note", "state", -1)])  # fmt: skip
def test_a_kind_class_or_cause_that_does_not_exist_is_refused(kind: str, class_: str, cause: int | None) -> None:
    with pytest.raises(RecordError):
        flags_of(kind, class_, cause, 0)


def test_the_leaf_is_the_one_that_the_format_says() -> None:
    """Worked out by hand from the layout: SHA-256(00 | seq | wall_ns | kind | flags | cause | route digest | body)."""
    from hashlib import sha256

    route = sha256(b"a/b/c@frame").digest()
    told = bytes.fromhex("00070000000000000040420f000000000001040500000000000000") + route + b"\x01\x02"
    assert leaf_of(7, 1_000_000, 1, HAS_CAUSE, 5, route, b"\x01\x02") == sha256(told).digest()


@pytest.mark.parametrize("flag", [HAS_OFFSET, COMPRESSED])
def test_the_leaf_does_not_depend_on_how_a_later_copy_is_stored(flag: int) -> None:
    plain, stored = (leaf_of(1, 0, 1, flags, 0, bytes(32), b"x") for flags in (1, 1 | flag))
    assert plain == stored


@pytest.mark.parametrize(
    "body", [float("nan"), {"a": [1, float("inf")]}, [2**70, float("-inf")], {"b": (float("nan"),)}]
)
def test_a_number_that_json_cannot_say_is_refused_and_never_becomes_null(body: Any) -> None:
    with pytest.raises(RecordError):
        encode_body(body)


@pytest.mark.parametrize("body", [None, {"a": None}, ["null", 1.5, "NaN"], 2**70])
def test_null_and_words_like_it_are_stored(body: Any) -> None:
    assert decode_json(encode_body(body)[0]) == body
