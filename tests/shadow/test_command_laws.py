"""Laws that hold for every command, whatever happens to it and in whatever order."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
from hypothesis import given
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.shadow.command import Command, begin, step
from gateway.shadow.events import (
    Ack,
    Action,
    Approved,
    Barred,
    Declined,
    Due,
    Event,
    Finish,
    Granted,
    Reachable,
    Report,
    Send,
    Superseded,
    WaitUntil,
    Write,
    WriteFailed,
    Written,
)
from gateway.shadow.intent import Outcome, Policy
from gateway.shadow.reconcile import agree
from tests.shadow.plays import MS, WANTED, intent_of

VALUES = st.sampled_from([1000, 1005, 2500, 2504, WANTED, WANTED - 9, None])


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    is_idempotent = draw(st.booleans())
    return Policy(
        confirm=draw(st.sampled_from([None, None, None, None, "ack", "none", "operator"])),
        has_report=draw(st.sampled_from([True, True, False])),
        has_ack=draw(st.booleans()),
        tolerance=10,
        timeout_ns=draw(st.sampled_from([50, 400, 1000])) * MS,
        attempts=draw(st.integers(1, 3)) if is_idempotent else 1,
        backoff_first_ns=draw(st.sampled_from([0, 100])) * MS,
        is_idempotent=is_idempotent,
    )


def events(now_ms: int) -> st.SearchStrategy[Event]:
    attempts = st.integers(1, 3)
    received_ns = st.integers(max(0, now_ms - 300), now_ms).map(lambda ms: ms * MS) | st.just(now_ms * MS)
    return st.one_of(
        st.just(Due()),
        st.builds(Granted, attempts),
        st.builds(Written, attempts, st.booleans()),
        st.builds(WriteFailed, attempts, st.just("busy"), st.booleans(), st.sampled_from([False, False, True])),
        st.builds(Ack, st.sampled_from([True] * 5 + [False]), received_ns),
        st.builds(Report, VALUES, received_ns),
        st.builds(Reachable, st.sampled_from([True, True, False])),
        st.just(Approved()),
    )


INTERFERENCE = st.builds(Barred, st.sampled_from(["interlock", "budget"])) | st.sampled_from([Superseded(), Declined()])
SELDOM = st.sampled_from([False] * 9 + [True])


class AnyCommand(RuleBasedStateMachine):
    """One command among every event that can be, obedient runtime or not."""

    command: Command
    policy: Policy

    @initialize(
        policy=policies(),
        not_before_ms=st.sampled_from([0, 0, 300]),
        old=VALUES,
        is_up=st.sampled_from([True, True, False]),
    )
    def start(self, policy: Policy, not_before_ms: int, old: Any, is_up: bool) -> None:
        self.policy = policy
        self.now_ms = 0
        self.is_approved = not policy.needs_approval
        self.heard: list[Event] = []
        self.log: list[tuple[int, Action]] = []
        intent = intent_of(not_before_ms=not_before_ms)
        self.command, actions = begin(intent, policy, 0, old=old, is_up=is_up)
        self.take(actions)

    def take(self, actions: tuple[Action, ...]) -> None:
        self.log += [(self.now_ms, action) for action in actions]

    def happens(self, event: Event) -> None:
        was_open, baseline_ns = self.command.is_open, self.command.baseline_ns
        is_answer = isinstance(event, Ack | Report) and baseline_ns is not None and event.received_ns >= baseline_ns
        self.is_approved |= isinstance(event, Approved)
        self.command, actions = step(self.command, self.policy, event, self.now_ms * MS)
        assert was_open or actions == ()
        if is_answer:
            self.heard.append(event)
        self.take(actions)

    @rule(data=st.data())
    def something_happens(self, data: st.DataObject) -> None:
        self.happens(data.draw(events(self.now_ms)))

    @rule(event=INTERFERENCE, is_meant=SELDOM)
    def somebody_interferes(self, event: Event, is_meant: bool) -> None:
        if is_meant:
            self.happens(event)

    @precondition(lambda self: self.command.is_open)
    @rule(is_written=st.sampled_from([True, True, True, False]), wait_ms=st.integers(0, 20))
    def the_bus_comes(self, is_written: bool, wait_ms: int) -> None:
        self.now_ms += wait_ms
        attempt = self.command.attempt + 1
        self.happens(Approved())
        self.happens(Granted(attempt))
        if is_written:
            self.happens(Written(attempt))

    @rule(values=st.lists(VALUES, max_size=3), is_acked=st.booleans(), wait_ms=st.integers(0, 20))
    def the_device_answers(self, values: list[Any], is_acked: bool, wait_ms: int) -> None:
        if is_acked:
            self.happens(Ack(accepted=True, received_ns=self.now_ms * MS))
        for value in values:
            self.now_ms += wait_ms
            self.happens(Report(value, self.now_ms * MS))

    @rule(wait_ms=st.sampled_from([1, 10, 50, 100, 400, 1500]))
    def time_passes(self, wait_ms: int) -> None:
        self.now_ms += wait_ms
        self.happens(Due())

    def actions(self, kind: type[Action]) -> list[tuple[int, Any]]:
        return [(at_ms, action) for at_ms, action in self.log if isinstance(action, kind)]

    @invariant()
    def there_is_one_outcome_at_most(self) -> None:
        finishes = [action for _, action in self.actions(Finish)]
        assert finishes == ([self.command.finish] if self.command.finish else [])

    @invariant()
    def nothing_follows_the_outcome(self) -> None:
        assert all(isinstance(action, Finish) is (place == len(self.log) - 1) for place, (_, action) in
                   enumerate(self.log) if isinstance(action, Finish))  # fmt: skip

    @invariant()
    def nothing_is_sent_outside_its_time(self) -> None:
        not_before_ms = self.command.intent.not_before_ns // MS
        assert all(not_before_ms <= at_ms < 2000 for at_ms, _ in self.actions(Send) + self.actions(Write))

    @invariant()
    def nothing_is_sent_without_approval(self) -> None:
        assert self.is_approved or self.actions(Send) + self.actions(Write) == []

    @invariant()
    def attempts_are_counted_and_bounded(self) -> None:
        written = [action.attempt for _, action in self.actions(Write)]
        assert written == sorted(set(written))
        assert len(written) <= self.policy.attempts

    @invariant()
    def an_open_command_always_knows_when_to_look_again(self) -> None:
        wake_ns = self.command.wake_ns
        assert (wake_ns is not None and wake_ns > self.now_ms * MS) if self.command.is_open else wake_ns is None

    @invariant()
    def the_last_timer_is_the_one_that_counts(self) -> None:
        timers = self.actions(WaitUntil)
        assert self.command.wake_ns in {None, timers[-1][1].at_ns if timers else None}

    @invariant()
    def nothing_stays_open_beyond_its_expiry(self) -> None:
        assert self.now_ms < 2000 or not self.command.is_open

    @invariant()
    def every_outcome_has_its_proof(self) -> None:
        finish, policy = self.command.finish, self.policy
        if finish is None:
            return
        reports = [event.value for event in self.heard if isinstance(event, Report) and event.value is not None]
        acks = {event.accepted for event in self.heard if isinstance(event, Ack)}
        match finish.outcome:
            case Outcome.REPORTED:
                assert finish.effective in reports
                assert finish.clamped is not agree(finish.effective, WANTED, policy.tolerance)
                assert policy.ends_by == "report"
            case Outcome.ACKED:
                assert (True in acks, policy.ends_by) == (True, "ack")
            case Outcome.UNKNOWN:
                assert self.actions(Write)
                assert not policy.is_idempotent or policy.ends_by == "none"
            case Outcome.EXHAUSTED:
                assert self.command.attempt == policy.attempts or self.command.barred
            case Outcome.EXPIRED:
                assert self.now_ms >= 2000
            case Outcome.BUDGET:
                assert not self.actions(Write) or not self.command.has_sent

    @invariant()
    def only_a_settled_report_is_effective(self) -> None:
        finish = self.command.finish
        assert finish is None or (finish.effective is not None) is (finish.outcome is Outcome.REPORTED)

    @invariant()
    def what_is_clamped_was_acknowledged(self) -> None:
        finish = self.command.finish
        assert finish is None or not finish.clamped or self.command.acked_ns is not None


TestAnyCommand = AnyCommand.TestCase


@given(data=st.data(), policy=policies(), gaps_ms=st.lists(st.integers(0, 700), min_size=1, max_size=8))
def test_looking_oftener_than_asked_changes_nothing(data: st.DataObject, policy: Policy, gaps_ms: list[int]) -> None:
    once, _ = begin(intent_of(), policy, 0)
    often = once
    now_ms = 0
    for gap_ms in gaps_ms:
        for _ in range(2):
            often, _ = step(often, policy, Due(), (now_ms + data.draw(st.integers(0, gap_ms))) * MS)
        now_ms += gap_ms
        event = data.draw(events(now_ms))
        if isinstance(event, Ack | Report):
            event = type(event)(event.accepted if isinstance(event, Ack) else event.value, now_ms * MS)
        once, _ = step(once, policy, event, now_ms * MS)
        often, _ = step(often, policy, event, now_ms * MS)

    assert often == once
