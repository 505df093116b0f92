from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.frame import Batch
from hil.agent.history import History
from hil.agent.messages import Gap


def batch(*payloads, addresses=None, dropped=0):
    return Batch(list(payloads), 1, 2, addresses, dropped=dropped)


def read_all(history, sequence):
    """What a reader gets that asks until there is nothing more."""
    parts = []
    while True:
        part, sequence = history.after(sequence)
        if part is None:
            return parts, sequence
        parts.append(part)


def test_a_reader_gets_what_came_since_its_place():
    history = History()
    history.add(batch(b"a", b"b"))
    history.add(batch(b"c"))
    parts, end = read_all(history, 2)
    assert [part.payloads for part in parts] == [[b"b"], [b"c"]]
    assert end == 4


def test_a_stamp_of_another_clock_counts_as_none():
    history = History()
    history.add(Batch([b"a", b"b", b"c"], 1000, 10**18, [1, 2, 3], [10**18 - 400, 0, 10**18 + 1]))
    ((part,), _) = read_all(history, 1)
    assert part.stamps_ns == [600, 1000, 1000]


def test_what_fell_out_is_told_as_a_gap_of_that_many():
    history = History(kept_bytes=300)
    for number in range(10):
        history.add(batch(bytes([number])))
    part, end = history.after(3)
    assert part == Gap(end - 3, "the agent kept them no longer")
    assert history.dropped == end - 1


def test_what_the_port_lost_keeps_its_place():
    history = History()
    history.add(batch(b"a"))
    history.add(batch(b"b", dropped=5))
    parts, end = read_all(history, 1)
    assert parts[1] == Gap(5, "the port lost them")
    assert (parts[2].sequence, end) == (7, 8)


def test_addresses_stay_with_their_payloads():
    history = History()
    history.add(batch(b"a", b"b", addresses=[1, 2]))
    assert history.after(2)[0].addresses == [2]


def test_a_read_that_is_too_long_for_one_message_is_cut():
    history = History(kept_bytes=10 << 20)
    history.add(batch(*[b"x" * 1000] * 200))
    parts, _ = read_all(history, 1)
    assert max(sum(map(len, part.payloads)) for part in parts) <= 64 << 10
    assert sum(len(part.payloads) for part in parts) == 200


@given(
    batches=st.lists(st.tuples(st.lists(st.binary(max_size=40), max_size=5), st.integers(0, 3)), max_size=40),
    kept_bytes=st.integers(1, 2000),
    start=st.integers(1, 60),
)
def test_every_record_is_either_given_or_told_as_missing(batches, kept_bytes, start):
    history = History(kept_bytes)
    sent = []
    for payloads, dropped in batches:
        history.add(batch(*payloads, dropped=dropped))
        sent += [None] * dropped + payloads
    parts, end = read_all(history, start)
    place = min(start, len(sent) + 1)
    for part in parts:
        if isinstance(part, Gap):
            place += part.count
            continue
        assert part.sequence == place
        for payload in part.payloads:
            assert payload == sent[place - 1]
            place += 1
    assert place == len(sent) + 1
    assert end == len(sent) + 1
    assert history._held_bytes <= max(kept_bytes, 40 * 5 + 64 * 5)
