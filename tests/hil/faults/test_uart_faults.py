"""What each fault of a UART does to one unit."""

from __future__ import annotations

import random
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.faults.uart import Arrival, Wait, received, sent_as, strike
from hil.uart_bits import Format

FORM = Format.parse("115200-8n1")
DATA = bytes(range(0x10, 0x20))
seeds = st.integers(0, 1 << 32)
units = st.binary(min_size=1, max_size=40)


def fault(kind, seed=1, **params):
    return SimpleNamespace(kind=kind, params=params, chance=random.Random(seed))


def after(kind, unit=DATA, form=FORM, seed=1, **params):
    return strike(Arrival(unit), [fault(kind, seed, **params)], form)


@given(units, seeds)
def test_a_bit_flip_turns_one_bit(data, seed):
    flipped = after("bit_flip", data, seed=seed).data
    different = int.from_bytes(data, "big") ^ int.from_bytes(flipped, "big")
    assert (len(flipped), different.bit_count()) == (len(data), 1)


def test_a_bit_flip_stays_within_the_bits_that_there_are():
    flipped = {after("bit_flip", b"\0", Format.parse("9600-7n1"), seed).data[0] for seed in range(200)}
    assert flipped == {1 << bit for bit in range(7)}


def test_a_receiver_that_checks_parity_sees_a_bit_flip():
    assert [after("bit_flip", form=Format.parse(f"9600-{each}")).errors for each in ("8n1", "8e1")] == [(), ("parity",)]


@given(units, seeds)
def test_a_drop_takes_one_byte(data, seed):
    assert after("drop", data, seed=seed).data in {data[:k] + data[k + 1 :] for k in range(len(data))}


@given(units, seeds)
def test_a_duplicate_gives_one_byte_twice(data, seed):
    assert after("duplicate", data, seed=seed).data in {data[:k] + data[k : k + 1] + data[k:] for k in range(len(data))}


@given(units, seeds)
def test_what_is_inserted_comes_in_somewhere_and_the_rest_stays(data, seed):
    got = after("insert", data, seed=seed, data=b"\xff\xfe").data
    assert got in {data[:k] + b"\xff\xfe" + data[k:] for k in range(len(data) + 1)}


def test_it_can_be_inserted_at_either_end():
    got = {after("insert", b"ab", seed=seed, data=b"-").data for seed in range(50)}
    assert got == {b"-ab", b"a-b", b"ab-"}


def test_truncation_keeps_the_beginning():
    assert [b"", DATA[:3], DATA] == [after("truncate", keep=keep).data for keep in (0, 3, 99)]


def test_delays_add_up():
    both = strike(Arrival(DATA), [fault("delay", by=5), fault("jitter", by=(7, 7))], FORM)
    assert both == Arrival(DATA, late_ns=12)


@given(seeds)
def test_jitter_stays_within_its_span(seed):
    assert 3 <= after("jitter", seed=seed, by=(3, 9)).late_ns <= 9


@given(units, seeds)
def test_reorder_lets_two_neighbours_change_places(data, seed):
    got = after("reorder", data, seed=seed)
    places = [k for k in range(len(data)) if data[k] != got.data[k]]
    if len(set(data)) == 1:
        assert (got.data, got.wait) == (data, Wait.SWAP)
    else:
        assert places[0] + 1 == places[1]
        assert sorted(got.data) == sorted(data)


@pytest.mark.parametrize(
    ("places", "reads"),
    [
        ((2,), [b"ab", b"cd"]),
        ((1, 3), [b"a", b"bc", b"d"]),
        ((4,), [b"abcd"]),
        ((9,), [b"abcd"]),
        ((2, 2), [b"ab", b"cd"]),
    ],
)
def test_a_split_ends_a_read_after_so_many_bytes(places, reads):
    assert reads == strike(Arrival(b"abcd"), [fault("split", at_byte=place) for place in places], FORM).reads()


def test_a_merge_waits_for_the_next_unit():
    assert after("merge") == Arrival(DATA, wait=Wait.JOIN)


@given(units, seeds)
def test_noise_is_a_few_bytes_that_nobody_sent_with_an_error_among_them(data, seed):
    got = after("noise", data, seed=seed)
    noise = len(got.data) - len(data)
    assert 1 <= noise <= 4
    assert any(got.data[:k] + got.data[k + noise :] == data for k in range(len(data) + 1))
    assert set(got.errors) == {"framing"}
    assert 1 <= len(got.errors) <= noise


def test_the_faults_of_the_sender_are_one_format():
    struck = [fault("baud", factor=1.5), fault("drop"), fault("parity", send="e"), fault("stop", send="1.5")]
    assert str(sent_as(FORM, struck)) == "172800-8e1.5"


def test_stop_bits_alone_change_nothing():
    assert Arrival(DATA) == received(DATA, sent_as(FORM, [fault("stop", send=2)]), FORM)


def test_a_parity_bit_that_nobody_expects_is_a_framing_error_where_it_is_low():
    even = sent_as(FORM, [fault("parity", send="e")])
    assert received(b"\x03", even, FORM).errors == ("framing",)
    assert received(b"\x01", even, FORM).errors == ()


def test_a_sender_at_twice_the_rate_is_not_understood():
    fast = received(DATA, sent_as(FORM, [fault("baud", factor=2)]), FORM)
    assert fast.data != DATA
    assert len(fast.data) < len(DATA)


def test_what_is_too_short_to_be_changed_stays_as_it_is():
    for kind in ("bit_flip", "drop", "duplicate"):
        assert after(kind, b"") == Arrival(b"")


ANY = st.sampled_from(
    [
        ("bit_flip", {}), ("drop", {}), ("duplicate", {}), ("insert", {"data": b"xyz"}), ("truncate", {"keep": 3}),
        ("delay", {"by": 5}), ("jitter", {"by": (0, 9)}), ("reorder", {}), ("split", {"at_byte": 2}), ("merge", {}),
        ("noise", {}),
    ]
)  # fmt: skip


@given(st.lists(ANY, max_size=12), st.binary(max_size=20), seeds)
def test_all_of_them_go_together(kinds, data, seed):
    got, again = (strike(Arrival(data), [fault(kind, seed, **params) for kind, params in kinds], FORM) for _ in "ab")
    assert got == again
    assert b"".join(got.reads()) == got.data
    assert all(got.reads()) or not got.data
