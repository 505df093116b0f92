"""Layer 2: what may happen to a command, and what it asks of the runtime. Pure values; `command.step` relates them."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.shadow.intent import Outcome


class Finish(msgspec.Struct, frozen=True, kw_only=True):
    """Action: record the outcome. Given once; nothing may follow it."""

    outcome: Outcome | None  # None: not yet, as far as a caller who would not wait is told
    reason: str = ""  # a code; empty where the outcome says all
    detail: str = ""  # what the port or the device said, for people
    reported: Any = None  # what the device last told
    effective: Any = None  # what a settled report made of the desired value
    clamped: bool = False
    attempts: int = 0


class Send(msgspec.Struct, frozen=True):
    """Action: ask for the bus; say `Granted` when it is ours, or `WriteFailed`."""

    attempt: int


class Write(msgspec.Struct, frozen=True):
    """Action: write now, and say `Written` or `WriteFailed`. The only leave to let bytes out."""

    attempt: int


class WaitUntil(msgspec.Struct, frozen=True):
    """Action: say `Due` at this monotonic time; takes the place of the one before."""

    at_ns: int


Action = Send | Write | WaitUntil | Finish


class Due(msgspec.Struct, frozen=True):
    """Event: time passed."""


class Granted(msgspec.Struct, frozen=True):
    """Event: the bus is ours, and nothing is written yet."""

    attempt: int


class Written(msgspec.Struct, frozen=True):
    """Event: the driver has written."""

    attempt: int
    is_acknowledged: bool = False  # by the link's own answer (Modbus, GATT), which stands in for an ack in the profile


class WriteFailed(msgspec.Struct, frozen=True):
    """Event: the driver could not write."""

    attempt: int
    detail: str = ""
    may_have_sent: bool = True
    is_refused: bool = False  # the device itself said no (a Modbus exception, a GATT error)


class Ack(msgspec.Struct, frozen=True):
    """Event: the device answered an attempt of this command."""

    accepted: bool
    received_ns: int
    detail: str = ""


class Report(msgspec.Struct, frozen=True):
    """Event: the device told its value. Also to be given before anything was sent."""

    value: Any
    received_ns: int


class Superseded(msgspec.Struct, frozen=True):
    """Event: a newer command of the same setpoint was taken."""


class Approved(msgspec.Struct, frozen=True):
    """Event: the operator said yes."""


class Declined(msgspec.Struct, frozen=True):
    """Event: the operator said no; too late once something was sent."""


class Barred(msgspec.Struct, frozen=True):
    """Event: nothing more may be sent."""

    reason: str  # "interlock", "budget", "denied" ...
    detail: str = ""


class Postponed(msgspec.Struct, frozen=True):
    """Event: nothing can be sent before the device has spoken; it will be tried again."""

    reason: str
    detail: str = ""


class Gone(msgspec.Struct, frozen=True):
    """Event: there is no such setpoint any more: nobody can tell what becomes of it."""


class Reachable(msgspec.Struct, frozen=True):
    """Event: the device came or went; a command is held while it is away."""

    is_up: bool


Event = (
    Due | Granted | Written | WriteFailed | Ack | Report | Superseded | Approved | Declined | Barred | Postponed | Gone
    | Reachable
)  # fmt: skip
