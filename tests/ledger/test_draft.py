"""Records on their way into frames: the fast loop says exactly what the plain functions say."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import RecordError
from gateway.ledger.draft import CLOCK_JUMP_NS, Checker, Draft, Routes
from gateway.ledger.frame import (
    DECLARES,
    HEADER_BYTES,
    URGENT,
    Stamp,
    body_of,
    chain_of,
    first_chain,
    has_true_chain,
    parse_header,
    records_of,
)
from gateway.ledger.record import CLASSES, KINDS, encode_body, encode_record, flags_of, leaf_of

LOG_ID = bytes(16)
MS = 1_000_000
STAMP = Stamp(LOG_ID, 1, 1, 1_000 * MS, 0)
ROUTES = st.sampled_from(["a/b/c", "a/b/d@frame", "pump-1/motor/speed@desired"])
ITEMS = st.tuples(
    st.sampled_from(KINDS),
    st.none() | ROUTES,
    st.binary(max_size=40) | st.integers() | st.dictionaries(st.text(alphabet="abc"), st.integers(), max_size=2),
    st.sampled_from(CLASSES),
    st.none() | st.integers(1, 2**40),
)


def drafted(items: list[tuple[Any, ...]], limit_bytes: int = 65_536) -> tuple[Draft, int]:
    routes = Routes()
    checked = Checker(routes).check(items)
    draft = Draft(STAMP, 10, 0)
    return draft, draft.put(checked.records, 0, STAMP.wall_ns + 5 * MS, limit_bytes, routes)


@given(st.lists(ITEMS, min_size=1, max_size=20))
def test_a_draft_becomes_the_frame_that_the_plain_functions_describe(items: list[tuple[Any, ...]]) -> None:
    draft, taken = drafted(items)
    previous = first_chain(LOG_ID)
    raw = draft.build(flags=0, epoch=1, previous=previous, chain=draft.chain(previous), unit_log2=9)
    header = parse_header(raw)
    assert header is not None
    body = body_of(raw, 0, header)
    assert body is not None
    names = list(dict.fromkeys(item[1] for item in items if item[1] is not None))
    records, leaves = b"", b""
    for seq, (kind, route, value, class_, cause) in enumerate(items, start=10):
        stored, flag = encode_body(value)
        code, flags = flags_of(kind, class_, cause, flag)
        place = 0xFFFF if route is None else names.index(route)
        records += encode_record(code, flags, place, 5, cause or 0, stored)
        digest = bytes(32) if route is None else sha256(route.encode()).digest()
        leaves += leaf_of(seq, STAMP.wall_ns + 5 * MS, code, flags, cause or 0, digest, stored)
    assert taken == len(items)
    assert body.endswith(records)
    assert header.chain == chain_of(previous, 10, STAMP, len(items), leaves)
    assert has_true_chain(header, body, previous)
    assert [record.seq for record in records_of(header, body).records] == list(range(10, 10 + len(items)))


@given(st.lists(ITEMS, min_size=1, max_size=40), st.integers(HEADER_BYTES, 1000))
def test_what_a_draft_counts_is_what_its_frame_takes_and_stays_under_the_limit(
    items: list[tuple[Any, ...]], limit_bytes: int
) -> None:
    draft, taken = drafted(items, limit_bytes)
    raw = draft.build(flags=0, epoch=1, previous=bytes(32), chain=bytes(32), unit_log2=9)
    header = parse_header(raw)
    assert header is not None
    assert (header.body_bytes, header.records) == (draft.body_bytes, taken)
    assert taken == 1 or HEADER_BYTES + draft.body_bytes <= limit_bytes
    assert len(raw) == draft.padded_bytes(9)


def test_a_record_larger_than_the_limit_has_a_frame_of_its_own() -> None:
    draft, taken = drafted([("note", None, bytes(5000)), ("note", None, b"")], limit_bytes=1000)
    assert (taken, draft.records) == (1, 1)


@pytest.mark.parametrize(
    ("item", "flags"),
    [(("note", None, 1), 0), (("note", None, 1, "state"), URGENT), (("gap", None, {}), DECLARES),
     (("damage", None, {}, "state"), URGENT | DECLARES)],
)  # fmt: skip
def test_a_frame_tells_what_is_looked_for_without_reading_its_records(item: tuple[Any, ...], flags: int) -> None:
    assert drafted([item])[0].flags == flags


@pytest.mark.parametrize(
    ("wall_ms", "mono_ms", "is_taken"),
    [(0, 0, True), (65_535, 65_535, True), (65_536, 65_536, False), (-1, 0, False), (500, 300, False), (40, 0, True),
     (0, CLOCK_JUMP_NS // MS, False)],
)  # fmt: skip
def test_a_draft_tells_one_story_of_time(wall_ms: int, mono_ms: int, is_taken: bool) -> None:
    draft = Draft(STAMP, 1, 0)
    assert draft.takes(STAMP.wall_ns + wall_ms * MS, mono_ms * MS) is is_taken


@pytest.mark.parametrize(
    "item",
    [("note",), 5, ("note", "no route", 1), ("nonsense", None, 1), ("note", None, 1, "nonsense"),
     ("note", None, 1, "state", 0), ("note", None, 1, "state", "x"), ("note", None, 1, "state", 1, 2), (1, None, 1),
     ("note", 5, 1), ("note", None, bytes(40_000))],
)  # fmt: skip
def test_a_record_that_cannot_be_refuses_its_whole_batch(item: Any) -> None:
    with pytest.raises(RecordError):
        Checker(Routes()).check([("note", "a/b/c", 1), item])


def test_what_is_known_of_routes_stays_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.ledger.draft.MAX_KNOWN_ROUTES", 10)
    routes = Routes()
    for number in range(100):
        routes.stored(f"a/b/c{number}")
    assert len(routes.known) <= 10
