"""Layer 2: grants: (principal, routes, verbs, expiry). What nobody granted is denied. Pure.

No principal is special: whoever is called root has what is granted to `user:root`. Verbs do not imply each other.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, Literal, get_args

import msgspec

from gateway.authority.moment import Moment
from gateway.authority.scope import Scope
from gateway.errors import UsageError

Verb = Literal["read", "write", "admin"]
VERBS: Final[tuple[Verb, ...]] = get_args(Verb)

_PRINCIPAL: Final = re.compile(r"(user|service):#?[A-Za-z0-9_][A-Za-z0-9_.@\\$-]{0,63}")
_INSTANT: Final = re.compile(  # `fromisoformat` alone takes any character between date and time
    r"[0-9]{4}-?[0-9]{2}-?[0-9]{2}"
    r"([T ][0-9]{2}(:?[0-9]{2}(:?[0-9]{2}([.,][0-9]{1,9})?)?)?(Z|[+-][0-9]{2}(:?[0-9]{2})?)?)?"
)
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """One principal's right."""

    name: str  # of its table in the site file
    principal: str
    scope: Scope
    verbs: frozenset[Verb]
    expires_ns: int | None = None  # wall time; None: never

    def has_expired(self, moment: Moment) -> bool:
        """Return whether it is over. Where the clock cannot be believed, what has certainly passed decides."""
        return self.expires_ns is not None and moment.passed_ns >= self.expires_ns

    def as_json(self) -> dict[str, Any]:
        """Return it as `grants --json` and the ledger say it."""
        return {
            "name": self.name,
            "principal": self.principal,
            "routes": self.scope.text,
            "verbs": [verb for verb in VERBS if verb in self.verbs],
            "expires": None if self.expires_ns is None else instant_text(self.expires_ns),
        }


class Grants:
    """All grants of a gateway; never changed, replaced as a whole."""

    def __init__(self, grants: Iterable[Grant] = ()) -> None:
        """Take them in the order of the site file."""
        self._all = tuple(grants)

    def __iter__(self) -> Iterator[Grant]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def judge(
        self, principal: str, target: Scope, verb: Verb, moment: Moment
    ) -> Literal["granted", "no_grant", "grant_expired"]:
        """Return whether the principal's grants, taken together, hold all of `target` for this verb."""
        named = [grant for grant in self._all if grant.principal == principal and verb in grant.verbs]
        if target.is_within(grant.scope for grant in named if not grant.has_expired(moment)):
            return "granted"
        return "grant_expired" if target.is_within(grant.scope for grant in named) else "no_grant"


def check_principal(text: str) -> str:
    """Return `text`: `user:NAME` or `service:NAME`; a user without a name is `user:#UID`. Raises: UsageError."""
    if not _PRINCIPAL.fullmatch(text):
        raise UsageError(f"{text[:80]!r} is no principal; write user:NAME or service:NAME, for example 'user:pi'")
    return text


def instant_ns(text: str) -> int:
    """Return nanoseconds since 1970 of an ISO 8601 date or time; UTC where it names no offset. Raises: UsageError."""
    try:
        instant = dt.datetime.fromisoformat(text) if _INSTANT.fullmatch(text) else None
    except ValueError:  # a thirteenth month
        instant = None
    if instant is None:
        raise UsageError(
            f"{text[:80]!r} is no ISO 8601 time; write for example '2027-01-31' or '2027-01-31T18:00:00+01:00'"
        )
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=dt.UTC)
    return (instant - _EPOCH) // dt.timedelta(microseconds=1) * 1000


def instant_text(wall_ns: int) -> str:
    """Return ISO 8601 in UTC, to the second."""
    return (_EPOCH + dt.timedelta(microseconds=wall_ns // 1000)).strftime("%Y-%m-%dT%H:%M:%SZ")
