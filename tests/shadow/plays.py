"""How tests speak of commands: milliseconds, a script of events, and what the machine asked for."""

from __future__ import annotations

from typing import Any

from gateway.shadow.command import Command, begin, step
from gateway.shadow.events import (
    Ack,
    Action,
    Due,
    Event,
    Finish,
    Granted,
    Report,
    WaitUntil,
    Write,
    Written,
)
from gateway.shadow.intent import Intent, Policy

MS = 1_000_000
WALL_NS = 1_767_225_600_000 * MS
MOTOR = Policy(
    has_report=True, has_ack=True, tolerance=10, timeout_ns=400 * MS, attempts=3, backoff_most_ns=1000 * MS,
    is_idempotent=True,
)  # fmt: skip
ONE_SHOT = Policy(has_report=True, has_ack=True, tolerance=10)
NO_ACK = Policy(has_report=True, tolerance=10, timeout_ns=400 * MS, attempts=3, is_idempotent=True)
OLD = 1000
WANTED = 3000


def intent_of(value: Any = WANTED, *, expires_ms: int = 2000, not_before_ms: int = 0) -> Intent:
    return Intent(
        id="c1",
        route="pump/motor/speed@desired",
        value=value,
        principal="user:pi",
        made_wall_ns=WALL_NS,
        expires_after_ns=expires_ms * MS,
        not_before_ns=not_before_ms * MS,
    )


class Play:
    """One command on a stage: time in milliseconds since it was made."""

    def __init__(self, policy: Policy, *, old: Any = OLD, is_up: bool = True, **intent: Any) -> None:
        self.policy = policy
        self.now_ms = 0
        self.command: Command
        self.command, actions = begin(intent_of(**intent), policy, 0, old=old, is_up=is_up)
        self.log: list[Action] = list(actions)

    def at(self, now_ms: int, event: Event | None = None) -> list[Action]:
        """Let an event happen; return what it asks for, timers left out."""
        self.now_ms = now_ms
        self.command, actions = step(self.command, self.policy, event or Due(), now_ms * MS)
        self.log += actions
        return [action for action in actions if not isinstance(action, WaitUntil)]

    def send(self, now_ms: int, attempt: int = 1) -> list[Action]:
        """Let one attempt be granted and written, in no time."""
        return [*self.at(now_ms, Granted(attempt)), *self.at(now_ms, Written(attempt))]

    def report(self, now_ms: int, value: Any, *, received_ms: int | None = None) -> list[Action]:
        return self.at(now_ms, Report(value, (now_ms if received_ms is None else received_ms) * MS))

    def ack(self, now_ms: int, *, accepted: bool = True, received_ms: int | None = None) -> list[Action]:
        return self.at(now_ms, Ack(accepted, (now_ms if received_ms is None else received_ms) * MS))

    @property
    def finish(self) -> Finish | None:
        return self.command.finish

    @property
    def end(self) -> tuple[str, str] | None:
        """Return outcome and reason; None: open."""
        return (str(self.finish.outcome), self.finish.reason) if self.finish else None

    @property
    def sent(self) -> list[int]:
        """Return the attempts that were allowed to write."""
        return [action.attempt for action in self.log if isinstance(action, Write)]


def sent(policy: Policy, **options: Any) -> Play:
    """Return a command whose first attempt was written at 10 ms."""
    play = Play(policy, **options)
    play.send(10)
    return play


def acked(policy: Policy, **options: Any) -> Play:
    """Return a command that was written at 10 ms and acknowledged at 20 ms."""
    play = sent(policy, **options)
    play.ack(20)
    return play
