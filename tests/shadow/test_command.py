from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from gateway.shadow.command import Phase, begin, step
from gateway.shadow.events import (
    Approved,
    Barred,
    Declined,
    Due,
    Granted,
    Postponed,
    Reachable,
    Report,
    Send,
    Superseded,
    WaitUntil,
    Write,
    WriteFailed,
    Written,
)
from gateway.shadow.intent import APPROVAL_EXPIRY_NS, EXPIRY_NS, Confirm, Intent, Policy
from tests.shadow.plays import MOTOR, MS, NO_ACK, OLD, ONE_SHOT, WANTED, Play, acked, intent_of, sent

BY_ACK = Policy(confirm="ack", has_report=True, has_ack=True, tolerance=10)
BLIND = Policy(confirm="none")
OPERATOR = Policy(confirm="operator", has_report=True, has_ack=True, tolerance=10)
CLAMP = 2500


# --- sending


def test_a_new_command_asks_for_the_bus_at_once() -> None:
    assert Play(MOTOR).log == [Send(1), WaitUntil(2000 * MS)]


def test_nothing_is_written_before_the_bus_is_granted() -> None:
    assert Play(MOTOR).sent == []


def test_a_granted_bus_is_written_to() -> None:
    assert Play(MOTOR).at(5, Granted(1)) == [Write(1)]


def test_a_grant_is_used_once() -> None:
    play = Play(MOTOR)
    play.at(5, Granted(1))

    assert play.at(5, Granted(1)) == []


def test_a_grant_of_another_attempt_is_not_used() -> None:
    assert Play(MOTOR).at(5, Granted(2)) == []


def test_a_grant_after_the_expiry_lets_nothing_out() -> None:
    play = Play(MOTOR)
    play.at(2000, Granted(1))

    assert (play.sent, play.end) == ([], ("expired", "not_sent"))


def test_a_written_attempt_waits_for_its_timeout() -> None:
    assert sent(MOTOR).log[-1] == WaitUntil(410 * MS)


def test_a_command_for_later_sends_nothing_before_its_time() -> None:
    play = Play(MOTOR, not_before_ms=500)

    assert ([action for action in play.log if isinstance(action, Send)], play.at(499), play.at(500)) == (
        [],
        [],
        [Send(1)],
    )


def test_a_command_that_may_only_be_sent_after_its_expiry_expires() -> None:
    play = Play(MOTOR, not_before_ms=3000)
    play.at(5000)

    assert play.end == ("expired", "not_sent")


def test_a_command_is_held_while_the_device_is_away() -> None:
    play = Play(MOTOR, is_up=False)

    assert (play.at(100), play.at(200, Reachable(is_up=True))) == ([], [Send(1)])


def test_a_device_that_stays_away_lets_the_command_expire() -> None:
    play = Play(MOTOR, is_up=False)
    play.at(2000)

    assert play.end == ("expired", "unreachable")


def test_a_device_that_goes_while_the_bus_is_awaited_gets_the_command_when_it_is_back() -> None:
    play = Play(MOTOR)
    play.at(5, Reachable(is_up=False))

    assert (play.at(6, Granted(1)), play.at(50, Reachable(is_up=True))) == ([], [Send(1)])


# --- reports


def test_a_report_at_the_desired_value_after_the_ack_ends_it() -> None:
    play = acked(MOTOR)
    play.report(30, WANTED - 4)

    assert play.end == ("reported", "")


def test_the_confirming_report_is_effective() -> None:
    play = acked(MOTOR)
    play.report(30, WANTED - 4)

    assert play.finish is not None
    assert (play.finish.reported, play.finish.effective, play.finish.clamped) == (WANTED - 4, WANTED - 4, False)


def test_an_ack_alone_does_not_end_a_command_with_a_report() -> None:
    assert acked(MOTOR).end is None


