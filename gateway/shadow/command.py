"""Layer 2: the life of one command, from its intent to its one outcome. Pure: `step` decides, the runtime acts.

An attempt takes two steps, because the bus may be busy: `Send` asks for the bus, `Granted` says that it is ours, and
only the `Write` that answers lets bytes out. The first grant is the baseline: what the device said before confirms
nothing. Times are monotonic; the intent holds spans, so that a wall clock that is set moves no deadline.

What ends a command with a report to come is a report at the desired value (after the ack, where the profile declares
one, or when the attempt's time is over), or a settled one elsewhere after an ack. What still tells the old value says
nothing yet; what keeps changing is not settled. A device that was away may have restarted: what it acknowledged and
told before is void, what it tells then is where it begins, and a report at the desired value counts when the attempt's
time is over. `restart` has what becomes of a command that a crash left open.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

import msgspec

from gateway.shadow.events import (
    Ack,
    Action,
    Approved,
    Barred,
    Declined,
    Event,
    Finish,
    Gone,
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
from gateway.shadow.intent import Intent, Outcome, Policy
from gateway.shadow.reconcile import agree, is_storable


class Phase(StrEnum):
    """Where a command stands."""

    APPROVAL = "approval"  # waits for an operator
    HELD = "held"  # waits for its time, or for the device
    SENDING = "sending"  # waits for the bus
    WRITING = "writing"  # bytes are going out
    WAITING = "waiting"  # written; waits for ack and report
    BACKING_OFF = "backing_off"  # the attempt's time is over; waits before the next one, or before giving up
    ENDED = "ended"


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """One intent under way."""

    intent: Intent
    phase: Phase
    expires_ns: int
    due_ns: int = 0  # HELD: not sent before; WAITING: when the attempt's time is over
    attempt: int = 0  # writes begun
    is_up: bool = True
    barred: str = ""  # why nothing more may be sent
    detail: str = ""  # what the port last said
    has_sent: bool = False  # bytes may have reached the device
    baseline_ns: int | None = None  # the first grant
    old: Any = None  # what the device told before
    acked_ns: int | None = None
    told: Any = None  # what it told last since the baseline
    told_ns: int = 0
    candidate: Any = None  # the last report after the ack that is neither old nor desired
    is_moving: bool = False  # the candidate took the place of another one
    is_doubted: bool = False  # it was away since the last grant: time must show whether it does what it was sent
    has_lost_ack: bool = False  # and it had acknowledged that
    finish: Finish | None = None

    @property
    def is_open(self) -> bool:
        """Return whether it has no outcome yet."""
        return self.finish is None

    @property
    def wake_ns(self) -> int | None:
        """Return when time alone changes something; None: it has ended."""
        if self.phase is Phase.ENDED:
            return None
        is_timed = self.phase in _TIMED or (self.phase is Phase.HELD and self.is_up)
        return min(self.due_ns, self.expires_ns) if is_timed else self.expires_ns

    @property
    def may_have_sent(self) -> bool:
        """Return whether bytes may have reached the device."""
        return self.has_sent or self.phase is Phase.WRITING

    @property
    def is_overdue(self) -> bool:
        """Return whether the last attempt's time is over."""
        return self.attempt > 0 and self.phase in _BETWEEN

    @property
    def has_told(self) -> bool:
        """Return whether the device spoke since the baseline and, where it acknowledged, since then."""
        return self.told is not None and (self.acked_ns is None or self.told_ns >= self.acked_ns)

    def result(self) -> dict[str, Any]:
        """Return the body of `command_result`; the outcome is None while it is open."""
        finish = self.finish or Finish(outcome=None, reported=self.last_told, attempts=self.attempt)
        told: dict[str, Any] = msgspec.to_builtins(finish) | {"reason": finish.reason or None}
        intent = self.intent
        return {"id": intent.id, "route": intent.route, "desired": intent.value, "key": intent.key} | told

    @property
    def last_told(self) -> Any:
        """Return what the device told last, before or after it was sent anything."""
        return self.old if self.told is None else self.told


