"""A device that was away in mid-command may have restarted: what it said before proves nothing about now."""

from __future__ import annotations

import pytest

from gateway.shadow.events import Reachable
from tests.shadow.plays import MOTOR, NO_ACK, OLD, ONE_SHOT, WANTED, Play, acked, sent

ELSEWHERE = 2000  # neither where it was nor where it should be


def returned(play: Play, now_ms: int = 100) -> Play:
    """Let the device go and come back at once."""
    play.at(now_ms, Reachable(is_up=False))
    play.at(now_ms, Reachable(is_up=True))
    return play


@pytest.mark.parametrize("policy", [MOTOR, ONE_SHOT], ids=["idempotent", "once"])
def test_two_equal_reports_with_a_restart_between_them_are_no_limit_of_the_device(policy):
    play = acked(policy)
    play.report(90, ELSEWHERE)
    returned(play)
    play.report(110, ELSEWHERE)
    play.report(210, ELSEWHERE)
    assert play.end is None


def test_an_ack_from_before_a_restart_lets_nothing_settle_after_it():
    play = returned(acked(MOTOR))
    for now_ms in (110, 210, 310, 410):  # the attempt's time is over at 410
        play.report(now_ms, ELSEWHERE)
    assert play.end is None
    assert play.at(510)[0].attempt == 2


def test_a_restarted_device_that_acknowledges_anew_and_stays_elsewhere_has_a_limit():
    play = returned(acked(MOTOR))
    play.report(110, 500)
    play.at(410)
    play.at(510)
    play.send(510, 2)
    play.ack(520)
    play.report(600, ELSEWHERE)
    play.report(700, ELSEWHERE)
    assert play.end == ("reported", "")
    assert play.finish.clamped is True


def test_what_a_restarted_device_tells_first_is_where_it_begins_and_no_limit():
    play = returned(acked(MOTOR))
    play.report(110, 0)  # it lost its order, and stands where it stands at power-on
    play.at(410)
    play.at(510)
    play.send(510, 2)
    play.ack(520)
    play.report(600, 0)
    play.report(700, 0)
    assert play.end is None
    play.report(800, WANTED)
    assert (play.end, play.finish.clamped) == (("reported", ""), False)


@pytest.mark.parametrize("policy", [MOTOR, NO_ACK, ONE_SHOT], ids=["acknowledged", "unacknowledged", "once"])
def test_a_device_that_kept_its_order_is_done_when_the_attempts_time_shows_it(policy):
    play = returned(acked(policy) if policy.has_ack else sent(policy))
    assert play.report(110, WANTED) == []  # it may be on its way back from there
    play.at(10 + policy.timeout_ns // 1_000_000)
    assert (play.end, play.finish.attempts) == (("reported", ""), 1)


def test_a_device_that_passes_the_desired_value_on_its_way_back_is_not_done():
    play = returned(sent(NO_ACK))
    play.report(110, WANTED)
    play.report(210, ELSEWHERE)
    assert play.at(410) == []
    assert play.at(510)[0].attempt == 2


def test_what_must_not_be_sent_twice_is_unknown_when_a_restart_has_voided_its_ack():
    play = returned(acked(ONE_SHOT))
    play.report(110, OLD)
    play.at(2000)
    assert play.end == ("unknown", "restarted")


def test_what_has_lost_its_last_ack_to_a_restart_says_so():
    play = Play(MOTOR)
    play.send(10)
    play.at(410)
    play.at(510)
    play.send(510, 2)
    play.at(910)
    play.at(1110)
    play.send(1110, 3)
    play.ack(1120)
    returned(play, 1200)
    play.report(1210, ELSEWHERE)
    play.at(1510)
    play.at(1910)
    assert play.end == ("exhausted", "restarted")


def test_a_device_that_came_back_before_anything_was_sent_makes_no_difference():
    play = Play(MOTOR, is_up=False)
    play.at(5, Reachable(is_up=True))
    play.send(10)
    play.ack(20)
    play.report(30, WANTED)
    assert play.end == ("reported", "")


def test_what_passes_the_old_value_on_its_way_is_still_moving_and_has_no_limit():
    play = acked(MOTOR, old=2000)
    for now_ms, value in ((100, 500), (200, 1200), (300, 2000)):
        play.report(now_ms, value)
    play.at(410)
    assert play.report(420, 2400) == []  # the attempt's time is over, and one report is no limit of what moves
    assert play.report(450, WANTED)[0].clamped is False
