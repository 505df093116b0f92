"""The JSON lines that `tidegate ledger append` reads: how a stream is cut, and what is a record."""

import json

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.cli.ledger_lines import MAX_LINE_BYTES, Lines, item_of
from gateway.errors import RecordError
from gateway.ledger.record import CLASSES, KINDS, MAX_BODY_BYTES, MAX_DEPTH, decode_json, encode_body

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def line(body: bytes = b"1", **changes) -> bytes:
    told = {"kind": "note", "route": "pump/motor/speed", "class": "state", **changes}
    keys = [f"{json.dumps(key)}:{json.dumps(value)}" for key, value in told.items() if value is not ...]
    return b"{%s}" % b",".join([*map(str.encode, keys), b'"body":' + body])


def cut(stream: bytes, sizes: list[int]) -> list[bytes | None]:
    lines = Lines()
    found: list[bytes | None] = []
    at = 0
    for size in [*sizes, len(stream)]:
        found += lines.feed(stream[at : at + size])
        at += size
    return [*found, *lines.end()]


@given(stream=st.binary(max_size=200), sizes=st.lists(st.integers(0, 50), max_size=8))
@example(stream=b"a\n\nb", sizes=[1, 1, 1])
def test_where_the_stream_is_cut_does_not_matter(stream, sizes):
    pieces = stream.split(b"\n")
    assert cut(stream, sizes) == (pieces if pieces[-1] else pieces[:-1])


@given(sizes=st.lists(st.integers(1, MAX_LINE_BYTES), max_size=6))
def test_a_line_that_is_too_long_is_one_line_and_those_around_it_stay(sizes):
    stream = b"before\n" + b"x" * (MAX_LINE_BYTES + 1) + b"\nafter\n"
    assert cut(stream, sizes) == [b"before", None, b"after"]


def test_a_line_of_full_length_is_still_taken():
    assert cut(b"x" * MAX_LINE_BYTES + b"\n", []) == [b"x" * MAX_LINE_BYTES]


def test_a_stream_without_line_ends_is_one_refused_line_and_takes_no_memory():
    lines = Lines()
    for _ in range(64):
        assert list(lines.feed(b"x" * 65_536)) == []
        assert len(lines._rest) <= MAX_LINE_BYTES
    assert list(lines.end()) == [None]


def test_what_stands_behind_the_last_line_end_is_a_line():
    assert cut(b"a\nb", []) == [b"a", b"b"]


@given(value=JSON)
def test_any_json_value_is_a_body_and_kept_letter_for_letter(value):
    text = json.dumps(value).encode()
    kind, route, body, class_, cause = item_of(line(text))
    raw, _ = encode_body(body)
    assert (kind, route, class_, cause, raw) == ("note", "pump/motor/speed", "state", None, text)


@given(value=JSON)
def test_every_body_that_is_taken_can_be_read_back(value):
    raw, _ = encode_body(item_of(line(json.dumps(value).encode()))[2])
    assert decode_json(raw) == value


@given(garbage=st.binary(max_size=80))
@example(garbage=b'{"kind":"note","route":null,"class":"state","body":"\\ud800"}')
@example(garbage=b"[" * 70)
def test_any_line_is_a_record_or_refused_and_never_anything_else(garbage):
    try:
        kind, _, _, class_, _ = item_of(garbage)
    except RecordError:
        return
    assert (kind in KINDS, class_ in CLASSES) == (True, True)


@given(body=st.binary(min_size=1, max_size=40))
def test_what_is_taken_as_a_body_is_json_to_everybody(body):
    try:
        raw, _ = encode_body(msgspec.Raw(body))
    except RecordError:
        return
    json.loads(raw)
    assert len(msgspec.json.decode(b"[%s]" % raw, type=list[msgspec.Raw])) == 1


def test_a_record_about_the_whole_gateway_has_no_route():
    assert item_of(line(route=None))[1] is None


def test_a_cause_is_taken():
    assert item_of(line(cause=7))[4] == 7


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        (None, "more than"),
        (b"", "blank line"),
        (b"  \r", "blank line"),
        (b"[1]", "object"),
        (b"\x00\xff", "malformed"),
        (line(kind="readings"), "no kind"),
        (line(**{"class": "urgent"}), "no class"),
        (line(route="pump/motor"), "no route"),
        (line(route=""), "no route"),
        (line(route="Pump/motor/speed"), "no route"),
        (line(route="pump/motor/speed@nope"), "no route"),
        (line(route=7), "route"),
        (line(kind=...), "kind"),
        (line(route=...), "route"),
        (line(**{"class": ...}), "class"),
        (b'{"kind":"note","route":null,"class":"state"}', "missing required field `body`"),
        (line(colour="red"), "unknown field `colour`"),
        (line(cause=0), "cause 0"),
        (line(cause=-1), "cause -1"),
        (line(cause=1 << 63), "sequence number"),
        (line(cause="7"), "cause"),
        (line(cause=True), "cause"),
        (line(b"01"), "malformed"),
        (line(b"NaN"), "malformed"),
        (line(b"[1e400,NaN]"), "malformed"),
        (line(b'"\\ud800"'), "surrogate"),
        (line(b'"\xed\xa0\x80"'), "(?i)utf-8"),
        (line(b'[1e400,"\xed\xa0\x80"]'), "(?i)utf-8"),
        (line(b"1" * 5000), "4300 digits"),
        (line(b'"%s"' % (b"x" * (MAX_BODY_BYTES - 1))), "32,769 bytes"),
        (line(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1)), "nested"),
        (line(b"[" * 30_000), "deep"),
        (line(b"1")[:-1], "ends inside"),
    ],
)
def test_what_is_no_record_is_refused_by_name(wrong, word):
    with pytest.raises(RecordError, match=word):
        item_of(wrong)


@pytest.mark.parametrize(
    "body",
    [
        b"123456789012345678901234567890",
        b"-0",
        b"1e400",
        b'"\\ud83d\\ude00"',
        b'{"a":1,"a":2}',
        b'"%s"' % (b"x" * (MAX_BODY_BYTES - 2)),
        b"[" * MAX_DEPTH + b"]" * MAX_DEPTH,
        b'["%s"]' % (b"[" * 1000),
        b'["%s"]' % (b'\\"[' * 1000),
        b"[" + b"{}," * 1000 + b"[]]",
    ],
)
def test_a_strange_body_that_is_json_is_kept_letter_for_letter(body):
    assert encode_body(item_of(line(body))[2])[0] == body
