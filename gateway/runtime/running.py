"""Layer 6: one command under way: its machine, its device, who waits for its result, and what that caller is told."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from gateway.profile.setpoint import Attempt
from gateway.runtime.message import Message
from gateway.runtime.shadows import Twin
from gateway.shadow.command import Command
from gateway.shadow.intent import Policy


class Bar(NamedTuple):
    """Why nothing may be written now."""

    code: str
    message: str
    is_passing: bool = False  # the device has only to speak


class Running:
    """One command that has no result on the medium yet."""

    __slots__ = (
        "attempt",
        "begun_ns",
        "command",
        "done",
        "is_let_out",
        "is_noted",
        "name",
        "seq",
        "timer",
        "twin",
        "version",
    )

    def __init__(self, twin: Twin, name: str, command: Command, seq: int | None, version: int) -> None:
        self.twin = twin
        self.name = name  # of the setpoint
        self.command = command
        self.seq = seq  # of its intent
        self.version = version  # of the shadow that its desired value made
        self.attempt: Attempt | None = None  # the one that an ack may answer
        self.begun_ns = 0  # when its last attempt had the bus
        self.is_let_out = False
        self.is_noted = asyncio.Event()  # the ledger knows of every attempt so far
        self.is_noted.set()
        self.timer: asyncio.TimerHandle | None = None
        self.done: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

    @property
    def policy(self) -> Policy:
        """Return what the profile says of its setpoint."""
        return self.twin.policies[self.name]

    def answer(self, receipt: int | None = None, *, is_recorded: bool = False) -> dict[str, Any]:
        """Return what `set --json` tells of a command; its outcome is told when it is on the medium, not before."""
        command, twin = self.command, self.twin
        intent, finish = command.intent, command.finish if is_recorded else None
        reported = twin.shadow.of(self.name).reported
        return {
            "id": intent.id,
            "route": intent.route,
            "outcome": None if finish is None else str(finish.outcome),
            "reason": (finish.reason or None) if finish is not None else None,
            "desired": intent.value,
            "reported": finish.reported if finish is not None else (reported.value if reported is not None else None),
            "effective": finish.effective if finish is not None else None,
            "clamped": finish.clamped if finish is not None else False,
            "coherence": twin.coherence(self.name),
            "attempts": command.attempt,
            "receipt": receipt,
            "key": intent.key,
            "detail": (finish.detail or None) if finish is not None else None,
        }


def messages_of(running: Running) -> list[Message]:
    """Return the messages that report or acknowledge a command's setpoint."""
    setpoint, messages = running.twin.setpoints[running.name], running.twin.device.messages
    names = {setpoint.acked_by, setpoint.reported_by[0] if setpoint.reported_by is not None else None}
    return [messages[name] for name in names if name is not None]


def stop_timer(running: Running) -> None:
    """Let time wake it no more."""
    if running.timer is not None:
        running.timer.cancel()
        running.timer = None