def test_a_report_before_the_ack_waits_for_the_ack() -> None:
    play = sent(MOTOR)
    play.report(20, WANTED)
    before = play.end
    play.ack(30)

    assert (before, play.end) == (None, ("reported", ""))


def test_a_report_whose_ack_is_lost_is_enough_when_the_timeout_is_over() -> None:
    play = sent(MOTOR)
    play.report(20, WANTED)
    play.at(410)

    assert (play.end, play.sent) == (("reported", ""), [1])


def test_a_report_whose_ack_is_lost_is_enough_when_the_command_expires() -> None:
    play = sent(ONE_SHOT, expires_ms=300)
    play.report(20, WANTED)
    play.at(300)

    assert play.end == ("reported", "")


def test_without_an_ack_in_the_profile_the_report_is_enough() -> None:
    play = sent(NO_ACK)
    play.report(20, WANTED)

    assert play.end == ("reported", "")


def test_a_report_older_than_the_baseline_confirms_nothing() -> None:
    play = sent(NO_ACK)
    play.report(20, WANTED, received_ms=9)

    assert play.end is None


def test_a_report_from_before_the_command_was_sent_confirms_nothing() -> None:
    play = Play(NO_ACK)
    play.report(5, WANTED)
    play.send(10)

    assert play.end is None


def test_a_report_while_bytes_go_out_confirms_when_they_are_out() -> None:
    play = Play(NO_ACK)
    play.at(10, Granted(1))
    play.report(11, WANTED)
    before = play.end
    play.at(12, Written(1))

    assert (before, play.end) == (None, ("reported", ""))


def test_a_report_while_nothing_went_out_after_all_confirms_nothing() -> None:
    play = Play(NO_ACK)
    play.at(10, Granted(1))
    play.report(11, WANTED)
    play.at(12, WriteFailed(1, may_have_sent=False))

    assert play.end is None


def test_a_report_from_before_a_failed_write_does_not_confirm_the_next_one() -> None:
    play = Play(NO_ACK)
    play.at(10, Granted(1))
    play.report(11, WANTED)
    play.at(12, WriteFailed(1, may_have_sent=False))
    play.at(112)
    play.send(113, attempt=2)

    assert play.end is None


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_a_report_without_value_confirms_nothing(value: Any) -> None:
    play = sent(NO_ACK)
    play.report(20, value)

    assert (play.end, play.command.told) == (None, None)


def test_reports_that_come_out_of_order_do_not_go_back() -> None:
    play = sent(NO_ACK)
    play.report(30, CLAMP)
    play.report(31, OLD, received_ms=20)

    assert play.command.told == CLAMP


def test_a_report_received_before_the_expiry_counts_though_it_is_handed_over_late() -> None:
    play = acked(ONE_SHOT, expires_ms=300)
    play.report(350, WANTED, received_ms=299)

    assert play.end == ("reported", "")


def test_a_report_received_after_the_expiry_comes_too_late() -> None:
    play = acked(ONE_SHOT, expires_ms=300)
    play.report(350, WANTED, received_ms=301)

    assert play.end == ("unknown", "no_report")


def test_a_later_report_changes_no_outcome() -> None:
    play = acked(MOTOR)
    play.report(30, WANTED)
    finish = play.finish

    assert (play.report(40, 5), play.finish) == ([], finish)


def test_a_value_that_comes_in_the_back_off_still_confirms() -> None:
    play = acked(ONE_SHOT)
    play.report(30, OLD)
    play.at(1010)
    play.report(1050, WANTED)

    assert play.end == ("reported", "")


# --- clamped


def test_two_agreeing_reports_elsewhere_after_the_ack_are_a_clamp() -> None:
    play = acked(MOTOR)
    play.report(30, CLAMP)
    before = play.end
    play.report(40, CLAMP + 8)

    assert play.finish is not None
    assert (before, play.end, play.finish.clamped, play.finish.effective) == (
        None,
        ("reported", ""),
        True,
        CLAMP + 8,
    )


