"""Layer 2: the one check of the dispatch: may this caller do that, here, now? Pure; nothing else decides it.

In order: a token, if there is one, must be good and cover what is asked; the principal's grants must cover it, unless a
local caller without a token reads; no wall may stand before it. A token takes the place of whoever carries it: what is
wrong with it is never mended by the carrier's own rights.
"""

from __future__ import annotations

from collections.abc import Collection
from shlex import quote
from typing import Any, Final, Literal

import msgspec

from gateway.authority.grants import Grants, Verb
from gateway.authority.moment import Moment
from gateway.authority.scope import EVERYWHERE, Scope
from gateway.authority.token import Claims, PublicKey, TokenCode, TokenFault, read_token
from gateway.authority.walls import PortsOf, Subject, Walls
from gateway.route import Route

Reason = (
    TokenCode
    | Literal[
        "granted", "local_read",  # allowed
        "no_principal", "no_grant", "grant_expired", "wall",
        "token_scope",  # good, and not for this
        "token_issues",  # a token asked for a token
        "exceeds_grants",  # a token was asked for that would allow more than its principal may
    ]
)  # fmt: skip
"""Why. Codes are for programs and never change their meaning."""

_ALLOWED: Final = frozenset({"granted", "local_read"})


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, as the edge found out: by peer credentials, by a token, or not at all."""

    principal: str | None  # None: the edge knows nobody
    token: str | None = None
    is_local: bool = False  # came by the socket of the data folder

    def __repr__(self) -> str:
        shown = None if self.token is None else "..."
        return f"Caller(principal={self.principal!r}, token={shown}, is_local={self.is_local})"


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """Yes or no, and why."""

    reason: Reason
    principal: str | None  # in whose name: a good token's, else the caller's
    verb: Verb
    target: str  # the route, or the pattern of what was asked about
    message: str  # for people; never holds the token
    token_id: str | None = None  # of a good token

    @property
    def allowed(self) -> bool:
        """Return whether it may be done."""
        return self.reason in _ALLOWED

    def denied_body(self, caller: Caller) -> dict[str, Any]:
        """Return the body of the `denied` record of a refusal. The token is not in it; a good one's id is."""
        return {
            "principal": self.principal,
            "carrier": caller.principal,  # who carried the token, where there was one
            "is_local": caller.is_local,
            "has_token": caller.token is not None,
            "token_id": self.token_id,
            "verb": self.verb,
            "target": self.target,
            "reason": self.reason,
        }


def _no_ports(_device: str) -> Collection[str]:
    return ()


class Authority(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that decisions rest on; replaced when a part of it changes."""

    grants: Grants
    walls: Walls = Walls()
    key: PublicKey | None = None  # None: no token was ever issued
    ports_of: PortsOf = _no_ports


def authorise(
    authority: Authority,
    caller: Caller,
    target: Route | Scope,
    verb: Verb,
    moment: Moment,
    *,
    heeds_walls: bool = True,
) -> Decision:
    """Return whether `caller` may use `verb` on all of `target`.

    A command is about its route, a device about `Scope.of_device`, the gateway about `EVERYWHERE`. Walls do not stand
    before walls, or one on everything could never be lifted: who changes one asks without heeding them.
    """
    scope = Scope.of_route(target) if isinstance(target, Route) else target
    shown = str(target) if isinstance(target, Route) else target.text
    principal, token_id = caller.principal, None

    def answer(reason: Reason, message: str) -> Decision:
        return Decision(
            reason=reason, principal=principal, verb=verb, target=shown, message=message, token_id=token_id
        )  # fmt: skip

    if caller.token is not None:
        read = read_token(caller.token, authority.key, moment)
        if isinstance(read, TokenFault):
            return answer(read.code, read.message)
        principal, token_id = read.principal, read.id
        if verb not in read.verbs or not scope.is_within([read.scope()]):
            said = f"{', '.join(read.verbs)} on {read.routes}"
            return answer("token_scope", f"the token is for {said}, and not for {verb} on {shown}")
    if principal is None:
        return answer("no_principal", f"nobody may {verb} {shown} without a token; `tidegate token issue` makes one")
    is_free = verb == "read" and caller.is_local and caller.token is None
    found = "local_read" if is_free else authority.grants.judge(principal, scope, verb, moment)
    if found not in _ALLOWED:
        return answer(found, _ungranted(found, principal, verb, shown))
    wall = authority.walls.stopping(scope, verb, authority.ports_of) if heeds_walls else None
    if wall is not None:
        lift = f"`tidegate wall {quote(wall.subject)} {verb} on` lifts it"
        return answer("wall", f"{wall.by} raised a wall: no {verb} on {wall.subject}; {lift}")
    return answer(found, "")


def authorise_wall(authority: Authority, caller: Caller, subject: Subject, moment: Moment) -> Decision:
    """Return whether `caller` may raise or lift a wall there."""
    return authorise(authority, caller, subject.target, "admin", moment, heeds_walls=False)


def authorise_issue(authority: Authority, caller: Caller, claims: Claims, moment: Moment) -> Decision:
    """Return whether `caller` may have a token that says `claims`.

    It takes `admin` on the token's routes, and the token's principal must have every right that is in it. A token
    issues none, or its holder could outlive it.
    """
    scope = claims.scope()
    decision = authorise(authority, caller, scope, "admin", moment)
    if not decision.allowed:
        return decision
    if caller.token is not None:
        message = "a token issues no tokens; ask without --token and TIDEGATE_TOKEN, as a user with an admin grant"
        return msgspec.structs.replace(decision, reason="token_issues", message=message)
    for verb in claims.verbs:
        found = authority.grants.judge(claims.principal, scope, verb, moment)
        if found != "granted":
            message = (
                f"a token never exceeds its principal's grants: {_ungranted(found, claims.principal, verb, scope.text)}"
            )
            return msgspec.structs.replace(decision, reason="exceeds_grants", message=message)
    return decision


def _ungranted(found: str, principal: str, verb: Verb, shown: str) -> str:
    if found == "grant_expired":
        return f"{principal}'s grant to {verb} {shown} has expired; give a later `expires` in the site file"
    where = "the whole gateway (**)" if shown == EVERYWHERE.text else shown
    return f"no grant lets {principal} {verb} {where}; add a [grant.NAME] to the site file and reload"
