"""What led to a record: every chain ends, and says why."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.why_chain import MAX_LINKS, chain_of
from gateway.ledger.record import Gap, Record


def record(seq: int, cause: int | None) -> Record:
    return Record(seq, 1, "note", None, "state", 0, 1, cause, b"1", True)


def chain(causes: dict[int, int | None], start: int, gaps: dict[int, Gap] | None = None):
    known = {seq: record(seq, cause) for seq, cause in causes.items()} | (gaps or {})
    return chain_of(known[start], known.get)


def test_a_chain_ends_at_the_record_without_a_cause():
    found = chain({9: 5, 5: 2, 2: None}, 9)
    assert ([each.seq for each in found.records], found.end) == ([9, 5, 2], "")


@pytest.mark.parametrize(
    ("causes", "start", "words"),
    [
        ({9: 9}, 9, "in a circle"),
        ({9: 5, 5: 9}, 9, "record 9, the cause of 5, is in this chain already"),
        ({9: 5}, 9, "record 5, the cause of 9, was never written"),
        ({seq: seq - 1 for seq in range(1, 2000)}, 1999, "is not followed any more"),
    ],
)
def test_a_chain_that_does_not_end_says_why_it_stops(causes, start, words):
    assert words in chain(causes, start).end


def test_a_cause_that_is_lost_is_told_with_its_reason():
    assert chain({9: 5}, 9, {5: Gap(3, 7, "retention")}).end == "record 5, the cause of 9, is not there: retention"


@given(causes=st.dictionaries(st.integers(1, 30), st.integers(1, 30) | st.none(), min_size=1), start=st.data())
def test_whatever_records_say_a_chain_ends_and_no_record_comes_twice(causes, start):
    found = chain(causes, start.draw(st.sampled_from(sorted(causes))))
    numbers = [each.seq for each in found.records]
    assert len(numbers) == len(set(numbers)) <= MAX_LINKS
