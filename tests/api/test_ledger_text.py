"""Records of the ledger as JSON lines and in words."""

import json
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.ledger_text import (
    BODY_CELLS,
    body_text,
    facts_of,
    gap_line,
    gap_words,
    iso_time,
    json_text,
    plain_line,
    record_line,
)
from gateway.ledger.record import Gap, Record, encode_body

KEYS = ["seq", "incarnation", "kind", "route", "class", "time", "boot_no", "cause", "body"]
MOST_NS = (1 << 64) - 1  # as the disk holds it


def record(body: object = 1, **changes) -> Record:
    raw, flag = encode_body(body)
    told = {
        "seq": 17, "incarnation": 1, "kind": "note", "route": "pump/motor/speed@desired", "class_": "state",
        "wall_ns": 1_764_300_000_123_456_789, "boot_no": 3, "cause": 16, "raw": raw, "is_json": bool(flag),
    }  # fmt: skip
    return Record(**(told | changes))


def test_a_record_is_one_line_with_exactly_these_keys():
    assert list(json.loads(record_line(record()))) == KEYS


def test_a_record_is_exported_as_it_is():
    assert json.loads(record_line(record({"value": 1200}))) == {
        "seq": 17, "incarnation": 1, "kind": "note", "route": "pump/motor/speed@desired", "class": "state",
        "time": "2025-11-28T03:20:00.123456Z", "boot_no": 3, "cause": 16, "body": {"value": 1200},
    }  # fmt: skip


def test_what_a_record_has_not_is_null():
    told = json.loads(record_line(record(route=None, cause=None)))
    assert (told["route"], told["cause"]) == (None, None)


def test_a_body_of_bytes_is_hex():
    assert json.loads(record_line(record(b"\x00\xff")))["body"] == {"hex": "00ff"}


def test_json_is_exported_letter_for_letter():
    assert record_line(record(msgspec.Raw(b'[1.0, 1e2, "\\u00e9"]'))).endswith(b'"body":[1.0, 1e2, "\\u00e9"]}')


def test_json_over_several_lines_is_exported_as_one():
    line = record_line(record(msgspec.Raw(b'{\r\n"a":\n1}')))
    assert (line.splitlines(), json.loads(line)["body"]) == ([line], {"a": 1})


@given(body=st.recursive(st.none() | st.integers() | st.text() | st.binary(), st.lists, max_leaves=5))
def test_facts_and_line_say_the_same(body):
    if isinstance(body, list):
        body = json.loads(json.dumps(body, default=bytes.hex))
    found = record(body)
    assert json.loads(json_text(facts_of(found))) == json.loads(record_line(found))


@given(wall_ns=st.integers(0, MOST_NS))
def test_times_are_iso_8601_in_utc_to_the_microsecond(wall_ns):
    found = datetime.fromisoformat(iso_time(wall_ns))
    assert (found - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) == wall_ns // 1000


def test_1970_is_a_time_as_any_other():
    assert iso_time(0) == "1970-01-01T00:00:00.000000Z"


def test_a_gap_is_a_line_of_its_own():
    assert json.loads(gap_line(Gap(5, 9, "retention"))) == {"gap": {"from_seq": 5, "to_seq": 9, "reason": "retention"}}


@pytest.mark.parametrize(
    ("gap", "words"),
    [
        (Gap(5, 5, "torn"), "-- number 5 is missing: torn --"),
        (Gap(5, 9, "torn"), "-- 5 numbers, 5 to 9, are missing: torn --"),
    ],
)
def test_a_gap_is_said_in_words(gap, words):
    assert gap_words(gap) == words


def test_a_line_for_people_names_what_led_to_the_record():
    assert plain_line(record({"value": 1})).endswith('note           pump/motor/speed@desired  {"value":1} <- 16')


def test_a_body_never_moves_the_cursor_of_a_terminal():
    assert body_text(record("\x1b[2J\u202e")).isprintable()


@pytest.mark.parametrize("body", ["x" * 5000, b"\xff" * 5000, "\N{EURO SIGN}" * 5000])
def test_a_long_body_is_cut_and_says_so(body):
    text = body_text(record(body))
    assert (len(text), text[-1]) == (BODY_CELLS, "\N{HORIZONTAL ELLIPSIS}")