_TIMED: Final = frozenset({Phase.WAITING, Phase.BACKING_OFF})
_BETWEEN: Final = frozenset({Phase.HELD, Phase.SENDING, Phase.BACKING_OFF})
_replace: Final = msgspec.structs.replace


def begin(
    intent: Intent, policy: Policy, now_ns: int, *, made_ns: int | None = None, old: Any = None, is_up: bool = True
) -> tuple[Command, tuple[Action, ...]]:
    """Return the command of an intent that is durable by now, and what to do first.

    `made_ns` is when it was made on the monotonic clock (`now_ns` if None), `old` what the device last told.
    """
    start_ns = now_ns if made_ns is None else made_ns
    command = Command(
        intent=intent,
        phase=Phase.APPROVAL if policy.needs_approval else Phase.HELD,
        due_ns=start_ns + intent.not_before_ns,
        expires_ns=start_ns + intent.expires_after_ns,
        is_up=is_up,
        old=old,
    )
    return resume(command, policy, now_ns)


def resume(command: Command, policy: Policy, now_ns: int) -> tuple[Command, tuple[Action, ...]]:
    """Return the first step of a command that nothing was asked of yet."""
    after = _elapsed(command, policy, now_ns)
    actions = _actions(command, after) if after.finish is None else (after.finish,)
    return after, (*actions, *_waiting(after))


def step(command: Command, policy: Policy, event: Event, now_ns: int) -> tuple[Command, tuple[Action, ...]]:
    """Return the command after `event` and what to do, in this order. An ended one changes and asks for nothing.

    What the device said counts at the time it was received, timers before it fall due first.
    """
    heard_ns = min(event.received_ns, now_ns) if isinstance(event, Ack | Report) else now_ns
    after = _elapsed(command, policy, heard_ns)
    if after.is_open:
        after = _elapsed(_after(after, policy, event, now_ns), policy, now_ns)
    actions = _actions(command, after)
    return after, actions if after.wake_ns == command.wake_ns else (*actions, *_waiting(after))


def _actions(before: Command, after: Command) -> tuple[Action, ...]:
    """Return what the change asks for: only what still holds when all time is accounted for."""
    if after.finish is not None:
        return (after.finish,) if before.finish is None else ()
    if (after.phase, after.attempt) == (before.phase, before.attempt):
        return ()
    if after.phase is Phase.SENDING:
        return (Send(after.attempt + 1),)
    return (Write(after.attempt),) if after.phase is Phase.WRITING else ()


def _waiting(command: Command) -> tuple[Action, ...]:
    wake_ns = command.wake_ns
    return () if wake_ns is None else (WaitUntil(wake_ns),)


def ended(
    command: Command, outcome: Outcome, reason: str = "", *, effective: Any = None, is_clamped: bool = False
) -> Command:
    """Return the command with its one outcome; `reason` is a code."""
    finish = Finish(
        outcome=outcome,
        reason=reason,
        detail=command.detail,
        reported=command.last_told,
        effective=effective,
        clamped=is_clamped,
        attempts=command.attempt,
    )
    return _replace(command, phase=Phase.ENDED, finish=finish)


# --- time


def _elapsed(command: Command, policy: Policy, now_ns: int) -> Command:
    """Return the command when everything that fell due up to `now_ns` has happened, each at its own time."""
    while (wake_ns := command.wake_ns) is not None and wake_ns <= now_ns:
        if command.expires_ns <= wake_ns:
            return _given_up(command, policy, Outcome.EXPIRED)
        command = _when_due(command, policy)
    return command


def _when_due(command: Command, policy: Policy) -> Command:
    if command.phase is Phase.HELD:
        return _replace(command, phase=Phase.SENDING)
    if command.phase is Phase.BACKING_OFF:
        if command.barred or command.attempt >= policy.attempts:
            return _given_up(command, policy, Outcome.EXHAUSTED)
        return _replace(command, phase=Phase.HELD)
    if _is_confirmed(command, policy):
        return _reported(command, is_clamped=False)
    if command.candidate is not None and not command.is_moving:
        return _reported(command, is_clamped=True)
    return _backing_off(command, policy, command.due_ns)


