"""The pure player: what it sends when, what it expects, where it says that it diverged."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.trace import make
from hil.trace.player import Player

MS = 1_000_000
UART = {"uart0": "uart"}


def rx(ms, data, bus="uart0"):
    return make(ms * MS, bus, "rx", "bytes", data)


def tx(ms, data, bus="uart0"):
    return make(ms * MS, bus, "tx", "bytes", data)


def played(player, now_ns=0, until_ns=10_000 * MS):
    """Let virtual time pass; return what was sent when, in ms."""
    sent = []
    while not player.is_over:
        sent += [(now_ns // MS, record.payload) for record in player.due(now_ns)]
        next_ns = player.next_ns()
        if next_ns is None or next_ns > until_ns:
            break
        now_ns = max(now_ns, next_ns)
    return sent


@pytest.mark.parametrize(
    ("speed", "times"),
    [(Fraction(1), [0, 10, 40]), (Fraction(2), [0, 5, 20]), (Fraction(1, 2), [0, 20, 80]), (None, [0] * 3)],
)
def test_what_the_device_sent_is_sent_at_its_times_scaled(speed, times):
    player = Player([rx(5, b"a"), rx(15, b"b"), rx(45, b"c")], UART, speed=speed)
    player.start(0)
    assert played(player) == list(zip(times, (b"a", b"b", b"c"), strict=True))
    assert (player.is_over, player.diverged, player.sent) == (True, None, 3)


def test_a_reply_waits_for_its_request_and_follows_it_as_it_did():
    player = Player([tx(0, b"ping"), rx(10, b"pong"), tx(100, b"ping"), rx(110, b"pong")], UART)
    player.start(0)
    assert played(player, until_ns=3_000 * MS) == []
    player.heard(3_000 * MS, "uart0", "bytes", b"pi")
    player.heard(3_001 * MS, "uart0", "bytes", b"ng")
    assert played(player, 3_001 * MS, 5_000 * MS) == [(3_011, b"pong")]
    player.heard(3_050 * MS, "uart0", "bytes", b"ping")
    assert played(player, 3_050 * MS) == [(3_060, b"pong")]
    assert player.is_over
    assert (player.diverged, player.matched) == (None, 2)


def test_a_stream_keeps_its_times_whenever_a_command_comes():
    player = Player([rx(0, b"0"), rx(10, b"1"), tx(15, b"c"), rx(20, b"2"), rx(30, b"3")], UART)
    player.start(0)
    assert [record.payload for record in player.due(0)] == [b"0"]
    player.heard(2 * MS, "uart0", "bytes", b"c")
    assert played(player, 2 * MS) == [(10, b"1"), (20, b"2"), (30, b"3")]


def test_other_bytes_diverge_at_once_with_what_stood_before_them():
    records = [tx(0, b"one"), rx(1, b"1"), make(1 * MS, "", "note", "note", text="x"), tx(2, b"two"), rx(3, b"2")]
    player = Player(records, UART)
    player.start(0)
    player.heard(0, "uart0", "bytes", b"one")
    assert played(player, 0, 100 * MS) == [(1, b"1")]
    player.heard(5 * MS, "uart0", "bytes", b"tXo")
    assert player.is_over
    assert player.diverged is not None
    assert player.diverged.record == 4
    assert player.diverged.expected is records[3]
    assert player.diverged.got.payload == b"tXo"
    assert player.diverged.context == records[:3]
    assert player.diverged.document()["got"]["data"] == "74586f"


def test_what_stays_away_for_too_long_diverges_with_what_came_of_it():
    player = Player([tx(0, b"ping"), rx(1, b"pong")], UART, patience_ns=50 * MS)
    player.start(0)
    player.heard(10 * MS, "uart0", "bytes", b"pi")
    assert played(player) == []
    assert (player.diverged.record, player.diverged.got.payload) == (1, b"pi")


def test_nothing_at_all_diverges_with_null():
    player = Player([tx(0, b"ping")], UART, patience_ns=50 * MS)
    player.start(0)
    played(player)
    assert player.diverged.document()["got"] is None


def test_more_than_the_trace_has_diverges_with_nothing_expected():
    player = Player([tx(0, b"ping"), rx(100, b"pong")], UART)
    player.start(0)
    player.heard(0, "uart0", "bytes", b"pingX")
    assert (player.diverged.record, player.diverged.expected, player.diverged.got.payload) == (2, None, b"X")


def test_matched_order_takes_requests_as_they_come():
    records = [rx(0, b"hi"), tx(10, b"A?"), rx(12, b"a1"), rx(14, b"a2"), tx(20, b"B?"), rx(25, b"b")]
    player = Player(records, UART, order="matched")
    player.start(0)
    assert played(player, until_ns=0) == [(0, b"hi")]
    player.heard(100 * MS, "uart0", "bytes", b"B?A?")
    assert played(player, 100 * MS) == [(102, b"a1"), (104, b"a2"), (105, b"b")]
    assert (player.is_over, player.diverged) == (True, None)


def test_matched_order_refuses_what_is_no_open_request():
    player = Player([tx(0, b"A?"), rx(1, b"a"), tx(2, b"B?")], UART, order="matched")
    player.start(0)
    player.heard(0, "uart0", "bytes", b"B?C")
    assert (player.diverged.record, player.diverged.got.payload) == (1, b"C")


def test_frames_are_compared_by_id_data_and_kind():
    records = [make(0, "can0", "tx", "data", b"\1", id="123"), make(1, "can0", "tx", "remote", id="123", dlc=2)]
    player = Player(records, {"can0": "can"})
    player.start(0)
    player.heard(0, "can0", "fd", b"\1", id="123", brs=True, esi=False)
    player.heard(0, "can0", "remote", b"", id="123", dlc=3)
    assert (player.diverged.record, player.diverged.got.dlc) == (2, 3)


def test_buses_that_are_not_played_and_faults_stay_silent():
    records = [tx(0, b"other", bus="uart1"), make(0, "uart0", "fault", "drop", b"x"), rx(0, b"a")]
    player = Player(records, UART)
    player.start(0)
    assert played(player) == [(0, b"a")]
    assert player.is_over


STEPS = st.lists(st.tuples(st.booleans(), st.binary(min_size=1, max_size=4), st.integers(0, 20)), max_size=20)


@given(steps=STEPS, speed=st.sampled_from([Fraction(1), Fraction(7, 3), None]), cuts=st.lists(st.integers(1, 3)))
def test_a_host_that_does_as_in_the_trace_never_diverges_however_its_bytes_are_cut(steps, speed, cuts):
    t_ms, records = 0, []
    for is_tx, data, gap_ms in steps:
        t_ms += gap_ms
        records.append((tx if is_tx else rx)(t_ms, data))
    player = Player(records, UART, speed=speed)
    player.start(0)
    now_ns, sent, waiting = 0, [], [record.payload for record in records if record.dir == "tx"]
    sizes = iter([*cuts, *[4] * 100])
    while not player.is_over:
        got = player.due(now_ns)
        sent += [record.payload for record in got]
        if not got and waiting:
            size = next(sizes)
            data, rest = waiting[0][:size], waiting[0][size:]
            waiting[:1] = [rest] if rest else []
            player.heard(now_ns, "uart0", "bytes", data)
        elif not got and (next_ns := player.next_ns()) is not None:
            now_ns = max(now_ns, next_ns)
    assert player.diverged is None
    assert sent == [record.payload for record in records if record.dir == "rx"]
