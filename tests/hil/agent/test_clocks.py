from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hil.agent.clocks import ClockOffset, OtherClock

MS = 1_000_000
offsets = st.integers(-(10**15), 10**15)
ways = st.integers(0, 500 * MS)


@given(offset_ns=offsets, trips=st.lists(st.tuples(ways, ways), min_size=1, max_size=40))
def test_the_true_offset_is_within_the_uncertainty_however_slow_each_way_is(offset_ns, trips):
    clock, now_ns = OtherClock(), 10**12
    for there_ns, back_ns in trips:
        asked_ns = now_ns
        now_ns += there_ns + back_ns
        clock.answered(asked_ns, asked_ns + there_ns + offset_ns, now_ns)
        assert abs(clock.offset.offset_ns - offset_ns) <= clock.offset.uncertainty_ns
    assert clock.offset.uncertainty_ns <= min(there_ns + back_ns + 1 for there_ns, back_ns in trips[-32:])


@given(before_ns=offsets, after_ns=offsets)
def test_a_jump_is_followed_at_the_first_question_that_shows_it(before_ns, after_ns):
    clock = OtherClock()
    for number in range(10):
        clock.answered(number, number + 1000 + before_ns, number + 2000)
    clock.answered(100, 1100 + after_ns, 2100)
    is_jump = abs(after_ns - before_ns) > 10 * MS + 2_000
    assert clock.offset == ClockOffset(after_ns if is_jump else before_ns, 1000)


def test_an_answer_from_before_its_question_says_nothing():
    clock = OtherClock()
    clock.answered(100, 5, 50)
    assert not clock.is_known
