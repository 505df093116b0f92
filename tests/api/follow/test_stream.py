from __future__ import annotations

import pytest

from gateway.api.follow import stream as module
from gateway.api.follow.decoder import Decoder
from gateway.api.follow.stream import Stream
from gateway.ledger.fold import State
from gateway.runtime.batch import Batch
from gateway.testing import FakeClock
from tests.sinks.kit import ROUTE, body, schema, values


@pytest.fixture
def stream() -> Stream:
    stream = Stream(Decoder(), FakeClock())
    stream.opened(State(seq=10, incarnation=3), "abcd", 4)
    stream.appended(11, [Batch("schema", "node/climate/reading@frame", list(schema().bodies), "state")])
    stream.work()
    return stream


def append(stream: Stream, first: int, count: int) -> None:
    stream.appended(first, [Batch("reading", ROUTE, [body(first + number) for number in range(count)])])
    while stream.last_seq < stream.numbered_seq:
        stream.work()


def test_what_was_numbered_is_given_with_its_incarnation(stream: Stream) -> None:
    append(stream, 12, 3)
    found = stream.after(10, 100)
    assert found is not None
    assert (found.first, found.last, found.incarnation) == (11, 14, 4)
    assert values(found.items) == [6.0, 6.5, 7.0]


@pytest.mark.parametrize("at_most", [1, 2, 3, 7, 300, 1000])
def test_it_is_cut_between_records_wherever_a_sink_wants(stream: Stream, at_most: int) -> None:
    append(stream, 12, 600)
    seq, seen = 11, []
    while (found := stream.after(seq, at_most)) is not None:
        assert found.first == seq + 1
        assert found.last <= seq + at_most
        seen += [item.seq for item in found.items]  # type: ignore[union-attr]
        seq = found.last
    assert seen == list(range(12, 612))


def test_nothing_is_given_beyond_what_was_decoded(stream: Stream) -> None:
    assert stream.after(11, 10) is None
    assert stream.holds(11)


def test_what_is_too_old_is_not_held(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HELD_RECORDS", 300)
    append(stream, 12, 2000)
    assert not stream.holds(11)
    assert stream.after(11, 10) is None
    assert stream.holds(stream.from_seq - 1)
    found = stream.after(stream.from_seq - 1, 10_000)
    assert found is not None
    assert len(found.items) == 2012 - stream.from_seq


def test_what_comes_faster_than_it_is_decoded_is_left_to_the_medium(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAITING_RECORDS", 500)
    append(stream, 12, 3000)
    assert stream.last_seq == 3011
    assert not stream.holds(11)
    found = stream.after(stream.from_seq - 1, 10_000)
    assert found is not None
    assert [item.seq for item in found.items] == list(range(stream.from_seq, 3012))  # type: ignore[union-attr]


def test_the_latest_of_each_route_is_known_with_its_incarnation(stream: Stream) -> None:
    append(stream, 12, 5)
    item = stream.latest["node/climate/temperature"]
    assert (item.seq, item.v) == (16, 8.0)
    assert stream.incarnation_of(16) == 4
    assert stream.incarnation_of(9) == 3


def test_numbers_that_nobody_told_of_are_covered(stream: Stream) -> None:
    append(stream, 15, 1)  # 12 to 14 were the ledger's own
    found = stream.after(11, 10)
    assert found is not None
    assert (found.first, found.last, len(found.items)) == (12, 15, 1)


def test_a_ledger_that_is_opened_again_begins_anew(stream: Stream) -> None:
    append(stream, 12, 5)
    stream.opened(State(seq=13, incarnation=4), "abcd", 5)
    assert stream.after(12, 10) is None
    assert (stream.from_seq, stream.openings) == (14, 2)
