"""Layer 9: what became of one `set`: its JSON, its words, its exit code."""

from __future__ import annotations

from typing import Any, Final

import click
import msgspec

from gateway.cli import EXIT_NO, EXIT_USAGE
from gateway.cli.talk import Conversation, Objection
from gateway.errors import GatewayUnreachableError
from gateway.plain import printable, value_text

CONFIRMED: Final = frozenset({"reported", "acked"})
_REASONS: Final = {"DeniedError": "denied", "RouteError": "unknown_route", "request": "malformed", "busy": "busy"}
_WORDS: Final = {
    "reported": "the device reports {reported}",
    "acked": "the device acknowledged {desired}",
    "expired": "{desired} was not confirmed before the command expired",
    "exhausted": "{desired} was not confirmed after the last attempt",
    "rejected": "{desired} was not accepted",
    "superseded": "a newer value took the place of {desired}",
    "unknown": "{desired} was sent and nothing confirmed it; it may have happened or not",
    "budget": "{desired} is beyond the budget of the setpoint",
}


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """On what terms a value is to be set."""

    wait_s: float
    expires_s: float | None = None
    key: str | None = None


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one value; keys in this order."""

    id: str | None = None  # None: it was refused before it became a command
    route: str | None = None
    outcome: str | None = None  # None with an id: there is none yet
    reason: str | None = None  # a code
    desired: Any = None
    reported: Any = None
    effective: Any = None
    clamped: bool = False
    coherence: str | None = None
    attempts: int = 0
    receipt: int | None = None  # the result's sequence in the ledger
    key: str | None = None
    detail: str | None = None  # for people; no part of the JSON

    @property
    def exit_code(self) -> int:
        """Return 0 for what the device confirmed, 2 for what was refused, else 1."""
        if self.outcome is None and self.id is None:
            return EXIT_USAGE
        return 0 if self.outcome in CONFIRMED else EXIT_NO

    def as_json(self) -> dict[str, Any]:
        """Return the object of `set --json`."""
        told: dict[str, Any] = msgspec.to_builtins(self)
        del told["detail"]
        return told

    def as_text(self) -> str:
        """Return one line for people."""
        route = printable(self.route or "")
        if self.outcome is None and self.id is None:
            return f"{route}: refused ({self._why()})"
        if self.outcome is None:
            return f"{route}: no outcome yet{self._note()}; `tidegate commands` tells how {self.id} ends"
        return f"{self.outcome}: {route}: {self._fate()}{self._note()} ({self._facts()})"

    def _fate(self) -> str:
        if self.clamped:
            return f"the device reports {value_text(self.reported)}, its limit: {value_text(self.desired)} was asked"
        words = _WORDS.get(self.outcome or "", "{desired} was asked")
        fate = words.format(desired=value_text(self.desired), reported=value_text(self.reported))
        if self.outcome in CONFIRMED or self.reported is None:
            return fate
        return f"{fate}; the device last reported {value_text(self.reported)}"

    def _why(self) -> str:
        why = ": ".join(part for part in (self.reason, self.detail) if part)
        return printable(why) or "no reason given"

    def _note(self) -> str:
        return f"; {self._why()}" if self.reason or self.detail else ""

    def _facts(self) -> str:
        sent = "nothing was sent" if not self.attempts else f"{self.attempts} attempt{'s' * (self.attempts != 1)}"
        record = "" if self.receipt is None else f", ledger record {self.receipt}"
        return f"{sent}, command {self.id}{record}"


def put(gateway: Conversation, route: str, value: Any, terms: Terms) -> Result:
    """Set one value and return what became of it; a refusal is a result. Raises: GatewayUnreachableError."""
    try:
        told = gateway.exchange("set", Result, terms.wait_s, route=route, value=value, **msgspec.to_builtins(terms))
    except GatewayUnreachableError as error:
        raise GatewayUnreachableError(
            f"{error}; whether {route} was set nobody has told: see `tidegate commands` once it runs again"
        ) from error
    except KeyboardInterrupt:
        click.echo(f"interrupted; {route} may still be set: see `tidegate commands`", err=True)
        raise
    if isinstance(told, Objection):
        return refused(route, value, terms.key, _REASONS.get(told.type, "refused"), told.message)
    return told


def refused(route: str | None, value: Any, key: str | None, reason: str, detail: str) -> Result:
    """Return what never became a command."""
    return Result(route=route, desired=value, key=key, reason=reason, detail=detail)
