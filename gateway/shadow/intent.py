"""Layer 2: what somebody asked for, what the profile says of how to do it, and how it may end. Pure values."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final, Literal

import msgspec

EXPIRY_NS: Final = 2_000_000_000  # of a command, unless its caller says otherwise
APPROVAL_EXPIRY_NS: Final = 600_000_000_000  # of one that waits for an operator

Confirm = Literal["report", "ack", "none", "operator"]


class Outcome(StrEnum):
    """How a command ends."""

    REPORTED = "reported"
    ACKED = "acked"
    EXPIRED = "expired"
    EXHAUSTED = "exhausted"
    REJECTED = "rejected"
    SUPERSEDED = "superseded"
    UNKNOWN = "unknown"
    BUDGET = "budget"


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """What a profile says of one setpoint's commands (PROFILES 6)."""

    confirm: Confirm | None = None  # None: by report, else by ack
    has_report: bool = False
    has_ack: bool = False
    tolerance: float = 0.0
    timeout_ns: int = 1_000_000_000  # of one attempt
    attempts: int = 1
    backoff_first_ns: int = 100_000_000
    backoff_most_ns: int = 5_000_000_000
    is_idempotent: bool = False

    @property
    def ends_by(self) -> Literal["report", "ack", "none"]:
        """Return what confirms a command."""
        if self.confirm is not None and self.confirm != "operator":
            return self.confirm
        return "report" if self.has_report else "ack" if self.has_ack else "none"

    @property
    def needs_approval(self) -> bool:
        """Return whether an operator must approve before anything is sent."""
        return self.confirm == "operator"

    @property
    def expiry_ns(self) -> int:
        """Return after what span a command expires whose caller says nothing."""
        return APPROVAL_EXPIRY_NS if self.needs_approval else EXPIRY_NS

    def backoff_ns(self, attempt: int) -> int:
        """Return the wait behind attempt `attempt`, from 1: it doubles up to its most."""
        return min(self.backoff_first_ns << min(attempt - 1, 40), self.backoff_most_ns)


class Intent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What somebody asked for: the body of `command_intent`, all that is needed to take it up again."""

    id: str
    route: str  # of the setpoint, `...@desired`
    value: Any
    principal: str
    made_wall_ns: int  # since 1970
    clock: str = ""  # where that time was from ("none", "rtc", "ntp"); "": nobody wrote it down
    made_ns: int = 0  # monotonic, of this start of the machine:
    machine: str = ""  # its boot id; "": nobody wrote it down
    expires_after_ns: int
    not_before_ns: int = 0  # counted from when it was made
    key: str | None = None  # idempotency key, within the principal
    digest: str | None = None  # of the body that came with the key

    def age_ns(self, now_ns: int, wall_ns: int, *, machine: str, clock: str) -> int | None:
        """Return how old it is at `now_ns` (monotonic) and `wall_ns`; None: nothing tells.

        While the machine has not started anew its monotonic clock does. Else the wall clock does, where it was as good
        then as it is now (`clock`, not "none"), and shows no time before the intent: a board without a battery starts
        with any time, and what it made before the network told the right one is not as old as it looks.
        """
        if self.machine and self.machine == machine and now_ns >= self.made_ns:
            return now_ns - self.made_ns
        age_ns = wall_ns - self.made_wall_ns
        return age_ns if clock != "none" and self.clock in {"", clock} and age_ns >= 0 else None
