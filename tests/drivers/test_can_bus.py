from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from drivers._can_bus import CALM_NS, FIRST_RESTART_S, LONGEST_RESTART_S, QUIET_NS, Announcer, BusAccount, RestartDelays
from drivers._can_errors import STATES, read_error

S = 1_000_000_000


def said(changes):
    """Play (time, state) through an announcer as `BusWatch` does; return what was said when, timers included."""
    announcer, lines, due = Announcer(), [], None
    state = "unknown"

    def act(now_ns):
        wait_ns = announcer.wait_ns(state, now_ns)
        if wait_ns == 0:
            announcer.say(state, now_ns)
            lines.append((now_ns, state))
        return now_ns + wait_ns if wait_ns else None

    for now_ns, next_state in changes:
        while due is not None and due <= now_ns:
            due = act(due)
        state = next_state
        due = act(now_ns)
    while due is not None:
        due = act(due)
    return lines


def test_a_bus_that_is_well_from_the_start_is_not_worth_a_line():
    assert said([(0, "error-active")]) == []


def test_each_worse_state_is_said_at_once():
    changes = [(0, "error-warning"), (1, "error-passive"), (2, "bus-off")]
    assert said(changes) == changes


def test_recovery_is_said_once_the_bus_had_time_to_show_that_it_lasts():
    assert said([(0, "bus-off"), (S, "error-active")]) == [(0, "bus-off"), (QUIET_NS, "error-active")]


def test_a_bus_that_goes_to_and_fro_says_one_line_in_ten_seconds():
    changes = [(number * S // 100, STATES[number % 2]) for number in range(1, 3000)]
    lines = said(changes)
    assert len(lines) <= 4
    assert all(later - earlier >= QUIET_NS for (earlier, _), (later, _) in pairwise(lines))


@given(st.lists(st.tuples(st.integers(0, 30 * S), st.sampled_from(STATES)), min_size=1))
def test_the_last_state_is_always_said_in_the_end(changes):
    changes = sorted(changes, key=lambda change: change[0])
    lines = said(changes)
    assert [state for _, state in lines][-1:] in ([changes[-1][1]], []) or changes[-1][1] == "error-active"
    if not lines:
        assert {state for _, state in changes} == {"error-active"}


@given(st.lists(st.tuples(st.integers(0, 30 * S), st.sampled_from(STATES))))
def test_lines_are_bounded_whatever_the_bus_does(changes):
    lines = said(sorted(changes, key=lambda change: change[0]))
    for start, _ in lines:
        assert sum(start <= at < start + QUIET_NS for at, _ in lines) <= len(STATES)


def test_restarts_come_ever_more_slowly_as_long_as_they_do_not_help():
    delays, now_ns, waits = RestartDelays(), 0, []
    for _ in range(10):
        waits.append(delays.next_s(now_ns))
        now_ns += round(waits[-1] * S)
    assert waits[:3] == [FIRST_RESTART_S, 2 * FIRST_RESTART_S, 4 * FIRST_RESTART_S]
    assert waits[-1] == LONGEST_RESTART_S


def test_a_restart_is_quick_again_after_a_calm_minute():
    delays = RestartDelays()
    delays.next_s(0)
    delays.next_s(S)
    assert delays.next_s(2 * CALM_NS) == FIRST_RESTART_S


def test_errors_are_counted_by_kind_and_bus_off_by_the_time_it_happens():
    account = BusAccount()
    for classes, data in ((0x20, bytes(8)), (0x20, bytes(8)), (0x40, bytes(8)), (0x40, bytes(8)), (0x100, bytes(8))):
        account.hear(read_error(classes, data), 5 * S)
    facts = account.as_json(7 * S)

    assert facts["errors"] == {"ack": 2}
    assert (facts["bus_off_count"], facts["restarts"], facts["error_frames"]) == (1, 1, 5)
    assert (facts["bus_state"], facts["since_s"]) == ("error-active", 2.0)


def test_an_error_about_acknowledging_explains_a_full_queue_for_a_while():
    account = BusAccount()
    account.hear(read_error(0x20, bytes(8)), 0)
    assert account.is_unacknowledged(S)
    assert not account.is_unacknowledged(3 * S)
