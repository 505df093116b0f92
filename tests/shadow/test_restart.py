from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.shadow.command import Command
from gateway.shadow.events import Action, Finish, Granted, Report, Send, WaitUntil
from gateway.shadow.intent import Policy
from gateway.shadow.restart import restarted
from tests.shadow.plays import MOTOR, MS, NO_ACK, ONE_SHOT, WALL_NS, WANTED, Play, intent_of

OPERATOR = Policy(confirm="operator", has_report=True, has_ack=True, tolerance=10)
NOW_NS = 50 * MS  # the monotonic clock of the new boot knows nothing of the old one's


def restart(
    policy: Policy,
    *,
    after_ms: int = 500,
    expires_ms: int = 2000,
    not_before_ms: int = 0,
    clock: str = "ntp",
    **facts: Any,
) -> tuple[Command, tuple[Action, ...]]:
    intent = intent_of(expires_ms=expires_ms, not_before_ms=not_before_ms)
    age_ns = intent.age_ns(NOW_NS, WALL_NS + after_ms * MS, machine="new", clock=clock)
    return restarted(intent, policy, NOW_NS, age_ns, **({"is_up": True} | facts))


def end_of(told: tuple[Command, tuple[Action, ...]]) -> tuple[str, str] | None:
    command, actions = told
    if command.finish is None:
        return None
    assert actions == (command.finish,)
    return str(command.finish.outcome), command.finish.reason


@pytest.mark.parametrize("attempts", [0, 1])
def test_what_is_not_idempotent_is_never_sent_again(attempts: int) -> None:
    assert end_of(restart(ONE_SHOT, attempts=attempts)) == ("unknown", "restarted")


def test_what_is_not_idempotent_is_unknown_even_when_its_time_is_over() -> None:
    assert end_of(restart(ONE_SHOT, after_ms=60_000)) == ("unknown", "restarted")


def test_what_is_idempotent_and_still_has_time_goes_on() -> None:
    assert restart(MOTOR)[1] == (Send(1), WaitUntil(NOW_NS + 1500 * MS))


def test_what_goes_on_counts_the_attempts_that_are_known() -> None:
    assert restart(MOTOR, attempts=2)[1][0] == Send(3)


def test_what_goes_on_waits_for_its_device() -> None:
    assert restart(MOTOR, is_up=False)[1] == (WaitUntil(NOW_NS + 1500 * MS),)


def test_what_has_no_attempt_left_may_still_be_confirmed_until_its_back_off_is_over() -> None:
    command, actions = restart(MOTOR, attempts=3)

    assert (command.is_open, actions) == (True, (WaitUntil(NOW_NS + 400 * MS),))


def test_a_report_after_the_restart_confirms_what_is_known_to_have_been_sent() -> None:
    play = Play(MOTOR)
    play.command, _ = restart(MOTOR, attempts=3)
    play.at(60, Report(WANTED, 60 * MS))

    assert play.end == ("reported", "")


def test_a_report_confirms_nothing_of_which_no_sending_is_known() -> None:
    play = Play(NO_ACK)
    play.command, _ = restart(NO_ACK)
    play.at(60, Report(WANTED, 60 * MS))

    assert play.end is None


@pytest.mark.parametrize("after_ms", [2000, 60_000])
def test_what_is_idempotent_expires_when_its_time_is_over(after_ms: int) -> None:
    assert end_of(restart(MOTOR, after_ms=after_ms)) == ("expired", "restarted")


def test_a_clock_that_is_not_trusted_leaves_no_time() -> None:
    assert end_of(restart(MOTOR, clock="none")) == ("expired", "restarted")


def test_a_clock_before_the_intent_leaves_no_time() -> None:
    assert end_of(restart(MOTOR, after_ms=-1)) == ("expired", "restarted")


@pytest.mark.parametrize("policy", [MOTOR, ONE_SHOT])
def test_what_was_not_due_yet_waits_for_its_time(policy: Policy) -> None:
    assert restart(policy, not_before_ms=700)[1] == (WaitUntil(NOW_NS + 200 * MS),)


def test_what_was_not_due_by_a_clock_that_is_not_trusted_may_have_been_sent() -> None:
    assert end_of(restart(ONE_SHOT, not_before_ms=700, clock="none")) == ("unknown", "restarted")


def test_what_was_sent_before_its_time_by_this_clock_was_sent_all_the_same() -> None:
    assert end_of(restart(ONE_SHOT, not_before_ms=700, attempts=1)) == ("unknown", "restarted")


def test_what_nobody_approved_still_waits_for_the_operator() -> None:
    assert restart(OPERATOR, expires_ms=600_000)[1] == (WaitUntil(NOW_NS + 599_500 * MS),)


def test_what_nobody_approved_expires_when_its_time_is_over() -> None:
    assert end_of(restart(OPERATOR, after_ms=2000)) == ("expired", "restarted")


def test_what_was_approved_may_have_been_sent() -> None:
    assert end_of(restart(OPERATOR, is_approved=True, expires_ms=600_000)) == ("unknown", "restarted")


def test_what_goes_on_expires_at_its_own_time() -> None:
    play = Play(MOTOR)
    play.command, _ = restart(MOTOR, is_up=False)
    play.at(1549)
    before = play.end
    play.at(1550)

    assert (before, play.end) == (None, ("expired", "unreachable"))


def test_what_goes_on_is_granted_like_any_other() -> None:
    play = Play(MOTOR)
    play.command, _ = restart(MOTOR, attempts=1)
    play.at(60, Granted(2))

    assert play.sent == [2]


def test_the_outcome_of_a_restart_is_told_once() -> None:
    _, actions = restart(ONE_SHOT)

    assert [type(action) for action in actions] == [Finish]


@pytest.mark.parametrize(
    ("machine", "now_ms", "clock", "expected"),
    [
        ("m1", 700, "none", 200 * MS),  # the machine runs on: its monotonic clock tells, whatever the wall clock says
        ("m1", 499, "none", None),  # no time before the intent
        ("m2", 700, "none", None),
        ("m2", 700, "rtc", None),  # better than then: the time of then may be anything
        ("", 700, "none", None),
    ],
)
def test_an_age_is_told_by_a_clock_that_knew_the_time_then_and_does_now(
    machine: str, now_ms: int, clock: str, expected: int | None
) -> None:
    intent = msgspec.structs.replace(intent_of(), made_ns=500 * MS, machine="m1", clock="none")
    assert intent.age_ns(now_ms * MS, WALL_NS + 60_000 * MS, machine=machine, clock=clock) == expected