def _backing_off(command: Command, policy: Policy, from_ns: int) -> Command:
    wait_ns = 0 if command.barred else policy.backoff_ns(command.attempt)
    return _replace(command, phase=Phase.BACKING_OFF, due_ns=from_ns + wait_ns)


# --- events


def _after(command: Command, policy: Policy, event: Event, now_ns: int) -> Command:
    match event:
        case Report():
            return _on_report(command, policy, event)
        case Ack():
            return _on_ack(command, policy, event)
        case Granted() | Written() | WriteFailed():
            return _on_bus(command, policy, event, now_ns)
        case Superseded():
            return ended(command, Outcome.SUPERSEDED)
        case Gone():
            return ended(command, Outcome.UNKNOWN if command.may_have_sent else Outcome.REJECTED, "no_setpoint")
        case Approved() if command.phase is Phase.APPROVAL:
            return _replace(command, phase=Phase.HELD)
        case Declined() if not command.may_have_sent:
            return ended(command, Outcome.REJECTED, "operator")
        case Barred() | Postponed():
            return _on_barred(command, policy, event, now_ns)
        case Reachable(is_up):
            return _on_reachable(command, is_up=is_up)
    return command


def _on_report(command: Command, policy: Policy, report: Report) -> Command:
    value = report.value
    if not is_storable(value):
        return command
    if command.baseline_ns is None or report.received_ns < command.baseline_ns:
        return _replace(command, old=value)
    if report.received_ns < command.told_ns:
        return command
    old = value if command.is_doubted and command.told is None else command.old
    told = _replace(command, old=old, told=value, told_ns=report.received_ns)
    if policy.ends_by != "report":
        return told
    if _agree(policy, value, command.intent.value):
        return _settled(told, policy)
    if command.acked_ns is None or report.received_ns < command.acked_ns:
        return told
    if _agree(policy, value, command.old):
        return _replace(told, candidate=None, is_moving=command.candidate is not None)  # it may only pass by
    is_first, is_moving = command.candidate is None, command.is_moving
    if _agree(policy, value, command.candidate) or (is_first and command.is_overdue and not is_moving):
        return _reported(told, is_clamped=True)
    return _replace(told, candidate=value, is_moving=is_moving or not is_first)


def _on_ack(command: Command, policy: Policy, ack: Ack) -> Command:
    if command.baseline_ns is None or ack.received_ns < command.baseline_ns:
        return command
    if not ack.accepted:
        return ended(_replace(command, detail=ack.detail), Outcome.REJECTED, "device")
    if policy.ends_by == "ack":
        return ended(command, Outcome.ACKED)
    acked_ns = ack.received_ns if command.acked_ns is None else command.acked_ns
    return _settled(_replace(command, has_sent=True, acked_ns=acked_ns, is_doubted=False), policy)


def _on_bus(command: Command, policy: Policy, event: Granted | Written | WriteFailed, now_ns: int) -> Command:
    is_writing = command.phase is Phase.WRITING and event.attempt == command.attempt
    is_sending = command.phase is Phase.SENDING and event.attempt == command.attempt + 1
    if isinstance(event, Granted) and is_sending:
        baseline_ns = now_ns if command.baseline_ns is None else command.baseline_ns
        return _replace(
            command, phase=Phase.WRITING, attempt=event.attempt, baseline_ns=baseline_ns,
            is_doubted=False, has_lost_ack=False,
        )  # fmt: skip
    if isinstance(event, Written) and is_writing:
        return _on_written(command, policy, event, now_ns)
    if isinstance(event, WriteFailed) and (is_writing or is_sending):
        return _on_write_failed(command, policy, event, now_ns)
    return command  # news of an attempt that is over


def _on_written(command: Command, policy: Policy, written: Written, now_ns: int) -> Command:
    if policy.ends_by == "none":
        return ended(command, Outcome.UNKNOWN, "unconfirmable")
    acked_ns = command.acked_ns
    if acked_ns is None and written.is_acknowledged and not policy.has_ack:
        acked_ns = now_ns
    waiting = _replace(command, phase=Phase.WAITING, due_ns=now_ns + policy.timeout_ns, has_sent=True, detail="")
    return _settled(_replace(waiting, acked_ns=acked_ns), policy)


