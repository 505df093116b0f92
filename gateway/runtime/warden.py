"""Layer 6: who may: asks the one decision of `gateway.authority`, and puts refusals, walls and tokens on record."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Collection
from typing import Any, Final, Literal

import msgspec

from gateway.authority.decision import Authority, Caller, Decision, authorise, authorise_issue, authorise_wall
from gateway.authority.grants import Grants, Verb
from gateway.authority.moment import ClockQuality, Moment
from gateway.authority.refusals import GATHER_NS, Refusals
from gateway.authority.scope import EVERYWHERE, Scope
from gateway.authority.token import SigningKey, TokenFault, claims_of, read_token
from gateway.authority.walls import Wall, Walls
from gateway.clock import Clock
from gateway.errors import DeniedError, LedgerError, UsageError
from gateway.route import Route
from gateway.runtime.durable import Durable

_NS: Final = 1_000_000_000


class Warden:
    """One per gateway."""

    def __init__(
        self,
        clock: Clock,
        durable: Durable,
        *,
        grants: Grants,
        devices: Callable[[], Collection[str]],
        ports_of: Callable[[str], set[str]],
        quality: Callable[[], ClockQuality],
        signing_key: Callable[[], SigningKey],
        boot: str,
    ) -> None:
        """Take the names of devices and of a device's port, and how far the wall clock is believed.

        `signing_key`: the data folder's, made when it is first needed; `boot`: of the machine, not of this process.
        """
        self.authority = Authority(grants=grants, ports_of=ports_of)
        self._clock = clock
        self._durable = durable
        self._devices = devices
        self._quality = quality
        self._signing_key = signing_key
        self._boot = boot
        self._refusals = Refusals()
        self._passed_ns = 0  # the newest wall time of a clock that the network had set

    def restore(self, walls: Walls) -> None:
        """Take the walls of an earlier run."""
        self.authority = msgspec.structs.replace(self.authority, walls=walls)

    def grant(self, grants: Grants) -> None:
        """Let these grants count, and no others."""
        self.authority = msgspec.structs.replace(self.authority, grants=grants)

    def has_passed(self, wall_ns: int) -> None:
        """Take a wall time that has certainly passed: what expired by then has expired, whatever the clock says now."""
        self._passed_ns = max(self._passed_ns, wall_ns)

    def wall_before(self, route: Route) -> Wall | None:
        """Return the wall that stops writing there, None where the way is free."""
        return self.authority.walls.stopping(Scope.of_route(route), "write", self.authority.ports_of)

    def believe(self, key: SigningKey | None) -> None:
        """Believe tokens of this key, and no others."""
        self.authority = msgspec.structs.replace(self.authority, key=None if key is None else key.public)

    async def wall(self, caller: Caller, subject: str, verb: Verb, state: Literal["off", "on"]) -> dict[str, Any]:
        """Shut a verb off, or let it on again. Raises: DeniedError, UsageError, LedgerError."""
        walls = self.authority.walls
        ports = {name for device in self._devices() for name in self.authority.ports_of(device)}
        try:
            what = walls.subject_of(subject, self._devices(), ports)
        except UsageError:
            _principal(await self._record(caller, self._past_walls(caller, "admin")))  # who may not, learns of no name
            raise
        by = _principal(await self._record(caller, authorise_wall(self.authority, caller, what, self.moment())))
        if state == "off":
            wall = Wall(subject=what.text, kind=what.kind, verb=verb, by=by, since_ns=self._clock.wall_ns())
            changed = walls.raised(wall)
        else:
            changed = walls.lifted(what.text, verb)
        self.authority = msgspec.structs.replace(self.authority, walls=changed)  # at once; the record follows
        await self._durable.append([("wall", None, changed.record(what.text, verb, state, by), "command", None)])
        return {"walls": [msgspec.to_builtins(wall) for wall in changed]}

    async def standing(self, caller: Caller) -> dict[str, Any]:
        """Return the walls that stand, also to who is behind one. Raises: DeniedError."""
        _principal(await self._record(caller, self._past_walls(caller, "read")))
        return {"walls": [msgspec.to_builtins(wall) for wall in self.authority.walls]}

    async def issue(
        self, caller: Caller, principal: str, routes: str, verbs: tuple[Verb, ...], lifetime_ns: int
    ) -> str:
        """Return a token. Raises: DeniedError, UsageError, LedgerError; it is on record before anybody has it."""
        key = self._signing_key()
        self.authority = msgspec.structs.replace(self.authority, key=key.public)
        claims = claims_of(
            token_id=secrets.token_hex(8), principal=principal, routes=routes, verbs=verbs, lifetime_ns=lifetime_ns,
            moment=self.moment(), key=key.public,
        )  # fmt: skip
        decision = authorise_issue(self.authority, caller, claims, self.moment())
        by = _principal(await self._record(caller, decision))
        body = {"token_id": claims.id, "principal": principal, "routes": routes, "verbs": verbs, "by": by}
        await self._durable.append([("grant", None, body, "audit", None)])
        return key.sign(claims)

    async def principal_of(self, caller: Caller) -> str | None:
        """Return in whose name a caller speaks. Raises: DeniedError for a token that counts for nothing."""
        if caller.token is None:
            return caller.principal
        read = read_token(caller.token, self.authority.key, self.moment())
        if isinstance(read, TokenFault):
            _principal(await self._record(caller, Decision(
                reason=read.code, principal=caller.principal, verb="read", target=EVERYWHERE.text, message=read.message
            )))  # fmt: skip
            raise DeniedError(read.message)
        return read.principal

    @property
    def clock_quality(self) -> ClockQuality:
        """Return where the wall clock has its time from."""
        return self._quality()

    def moment(self) -> Moment:
        """Return now, as authority judges it."""
        wall_ns, quality = self._clock.wall_ns(), self._quality()
        if quality == "ntp":
            self.has_passed(wall_ns)
        return Moment(
            wall_ns=wall_ns, monotonic_ns=self._clock.monotonic_ns(), boot_id=self._boot, quality=quality,
            floor_ns=self._passed_ns,
        )  # fmt: skip

    async def authorise(self, caller: Caller, target: Route | Scope, verb: Verb) -> Decision:
        """Return the decision; a refusal is on record."""
        decision = authorise(self.authority, caller, target, verb, self.moment())
        await self._record(caller, decision, str(target) if isinstance(target, Route) else None)
        return decision

    async def demand(self, caller: Caller, target: Route | Scope, verb: Verb) -> str:
        """Return in whose name a caller may use a verb there. Raises: DeniedError."""
        return _principal(await self.authorise(caller, target, verb))

    async def _record(self, caller: Caller, decision: Decision, route: str | None = None) -> Decision:
        """Return a decision whose refusal, if it is one, is on record, as far as there is a ledger that takes it."""
        if decision.allowed:
            return decision
        was_due_ns = self._refusals.due_ns
        told = self._refusals.take(route, decision.denied_body(caller), self._clock.monotonic_ns())
        if told is not None:
            with contextlib.suppress(LedgerError):
                await self._durable.append([("denied", told.route, told.body, "audit", None)])
        elif was_due_ns is None:
            asyncio.get_running_loop().call_later(GATHER_NS / _NS, self.tell_refusals)
        return decision

    def tell_refusals(self) -> None:
        """Put on record what was gathered of a flood of refusals, without waiting."""
        for each in self._refusals.tell():
            self._durable.put("denied", each.route, each.body, "audit")

    def _past_walls(self, caller: Caller, verb: Verb) -> Decision:
        """Return whether a caller may use a verb on everything, but for the walls that stand there."""
        return authorise(self.authority, caller, EVERYWHERE, verb, self.moment(), heeds_walls=False)


def _principal(decision: Decision) -> str:
    """Return in whose name something is allowed. Raises: DeniedError where it is not."""
    if not decision.allowed:
        raise DeniedError(decision.message)
    return decision.principal or ""
