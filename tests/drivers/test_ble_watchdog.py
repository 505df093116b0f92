from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from drivers._ble_watchdog import AGAIN_NS, LADDER, RUNG_NS, SILENCE_NS, Step, Watchdog

START = 1_000_000_000_000


def climbed(watchdog: Watchdog, until_ns: int, *, links: int = 0, now_ns: int = START) -> list[Step]:
    """Ask whenever the watchdog says; return the steps taken."""
    taken = []
    while now_ns < until_ns:
        step, due_ns = watchdog.next(now_ns, links=links)
        taken += [step] if step is not Step.REST else []
        now_ns = max(due_ns, now_ns + 1)
    return taken


def silent() -> Watchdog:
    watchdog = Watchdog()
    watchdog.began(START)
    return watchdog


def test_nothing_is_done_before_the_silence_is_long():
    assert silent().next(START + SILENCE_NS - 1, links=0) == (Step.REST, START + SILENCE_NS)


def test_silence_is_answered_by_one_rung_after_the_other():
    assert climbed(silent(), START + SILENCE_NS + 4 * RUNG_NS) == list(LADDER)


def test_after_the_report_the_ladder_rests_for_long():
    watchdog = silent()
    end_ns = START + SILENCE_NS + 3 * RUNG_NS
    climbed(watchdog, end_ns + 1)
    assert climbed(watchdog, end_ns + AGAIN_NS - 1, now_ns=end_ns + 1) == []


def test_an_hour_after_the_report_it_begins_again():
    assert climbed(silent(), START + SILENCE_NS + 3 * RUNG_NS + AGAIN_NS + 1) == [*LADDER, Step.RESTART_SCAN]


def test_an_exhausted_ladder_is_silence_until_something_is_heard():
    watchdog = silent()
    end_ns = START + SILENCE_NS + 3 * RUNG_NS + 1
    climbed(watchdog, end_ns)
    was_silent = watchdog.is_silent
    watchdog.heard_ns = end_ns + 1
    assert (was_silent, watchdog.is_silent) == (True, False)


def test_one_advertisement_begins_the_ladder_anew():
    watchdog = silent()
    assert watchdog.next(START + SILENCE_NS, links=0)[0] is Step.RESTART_SCAN
    heard_ns = START + SILENCE_NS + 1
    watchdog.heard_ns = heard_ns
    assert watchdog.next(heard_ns + SILENCE_NS - 1, links=0)[0] is Step.REST
    assert watchdog.next(heard_ns + SILENCE_NS, links=0)[0] is Step.RESTART_SCAN


def test_power_is_not_cut_while_links_are_open():
    assert Step.POWER_CYCLE not in climbed(silent(), START + 3 * AGAIN_NS, links=1)


def test_a_pause_for_a_connect_is_no_silence():
    watchdog = silent()
    watchdog.began(START + SILENCE_NS)
    assert watchdog.next(START + SILENCE_NS, links=0)[0] is Step.REST


@given(st.lists(st.integers(1, SILENCE_NS - 1), max_size=50))
def test_an_adapter_that_hears_is_left_alone(pauses):
    watchdog, now_ns = silent(), START
    for pause_ns in pauses:
        now_ns += pause_ns
        assert watchdog.next(now_ns, links=0)[0] is Step.REST
        watchdog.heard_ns = now_ns
