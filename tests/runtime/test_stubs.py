"""Stubs of devices that left: bounded in number and bytes, and the same name for the same address."""

from __future__ import annotations

import sys

from hypothesis import given
from hypothesis import strategies as st

from gateway.runtime.stubs import Numbers, Stub, Stubs, packed, unpacked

NUMBERS = packed(Numbers(1, (4, 3, 1, 0), (2, 5)))
int64 = st.integers(-(1 << 63), (1 << 63) - 1)


def stub(number: int, body: bytes | None = None) -> Stub:
    return Stub(f"00:00:00:00:00:{number:02X}", f"tag-{number:04x}", NUMBERS, body=body)


@given(int64, st.tuples(int64, int64, int64, int64), st.lists(int64).map(tuple))
def test_numbers_come_out_as_they_went_in(
    first_ns: int, frames: tuple[int, int, int, int], sequences: tuple[int, ...]
) -> None:
    numbers = Numbers(first_ns, frames, sequences)
    assert unpacked(packed(numbers)) == numbers


def test_a_stub_whose_values_are_on_the_medium_takes_less_than_half_a_kilobyte() -> None:
    each = stub(1)
    parts = (each.address, each.name, each.numbers, each.seq, each)
    assert sum(map(sys.getsizeof, parts)) < 512


def test_the_device_that_left_first_is_forgotten_and_counted_where_there_are_too_many() -> None:
    stubs = Stubs(most=2)
    for number in (1, 2, 3):
        stubs.put(stub(number))
    assert [stubs.named(f"tag-000{number}") is None for number in (1, 2, 3)] == [True, False, False]
    assert stubs.forgotten == 1


def test_one_that_left_again_counts_as_the_last_that_left() -> None:
    stubs = Stubs(most=2)
    for number in (1, 2, 1, 3):
        stubs.put(stub(number))
    assert stubs.take(stub(1).address) is not None
    assert stubs.take(stub(2).address) is None


def test_values_that_no_ledger_took_are_held_as_far_as_there_is_room_the_newest_of_them() -> None:
    stubs = Stubs(held_bytes=250)
    for number in (1, 2, 3):
        stubs.put(stub(number, bytes(100)))
    assert [each.name for each in stubs.held()] == ["tag-0002", "tag-0003"]
    assert (stubs.lost, len(stubs)) == (1, 3)


def test_values_that_came_to_the_medium_are_not_held_any_more() -> None:
    stubs = Stubs(held_bytes=250)
    first = stub(1, bytes(200))
    stubs.put(first)
    stubs.settled(first, 17)
    stubs.put(stub(2, bytes(200)))
    assert (first.seq, first.body, stubs.lost) == (17, None, 0)


def test_news_of_a_stub_that_was_taken_meanwhile_changes_nothing_for_its_successor() -> None:
    stubs = Stubs()
    first, second = stub(1, b"one"), stub(1, b"two")
    stubs.put(first)
    stubs.take(first.address)
    stubs.put(second)
    stubs.settled(first, 17)
    assert (second.seq, second.body) == (0, b"two")


@given(st.lists(st.tuples(st.sampled_from(["put", "take", "settle"]), st.integers(0, 9), st.integers(0, 60))))
def test_a_roster_never_holds_more_than_it_may_whatever_happens(steps: list[tuple[str, int, int]]) -> None:
    stubs = Stubs(most=4, held_bytes=100)
    for what, number, size in steps:
        known = stubs.named(stub(number).name)
        if what == "put":
            stubs.put(stub(number, bytes(size)))
        elif what == "take":
            assert stubs.take(stub(number).address) is known
        elif known is not None:
            stubs.settled(known, 5)
        assert len(stubs) <= 4
        assert sum(len(each.body or b"") for each in stubs.held()) <= 100
        assert all(stubs.named(each.name) is each for each in stubs.held())