def _on_write_failed(command: Command, policy: Policy, failed: WriteFailed, now_ns: int) -> Command:
    has_sent = command.has_sent or (command.phase is Phase.WRITING and failed.may_have_sent)
    after = _replace(command, attempt=failed.attempt, detail=failed.detail, has_sent=has_sent)
    if failed.is_refused:
        return ended(after, Outcome.REJECTED, "device")
    if not has_sent:  # nothing went out: what the device said meanwhile answers nothing
        after = _replace(after, baseline_ns=None, old=command.last_told, told=None, told_ns=0)
    return _backing_off(after, policy, now_ns)


def _on_barred(command: Command, policy: Policy, event: Barred | Postponed, now_ns: int) -> Command:
    reason, detail = event.reason, event.detail
    if isinstance(event, Postponed):
        is_sending, due_ns = command.phase is Phase.SENDING, now_ns + policy.backoff_ns(1)
        return _replace(command, phase=Phase.HELD, due_ns=due_ns, detail=detail) if is_sending else command
    barred = _replace(command, barred=reason, detail=detail)
    if not command.may_have_sent:
        return ended(barred, Outcome.BUDGET if reason == "budget" else Outcome.REJECTED, reason)
    if command.phase in {Phase.HELD, Phase.SENDING}:
        return _given_up(barred, policy, Outcome.EXHAUSTED)
    return barred  # what was sent may still be confirmed


def _on_reachable(command: Command, *, is_up: bool) -> Command:
    if not is_up or command.is_up or command.baseline_ns is None:
        is_lost = command.phase is Phase.SENDING and not is_up
        return _replace(command, is_up=is_up, phase=Phase.HELD if is_lost else command.phase)
    return _replace(
        command, is_up=True, old=command.last_told, told=None, acked_ns=None, candidate=None, is_moving=False,
        is_doubted=True, has_lost_ack=command.has_lost_ack or command.acked_ns is not None,
    )  # fmt: skip


# --- ends


def _agree(policy: Policy, one: Any, other: Any) -> bool:
    return one is not None and other is not None and agree(one, other, policy.tolerance)


def _is_confirmed(command: Command, policy: Policy) -> bool:
    """Return whether bytes went out and the device tells the desired value since."""
    is_told = policy.ends_by == "report" and command.has_sent
    return is_told and _agree(policy, command.told, command.intent.value)


def _settled(command: Command, policy: Policy) -> Command:
    """Return the command ended, if it is confirmed and no ack is awaited any more."""
    awaits_ack = policy.has_ack and command.acked_ns is None and not command.is_overdue
    if awaits_ack or command.is_doubted or not _is_confirmed(command, policy):
        return command
    return _reported(command, is_clamped=False)


def _reported(command: Command, *, is_clamped: bool) -> Command:
    return ended(command, Outcome.REPORTED, effective=command.told, is_clamped=is_clamped)


def _given_up(command: Command, policy: Policy, outcome: Outcome) -> Command:
    """Return the command whose time or attempts are over: whether the device did it decides how that is called."""
    if _is_confirmed(command, policy):
        return _reported(command, is_clamped=False)
    is_refuted = command.acked_ns is not None and command.has_told
    if command.may_have_sent and not policy.is_idempotent and not is_refuted:
        outcome = Outcome.UNKNOWN
    return ended(command, outcome, _missing(command, policy))


def _missing(command: Command, policy: Policy) -> str:
    """Return the code of what was missing to a confirmation."""
    if command.barred:
        return command.barred
    if command.phase is Phase.APPROVAL:
        return "approval"
    if not command.is_up:
        return "unreachable"
    if not command.may_have_sent:
        return "write_failed" if command.attempt else "not_sent"
    if command.has_lost_ack and command.acked_ns is None:
        return "restarted"
    if policy.has_ack and command.acked_ns is None:
        return "no_ack"
    if not command.has_told:
        return "no_report"
    return "value_kept" if _agree(policy, command.told, command.old) else "value_differs"
