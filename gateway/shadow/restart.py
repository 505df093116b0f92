"""Layer 2: what becomes of a command that was open when the gateway stopped, by crash or on purpose. Pure.

Only the intent is durable before bytes go out: that no sending was recorded does not mean that nothing was sent. So
what is not idempotent is never sent again; what is, goes on while its time is not over.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.shadow.command import Command, Phase, ended, resume
from gateway.shadow.events import Action
from gateway.shadow.intent import Intent, Outcome, Policy


def restarted(
    intent: Intent,
    policy: Policy,
    now_ns: int,
    age_ns: int | None,
    *,
    attempts: int = 0,
    is_approved: bool = False,
    old: Any = None,
    is_up: bool = False,
) -> tuple[Command, tuple[Action, ...]]:
    """Return the command of an intent without outcome, and what to do.

    `age_ns` is how old the intent is (`Intent.age_ns`); where nothing tells, its time is over. `attempts` is how many
    sendings the ledger knows, `is_approved` whether it holds an operator's yes, `old` what the device last told. What
    was told before the restart confirms nothing.
    """
    awaits_approval = policy.needs_approval and not is_approved
    is_early = age_ns is not None and age_ns < intent.not_before_ns
    may_have_sent = attempts > 0 or not (awaits_approval or is_early)
    made_ns = now_ns - (age_ns or 0)
    command = Command(
        intent=intent,
        phase=Phase.APPROVAL if awaits_approval else Phase.HELD,
        due_ns=made_ns + intent.not_before_ns,
        expires_ns=made_ns + intent.expires_after_ns,
        is_up=is_up,
        attempt=attempts,
        has_sent=may_have_sent,
        baseline_ns=now_ns if attempts else None,
        old=old,
    )
    if may_have_sent and not policy.is_idempotent:
        command = ended(command, Outcome.UNKNOWN, "restarted")
    elif age_ns is None or age_ns >= intent.expires_after_ns:
        command = ended(command, Outcome.EXPIRED, "restarted")
    elif attempts >= policy.attempts:
        due_ns = now_ns + policy.backoff_ns(attempts)
        command = msgspec.structs.replace(command, phase=Phase.BACKING_OFF, due_ns=due_ns)
    return resume(command, policy, now_ns)