def test_one_report_elsewhere_is_a_clamp_when_the_timeout_is_over() -> None:
    play = acked(MOTOR)
    play.report(30, CLAMP)
    play.at(410)

    assert play.finish is not None
    assert (play.end, play.finish.clamped) == (("reported", ""), True)


def test_one_report_elsewhere_is_no_clamp_when_the_command_expires_first() -> None:
    play = acked(MOTOR, expires_ms=300)
    play.report(30, CLAMP)
    play.at(410)

    assert play.end == ("expired", "value_differs")


def test_the_first_report_elsewhere_after_the_timeout_is_a_clamp() -> None:
    play = acked(ONE_SHOT)
    play.at(1010)
    play.report(1050, CLAMP)

    assert play.finish is not None
    assert (play.end, play.finish.clamped) == (("reported", ""), True)


def test_a_value_on_its_way_is_not_settled_when_the_timeout_is_over() -> None:
    play = acked(MOTOR)
    for at_ms, value in ((100, 1400), (200, 1800), (300, 2200)):
        play.report(at_ms, value)

    assert (play.at(410), play.end) == ([], None)


def test_a_value_on_its_way_confirms_when_it_arrives() -> None:
    play = acked(MOTOR)
    for at_ms, value in ((100, 1400), (300, 2200), (500, 2600), (505, WANTED)):
        play.report(at_ms, value)

    assert play.finish is not None
    assert (play.end, play.finish.clamped) == (("reported", ""), False)


def test_the_old_value_between_two_others_parts_them() -> None:
    play = acked(MOTOR)
    for at_ms, value in ((30, CLAMP), (40, OLD), (50, CLAMP)):
        play.report(at_ms, value)

    assert play.end is None


def test_a_report_elsewhere_that_is_older_than_the_ack_settles_nothing() -> None:
    play = sent(MOTOR)
    play.report(15, CLAMP)
    play.ack(20)
    play.report(25, CLAMP)

    assert play.end is None


def test_a_report_elsewhere_from_before_the_ack_settles_nothing_though_it_is_handed_over_late() -> None:
    play = acked(MOTOR)
    play.report(25, CLAMP, received_ms=15)
    play.report(30, CLAMP)

    assert play.end is None


def test_a_report_elsewhere_without_an_ack_is_no_clamp() -> None:
    play = sent(NO_ACK)
    for at_ms in (30, 40, 50):
        play.report(at_ms, CLAMP)

    assert (play.end, play.at(410)) == (None, [])


def test_the_link_s_own_answer_stands_in_for_an_ack() -> None:
    play = Play(NO_ACK)
    play.at(10, Granted(1))
    play.at(15, Written(1, is_acknowledged=True))
    play.report(30, CLAMP)
    play.report(40, CLAMP)

    assert play.finish is not None
    assert play.finish.clamped


def test_the_link_s_own_answer_stands_in_for_no_ack_that_the_profile_declares() -> None:
    play = Play(MOTOR)
    play.at(10, Granted(1))
    play.at(15, Written(1, is_acknowledged=True))

    assert play.command.acked_ns is None


def test_a_device_of_which_nothing_was_known_can_clamp_too() -> None:
    play = acked(MOTOR, old=None)
    play.report(30, CLAMP)
    play.report(40, CLAMP)

    assert play.end == ("reported", "")


# --- the device ignores it


def all_attempts(play: Play, *, ack: bool) -> None:
    """Play a motor that keeps its value, each attempt granted at once: 400 ms and a back-off of 100, 200, 400."""
    for attempt, at_ms in ((1, 0), (2, 500), (3, 1100)):
        play.at(at_ms)
        play.send(at_ms, attempt)
        if ack:
            play.ack(at_ms + 1)
        play.report(at_ms + 50, OLD)
        play.report(at_ms + 60, OLD)


def test_a_device_that_acks_and_keeps_its_old_value_gets_every_attempt() -> None:
    play = Play(MOTOR)
    all_attempts(play, ack=True)

    assert (play.sent, play.end) == ([1, 2, 3], None)


def test_a_device_that_acks_and_keeps_its_old_value_exhausts_the_command_after_the_last_back_off() -> None:
    play = Play(MOTOR)
    all_attempts(play, ack=True)
    play.at(1899)
    before = play.end
    play.at(1900)

    assert (before, play.end) == (None, ("exhausted", "value_kept"))


def test_an_exhausted_command_has_no_effective_value() -> None:
    play = Play(MOTOR)
    all_attempts(play, ack=True)
    play.at(1900)

    assert play.finish is not None
    assert (play.finish.reported, play.finish.effective, play.finish.attempts) == (OLD, None, 3)


def test_a_device_that_never_acks_exhausts_the_command() -> None:
    play = Play(MOTOR)
    all_attempts(play, ack=False)
    play.at(1900)

    assert play.end == ("exhausted", "no_ack")


def test_the_expiry_comes_first_where_it_is_earlier_than_the_last_back_off() -> None:
    play = Play(MOTOR, expires_ms=1800)
    all_attempts(play, ack=True)
    play.at(1900)

    assert play.end == ("expired", "value_kept")


def test_the_expiry_comes_first_in_the_same_instant() -> None:
    play = Play(MOTOR, expires_ms=1900)
    all_attempts(play, ack=True)
    play.at(1900)

    assert play.end == ("expired", "value_kept")


def test_a_late_timer_changes_no_order() -> None:
    play = Play(MOTOR)
    all_attempts(play, ack=True)
    play.at(60_000)

    assert play.end == ("exhausted", "value_kept")


def test_no_attempt_is_sent_after_the_expiry_however_late_the_timer() -> None:
    play = acked(MOTOR)

    assert [type(action).__name__ for action in play.at(60_000)] == ["Finish"]


def test_what_is_not_idempotent_and_was_acknowledged_but_kept_is_exhausted() -> None:
    play = acked(ONE_SHOT)
    play.report(30, OLD)
    play.at(1110)

    assert play.end == ("exhausted", "value_kept")


@pytest.mark.parametrize(("ack", "report"), [(False, False), (True, False), (False, True)])
def test_what_is_not_idempotent_and_was_not_confirmed_is_unknown(ack: bool, report: bool) -> None:
    play = sent(ONE_SHOT)
    if ack:
        play.ack(20)
    if report:
        play.report(30, OLD)
    play.at(1110)

    assert play.end == ("unknown", "no_report" if ack else "no_ack")


def test_what_is_not_idempotent_is_unknown_at_its_expiry_too() -> None:
    play = sent(ONE_SHOT, expires_ms=500)
    play.at(500)

    assert play.end == ("unknown", "no_ack")


def test_what_is_not_idempotent_is_unknown_when_it_expires_while_bytes_go_out() -> None:
    play = Play(ONE_SHOT)
    play.at(1999, Granted(1))
    play.at(2000)

    assert play.end == ("unknown", "no_ack")


def test_what_is_not_idempotent_is_sent_once() -> None:
    play = sent(ONE_SHOT)
    play.at(5000)

    assert play.sent == [1]


def test_a_device_that_went_away_is_the_reason_whatever_else_is_missing() -> None:
    play = acked(MOTOR)
    play.at(100, Reachable(is_up=False))
    play.at(2000)

    assert play.end == ("expired", "unreachable")


def test_the_back_off_doubles_up_to_its_most() -> None:
    assert [MOTOR.backoff_ns(attempt) // MS for attempt in (1, 2, 3, 4, 5, 999)] == [100, 200, 400, 800, 1000, 1000]


# --- acks


def test_an_ack_ends_a_command_that_is_confirmed_by_ack() -> None:
    assert acked(BY_ACK).end == ("acked", "")


def test_an_ack_ends_a_command_without_report() -> None:
    assert acked(Policy(has_ack=True)).end == ("acked", "")


def test_a_command_confirmed_by_ack_is_not_ended_by_a_report() -> None:
    play = sent(BY_ACK)
    play.report(20, WANTED)

    assert play.end is None


def test_an_ack_older_than_the_baseline_confirms_nothing() -> None:
    play = sent(BY_ACK)
    play.ack(20, received_ms=9)

    assert play.end is None


def test_an_ack_before_anything_was_sent_confirms_nothing() -> None:
    play = Play(BY_ACK)
    play.ack(5)

    assert play.end is None


def test_a_late_ack_in_the_back_off_still_confirms() -> None:
    play = sent(BY_ACK)
    play.at(1010)
    play.ack(1050)

    assert play.end == ("acked", "")


def test_an_ack_after_the_outcome_changes_nothing() -> None:
    play = sent(BY_ACK)
    play.at(5000)

    assert (play.ack(5001), play.end) == ([], ("unknown", "no_ack"))


def test_an_ack_that_overtakes_the_driver_s_word_is_taken() -> None:
    play = Play(MOTOR)
    play.at(10, Granted(1))
    play.ack(11)
    play.at(12, Written(1))
    play.report(13, WANTED)

    assert play.end == ("reported", "")


def test_an_ack_proves_that_bytes_went_out_whatever_the_driver_says() -> None:
    play = Play(ONE_SHOT)
    play.at(10, Granted(1))
    play.ack(11)
    play.at(12, WriteFailed(1, may_have_sent=False))
    play.at(112)

    assert play.end == ("unknown", "no_report")


def test_a_second_ack_does_not_make_the_reports_before_it_old() -> None:
    play = acked(ONE_SHOT)
    play.report(30, OLD)
    play.ack(40)
    play.at(1110)

    assert play.end == ("exhausted", "value_kept")


@pytest.mark.parametrize("policy", [MOTOR, ONE_SHOT, BY_ACK])
def test_a_device_that_says_no_rejects_the_command(policy: Policy) -> None:
    play = sent(policy)
    play.ack(20, accepted=False)

    assert (play.end, play.sent) == (("rejected", "device"), [1])


def test_a_no_from_before_the_baseline_rejects_nothing() -> None:
    play = sent(MOTOR)
    play.ack(20, accepted=False, received_ms=5)

    assert play.end is None


# --- nothing to confirm


def test_what_cannot_be_confirmed_is_unknown_as_soon_as_it_is_written() -> None:
    play = Play(BLIND)
    play.at(10, Granted(1))
    before = play.end
    play.at(11, Written(1))

    assert (before, play.end) == (None, ("unknown", "unconfirmable"))


def test_no_confirmation_wanted_means_none_even_where_there_is_a_report() -> None:
    assert sent(Policy(confirm="none", has_report=True, has_ack=True)).end == ("unknown", "unconfirmable")


# --- the driver fails


def test_a_failed_write_is_tried_again_after_the_back_off() -> None:
    play = Play(MOTOR)
    play.at(10, Granted(1))
    play.at(20, WriteFailed(1, "busy"))

    assert (play.at(119), play.at(120)) == ([], [Send(2)])


def test_a_bus_that_never_comes_counts_as_an_attempt() -> None:
    play = Play(MOTOR)
    play.at(20, WriteFailed(1, "busy", may_have_sent=False))

    assert play.at(120) == [Send(2)]


def test_writes_that_all_fail_exhaust_the_command_with_the_driver_s_words() -> None:
    play = Play(ONE_SHOT)
    play.at(10, Granted(1))
    play.at(20, WriteFailed(1, "/dev/ttyUSB0 is closed", may_have_sent=False))
    play.at(120)

    assert play.finish is not None
    assert (play.end, play.finish.detail) == (("exhausted", "write_failed"), "/dev/ttyUSB0 is closed")


def test_a_write_that_may_have_gone_out_leaves_what_is_not_idempotent_unknown() -> None:
    play = Play(ONE_SHOT)
    play.at(10, Granted(1))
    play.at(20, WriteFailed(1, "timed out"))
    play.at(120)

    assert play.end == ("unknown", "no_ack")


def test_a_device_that_refuses_the_write_itself_rejects_the_command() -> None:
    play = Play(NO_ACK)
    play.at(10, Granted(1))
    play.at(20, WriteFailed(1, "illegal data value", is_refused=True))

    assert play.finish is not None
    assert (play.end, play.finish.detail, play.finish.attempts) == (
        ("rejected", "device"),
        "illegal data value",
        1,
    )


def test_news_of_another_attempt_s_write_is_no_news() -> None:
    play = sent(MOTOR)

    assert (play.at(20, WriteFailed(2)), play.at(20, Written(7)), play.command.phase) == ([], [], Phase.WAITING)


def test_a_write_of_another_attempt_does_not_end_this_one() -> None:
    play = Play(MOTOR)
    play.at(10, Granted(1))
    play.at(11, Written(2))

    assert play.command.phase is Phase.WRITING


def test_a_write_that_went_well_ends_what_the_driver_complained_of() -> None:
    play = Play(MOTOR)
    play.at(10, WriteFailed(1, "busy", may_have_sent=False))
    play.send(110, attempt=2)
    play.at(2000)

    assert play.finish is not None
    assert play.finish.detail == ""


def test_the_next_attempt_waits_for_a_device_that_went_away() -> None:
    play = sent(MOTOR)
    play.at(100, Reachable(is_up=False))

    assert (play.at(600), play.at(900, Reachable(is_up=True))) == ([], [Send(2)])


# --- others decide


@pytest.mark.parametrize("policy", [MOTOR, ONE_SHOT])
def test_a_newer_command_supersedes_it_whatever_was_sent(policy: Policy) -> None:
    play = sent(policy)
    play.at(20, Superseded())

    assert play.end == ("superseded", "")


def test_a_superseded_command_lets_nothing_out_any_more() -> None:
    play = Play(MOTOR)
    play.at(5, Superseded())

    assert play.at(6, Granted(1)) == []


@pytest.mark.parametrize(
    ("reason", "end"),
    [("interlock", ("rejected", "interlock")), ("budget", ("budget", "budget")), ("denied", ("rejected", "denied"))],
)
def test_what_is_barred_before_it_was_sent_ends_at_once(reason: str, end: tuple[str, str]) -> None:
    play = Play(MOTOR)
    play.at(5, Barred(reason))

    assert (play.end, play.sent) == (end, [])


def test_what_was_sent_before_it_was_barred_may_still_be_confirmed() -> None:
    play = acked(MOTOR)
    play.at(25, Barred("interlock"))
    play.report(30, WANTED)

    assert play.end == ("reported", "")


def test_what_was_sent_before_it_was_barred_is_not_sent_again() -> None:
    play = acked(MOTOR)
    play.at(25, Barred("interlock"))
    play.at(410)

    assert (play.end, play.sent) == (("exhausted", "interlock"), [1])


def test_what_is_barred_while_the_next_attempt_waits_for_the_bus_ends_at_once() -> None:
    play = acked(MOTOR)
    play.at(510)
    play.at(511, Barred("interlock"))

    assert play.end == ("exhausted", "interlock")


def test_what_is_barred_while_the_next_attempt_waits_for_its_device_ends_at_once() -> None:
    play = acked(MOTOR)
    play.at(100, Reachable(is_up=False))
    play.at(600)
    play.at(700, Barred("interlock"))

    assert play.end == ("exhausted", "interlock")


def test_an_operator_s_command_sends_nothing_before_the_approval() -> None:
    assert Play(OPERATOR, expires_ms=600_000).at(100) == []


def test_an_approved_command_goes_on_as_usual() -> None:
    play = Play(OPERATOR, expires_ms=600_000)
    asked = play.at(100, Approved())
    play.send(101)
    play.ack(102)
    play.report(103, WANTED)

    assert (asked, play.end) == ([Send(1)], ("reported", ""))


def test_a_second_approval_is_no_news() -> None:
    play = Play(OPERATOR, expires_ms=600_000)
    play.at(100, Approved())

    assert play.at(101, Approved()) == []


def test_a_declined_command_is_rejected() -> None:
    play = Play(OPERATOR, expires_ms=600_000)
    play.at(100, Declined())

    assert play.end == ("rejected", "operator")


def test_an_operator_s_no_comes_too_late_once_bytes_went_out() -> None:
    play = sent(MOTOR)
    play.at(20, Declined())

    assert play.end is None


def test_a_command_that_nobody_approves_expires() -> None:
    play = Play(OPERATOR, expires_ms=600_000)
    play.at(600_000)

    assert play.end == ("expired", "approval")


def test_an_approved_command_that_nothing_can_confirm_is_unconfirmable() -> None:
    play = Play(Policy(confirm="operator"), expires_ms=600_000)
    play.at(100, Approved())
    play.send(101)

    assert play.end == ("unknown", "unconfirmable")


# --- policies


@pytest.mark.parametrize(
    ("confirm", "report", "ack", "expected"),
    [
        (None, True, True, "report"),
        (None, False, True, "ack"),
        ("report", True, True, "report"),
        ("ack", True, True, "ack"),
        ("none", True, True, "none"),
        ("operator", True, True, "report"),
        ("operator", False, True, "ack"),
        ("operator", False, False, "none"),
    ],
)
def test_what_confirms_a_command_follows_from_the_profile(
    confirm: Confirm | None, report: bool, ack: bool, expected: str
) -> None:
    assert Policy(confirm=confirm, has_report=report, has_ack=ack).ends_by == expected


def test_a_command_expires_after_two_seconds_where_its_caller_says_nothing() -> None:
    assert (MOTOR.expiry_ns, OPERATOR.expiry_ns) == (EXPIRY_NS, APPROVAL_EXPIRY_NS)


# --- results


def test_a_result_says_everything_that_the_command_line_tells() -> None:
    play = acked(MOTOR)
    play.report(30, CLAMP)
    play.report(40, CLAMP)

    assert play.command.result() == {
        "id": "c1",
        "route": "pump/motor/speed@desired",
        "outcome": "reported",
        "reason": None,
        "detail": "",
        "desired": WANTED,
        "reported": CLAMP,
        "effective": CLAMP,
        "clamped": True,
        "attempts": 1,
        "key": None,
    }


def test_an_open_command_tells_the_same_keys_without_outcome() -> None:
    told = sent(MOTOR).command.result()

    assert (told.keys(), told["outcome"], told["reported"], told["attempts"]) == (
        acked(BY_ACK).command.result().keys(),
        None,
        OLD,
        1,
    )


def test_an_intent_comes_back_from_json_as_it_was() -> None:
    intent = Play(MOTOR).command.intent

    assert msgspec.json.decode(msgspec.json.encode(intent), type=Intent) == intent


def test_a_report_at_the_instant_of_the_write_is_not_older() -> None:
    play = sent(NO_ACK)
    play.at(10, Report(WANTED, 10 * MS))

    assert play.end == ("reported", "")


def test_what_the_device_has_only_to_speak_for_is_tried_again_and_counts_as_no_attempt() -> None:
    command, _ = begin(intent_of(), MOTOR, 0)
    held, actions = step(command, MOTOR, Postponed("interlock", "mode is stale"), 5 * MS)
    again, asked = step(held, MOTOR, Due(), 5 * MS + MOTOR.backoff_ns(1))
    assert (held.phase, held.attempt, actions) == (Phase.HELD, 0, (WaitUntil(5 * MS + MOTOR.backoff_ns(1)),))
    assert (again.phase, asked[0]) == (Phase.SENDING, Send(1))
