"""Layer 6: the one door for everybody who wants something done, in the order of DESIGN 7.

Authorise, validate, deduplicate, guard, record the intent with its desired value, and hand over to the commander. What
is refused before it became a command has no id. Every caller, whichever way it came, gets the same answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Literal

import msgspec

from gateway.authority.decision import Caller
from gateway.authority.scope import EVERYWHERE
from gateway.clock import Clock
from gateway.errors import LedgerError, RouteError, UsageError
from gateway.profile.setpoint_value import Refusal
from gateway.route import Route, Variant, parse_route
from gateway.runtime.commander import Commander
from gateway.runtime.durable import Durable
from gateway.runtime.outlet import WayOut
from gateway.runtime.running import Bar, Running
from gateway.runtime.shadows import Twin, fact_body
from gateway.runtime.standing import GATEWAY, RESTORE, Standing
from gateway.runtime.telling import no_command
from gateway.runtime.warden import Warden
from gateway.shadow.document import Fact
from gateway.shadow.events import Approved, Declined
from gateway.shadow.intent import Intent, Outcome, Policy
from gateway.shadow.keys import Keys, Remembered, digest_of
from gateway.taint import TRUST_UNCONFIRMED, names_of

MAX_EXPIRY_S: Final = 7 * 86_400.0
_NS: Final = 1_000_000_000

log = logging.getLogger(__name__)


class _NoCommandError(Exception):
    """What was asked for was refused before it became a command."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Dispatch:
    """One per gateway."""

    def __init__(
        self, clock: Clock, durable: Durable, warden: Warden, *, way_out: Callable[[str], WayOut | None]
    ) -> None:
        """Take who says who may, and how a device's wire is found while it is open."""
        self.twins: dict[str, Twin] = {}
        self.keys = Keys()
        self.warden = warden
        self.commander = Commander(
            clock, durable, way_out=way_out, bars=self._bars, on_ended=self._ended,
            on_moved=lambda twin: self.standing.moved(twin),  # noqa: PLW0108 - made below, it needs the commander
            on_written=lambda running, held_ns: self.standing.of(running.twin, running.name).written(held_ns),
        )  # fmt: skip
        self.standing = Standing(
            clock, setter=self._set_by_itself, spawn=self.commander.spawn, way_out=way_out, is_walled=self._is_walled,
            is_trying=self.commander.is_trying,
        )  # fmt: skip
        self.routes: dict[str, tuple[Twin, str]] = {}  # setpoints by the route of their desired value
        self._clock = clock
        self._durable = durable
        self.is_known = asyncio.Event()  # what the ledger knew is back, or there is none
        self._beginning: dict[str, asyncio.Event] = {}  # commands whose intent is on its way to the medium, by id

    def attach(self, twin: Twin) -> None:
        """Take a device's setpoints. One that takes the place of another goes on with what that one knew and began."""
        before = self.twins.get(twin.device.name)
        if before is not None:
            twin.inherit(before)
            self._drop_routes(before)
            self.standing.move(before, twin)
        self.twins[twin.device.name] = twin
        self.routes |= {twin.route(name): (twin, name) for name in twin.setpoints}
        self.commander.attach(twin)
        twin.on_settled = partial(self._settled, twin)
        if before is not None:
            self.commander.move(before, twin)

    def detach(self, device: str) -> None:
        """Forget a device that is gone; what was under way there ends."""
        twin = self.twins.pop(device, None)
        if twin is not None:
            self._drop_routes(twin)
            self.standing.forget(device)
            self.commander.move(twin, None)

    def _drop_routes(self, twin: Twin) -> None:
        self.routes = {route: each for route, each in self.routes.items() if each[0] is not twin}

    # ---- set

    async def set(
        self,
        caller: Caller,
        text: str,
        value: Any,
        *,
        expires_s: float | None = None,
        not_before_s: float = 0.0,
        key: str | None = None,
        wait_s: float = 3.0,
        version: int | None = None,
    ) -> dict[str, Any]:
        """Return the object of `set --json`: of the command, or why it did not become one.

        `expires_s` and `not_before_s` count from when it is asked for: it is sent between them or not at all.
        `version`: of the device's shadow; where that has changed since, nothing is set.
        """
        shown = text
        asked_s = asyncio.get_running_loop().time()
        try:
            route = _setpoint_route(text)
            shown = str(route)
            await self._until_known(wait_s)
            twin, name, principal = await self._allowed(caller, route)
            checked = _good(twin.setpoints.check(name, value))
            expiry_ns = _expiry_ns(expires_s, twin.policies[name])
            not_before_ns = _not_before_ns(not_before_s, expiry_ns)
            digest = None if key is None else digest_of({"route": shown, "value": _as_written(checked)})
            known = None if key is None or digest is None else await self._known(principal, key, digest)
            if known is not None:
                return await self._again(known, shown, checked, key, wait_s)
            intent = Intent(
                id=secrets.token_hex(8), route=shown, value=_good(twin.setpoints.admit(name, checked, twin.latest)),
                principal=principal, **self._now(), expires_after_ns=expiry_ns, not_before_ns=not_before_ns, key=key,
                digest=digest,
            )  # fmt: skip
            running = await self._begin(_unchanged(twin, version), name, intent)
        except _NoCommandError as why:
            self._note_refusal(caller, shown, why.code)
            return no_command(shown, value, key, why.code, str(why))
        except RouteError as error:
            self._note_refusal(caller, None, "unknown_route")
            return no_command(shown, value, key, "unknown_route", str(error))
        except LedgerError as error:
            return no_command(shown, value, key, "not_durable", f"nothing was done: {error}")
        return await self._wait(running, wait_s - (asyncio.get_running_loop().time() - asked_s))

    def _note_refusal(self, caller: Caller, route: str | None, code: str) -> None:
        """Put on record, without waiting, what did not become a command; a flood of it makes room like telemetry."""
        if code != "denied":  # that has a record of its own
            body = {"what": "refused", "reason": code, "principal": caller.principal}
            self._durable.note("note", route, body)

    async def _until_known(self, wait_s: float) -> None:
        try:
            async with asyncio.timeout(wait_s):
                await self.is_known.wait()
        except TimeoutError:
            raise _NoCommandError("starting", "the gateway still reads its ledger; try again") from None

    async def _allowed(self, caller: Caller, route: Route) -> tuple[Twin, str, str]:
        """Return device, setpoint and in whose name. Raises: _NoCommandError."""
        decision = await self.warden.authorise(caller, route, "write")
        if not decision.allowed:
            raise _NoCommandError("denied", decision.message)
        found = self.routes.get(str(route))
        if found is None:
            raise _NoCommandError("unknown_route", self._unknown(route))
        return *found, decision.principal or ""

    async def _known(self, principal: str, key: str, digest: str) -> Remembered | None:
        """Return the command that a key stands for already. Raises: _NoCommandError where it is another one.

        One whose intent is on its way to the medium is waited for: nobody hears of what may not come there.
        """
        verdict, known = self.keys.look(principal, key, digest, self._clock.monotonic_ns())
        while known is not None and (begun := self._beginning.get(known.id)) is not None:
            await begun.wait()
            verdict, known = self.keys.look(principal, key, digest, self._clock.monotonic_ns())
        if verdict == "reused":
            raise _NoCommandError("key_reused", f"key {key!r} stands for another command of {principal}")
        return known

    async def _begin(self, twin: Twin, name: str, intent: Intent, why: str = "") -> Running:
        """Make intent and desired value durable in one commit, then begin. Raises: LedgerError; then nothing began.

        `why`: of a value that the gateway sets by itself.
        """
        now_ns = self._clock.monotonic_ns()
        self.keys.opened(intent, now_ns)
        self._beginning[intent.id] = begun = asyncio.Event()
        twin.version += 1
        taints = TRUST_UNCONFIRMED if twin.policies[name].ends_by == "none" else 0
        fact = Fact(
            intent.value, twin.boot, 0, intent.made_wall_ns, mono_ns=now_ns, taints=taints, version=twin.version
        )  # its number in the ledger is not known yet, its version is
        body = msgspec.to_builtins(intent)
        try:
            numbers = await self._durable.append(
                [
                    ("command_intent", intent.route, body, "command", None),
                    ("desired", intent.route, fact_body(fact, intent.id), "command", None),
                ]
            )
        except LedgerError:
            self.keys.dropped(intent.id)
            raise
        finally:
            del self._beginning[intent.id]
            begun.set()
        twin, name = self.routes.get(intent.route, (twin, name))  # a reload may have put another one in its place
        known = twin.shadow.of(name)
        before = known.reported.value if known.wanted is None and known.reported is not None else known.wanted
        twin.shadow = twin.shadow.desire(name, msgspec.structs.replace(fact, seq=numbers[1] or 0))
        stand = self.standing.of(twin, name)
        if not why:
            stand.taken(intent.value, before)
        elif why == RESTORE:
            stand.restored(intent.value)
        return self.commander.start(twin, name, intent, numbers[0], fact.version, made_ns=now_ns)

    async def _set_by_itself(self, twin: Twin, name: str, value: Any, why: str) -> None:
        """Set a value in the gateway's own name, or withdraw what is desired (None)."""
        route = twin.route(name)
        try:
            if value is None:
                twin.version += 1
                fact = Fact(None, twin.boot, 0, self._clock.wall_ns(), self._clock.monotonic_ns(), version=twin.version)
                numbers = await self._durable.append([("desired", route, fact_body(fact, why), "command", None)])
                twin.shadow = twin.shadow.desire(name, msgspec.structs.replace(fact, seq=numbers[0] or 0))
                return
            intent = Intent(
                id=secrets.token_hex(8), route=route, value=value, principal=GATEWAY,
                **self._now(), expires_after_ns=twin.policies[name].expiry_ns,
            )  # fmt: skip
            await self._begin(twin, name, intent, why)
        except LedgerError as error:
            log.warning("%s was not set (%s): %s", route, why, error)

    def _now(self) -> dict[str, Any]:
        """Return when an intent is made, by every clock there is."""
        now = self.warden.moment()
        return {
            "made_wall_ns": now.wall_ns, "clock": now.quality, "made_ns": now.monotonic_ns, "machine": now.boot_id
        }  # fmt: skip

    async def _again(self, known: Remembered, route: str, value: Any, key: str | None, wait_s: float) -> dict[str, Any]:
        """Answer for a command that was asked for before: its recorded outcome, or that of the one under way."""
        running = self.commander.by_id.get(known.id)
        if running is not None:
            return await self._wait(running, wait_s)
        if (told := self.commander.ended.get(known.id)) is not None:
            return told
        if known.outcome is None:
            raise _NoCommandError("not_durable", "nothing was done: the ledger did not take it")
        told = no_command(route, value, key, "", "") | {"reason": None, "detail": None}
        return told | {"id": known.id, "outcome": str(known.outcome), "receipt": known.receipt}

    async def fate(self, command_id: str, wait_s: float) -> dict[str, Any] | None:
        """Return the object of `set --json` of a command that was begun; None where no such command is known any more.

        One that is open is waited for, at most so long.
        """
        running = self.commander.by_id.get(command_id)
        return self.commander.ended.get(command_id) if running is None else await self._wait(running, wait_s)

    async def _wait(self, running: Running, wait_s: float) -> dict[str, Any]:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, wait_s)):
                return await asyncio.shield(running.done)
        return running.answer()

    def _unknown(self, route: Route) -> str:
        from gateway.spelling import did_you_mean

        twin = self.twins.get(route.owner)
        if twin is None:
            return f"no device {route.owner!r} with setpoints{did_you_mean(route.owner, self.twins)}"
        mine = [text for text, each in self.routes.items() if each[0] is twin]
        return (
            f"{route.owner} has no setpoint {route}{did_you_mean(str(route), mine)}; it has {', '.join(mine) or 'none'}"
        )

    def _is_walled(self, twin: Twin, name: str) -> bool:
        return self.warden.wall_before(_setpoint_route(twin.route(name))) is not None

    def _bars(self, running: Running) -> Bar | None:
        """Return what forbids an attempt now, though it was allowed when it was asked for."""
        wall = self.warden.wall_before(_setpoint_route(running.command.intent.route))
        if wall is not None:
            return Bar("wall", f"{wall.by} raised a wall: no write on {wall.subject}")
        if spent := self.standing.of(running.twin, running.name).over_budget():
            return Bar("budget", spent)
        refusal = running.twin.setpoints[running.name].interlocked(running.twin.latest)
        return None if refusal is None else Bar(*refusal)

    def _settled(self, twin: Twin, name: str, fact: Fact) -> None:
        """Put on record what a report made of a desired value behind its command's end."""
        self._durable.put("effective", twin.route(name), fact_body(fact, ""), "state")

    def _ended(self, intent: Intent, outcome: Outcome, receipt: int | None) -> None:
        self.keys.ended(intent.id, outcome, receipt)
        if outcome is Outcome.REJECTED and (found := self.routes.get(intent.route)) is not None:
            self.standing.of(*found).pause()  # what a device refuses is not sent to it again and again

    async def outcome(self, command_id: str) -> dict[str, Any] | None:
        """Wait for the end of a command; return the object of `set --json`. None: nobody knows it any more."""
        running = self.commander.by_id.get(command_id)
        if running is not None:
            return await asyncio.shield(running.done)
        return self.commander.ended.get(command_id)

    # ---- what else is asked for

    async def decide(self, caller: Caller, command_id: str, verdict: Literal["approve", "reject"]) -> dict[str, Any]:
        """Let an operator's command go, or not. Raises: DeniedError, UsageError."""
        running = self.commander.by_id.get(command_id)
        if running is None:
            await self.warden.demand(caller, EVERYWHERE, "admin")  # who may not, learns of no id
            raise UsageError(f"no command {command_id!r} waits for anything; `tidegate commands` lists them")
        by = await self.warden.demand(caller, _setpoint_route(running.command.intent.route), "admin")
        if not running.policy.needs_approval:
            raise UsageError(f"command {command_id} needs no approval")
        intent = running.command.intent
        body = {"id": intent.id, "verdict": verdict, "by": by}
        await self._durable.append([("approval", intent.route, body, "command", running.seq)])
        self.commander.feed(running, Approved() if verdict == "approve" else Declined())
        if verdict == "reject":
            return await self._wait(running, 3.0)
        return running.answer()

    def part(self, route: Route) -> dict[str, Any] | None:
        """Return one part of a setpoint's shadow as `get --json` tells it; None where there is no such setpoint."""
        base = Route(route.owner, route.family, route.stream, Variant.DESIRED)
        found = self.routes.get(str(base))
        if found is None or route.variant not in {Variant.DESIRED, Variant.REPORTED, Variant.EFFECTIVE, Variant.ACK}:
            return None
        twin, name = found
        fact: Fact | None = getattr(twin.shadow.of(name), route.variant)
        told = {"route": str(route), "value": None, "units": twin.units(name), "age_s": None, "stale": True}
        if fact is None:
            return told | {"taints": [], "seq": None}
        now_ns = self._clock.monotonic_ns()
        age_s = (
            (now_ns - fact.mono_ns) / _NS if fact.boot == twin.boot else (self._clock.wall_ns() - fact.wall_ns) / _NS
        )
        is_stale = route.variant is Variant.REPORTED and twin.moment().is_stale(fact, twin.rules[name])
        return told | {
            "value": fact.value, "age_s": max(0.0, age_s), "stale": is_stale, "taints": names_of(fact.taints),
            "seq": fact.seq,
        }  # fmt: skip


def _setpoint_route(text: str) -> Route:
    """Return the route of a setpoint's desired value; it may be written without `@desired`. Raises: RouteError."""
    route, seq = parse_route(text)
    if seq is not None or route.variant not in {Variant.VALUE, Variant.DESIRED}:
        raise RouteError(f"{text!r} is no setpoint; write device/family/name, with or without @desired")
    return Route(route.owner, route.family, route.stream, Variant.DESIRED)


def _unchanged(twin: Twin, version: int | None) -> Twin:
    """Return a device whose shadow has that version still. Raises: _NoCommandError."""
    if version not in {None, twin.version}:
        raise _NoCommandError("version", f"the shadow has version {twin.version}, not {version} any more")
    return twin


def _good(found: Any) -> Any:
    """Return a value that was checked. Raises: _NoCommandError with why it cannot be set."""
    if isinstance(found, Refusal):
        raise _NoCommandError(found.code, found.message)
    return found


def _as_written(value: Any) -> Any:
    """Return a value so that 20 and 20.0 are the same."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 53 else value


def _expiry_ns(expires_s: float | None, policy: Policy) -> int:
    if expires_s is None:
        return policy.expiry_ns
    if not 0 < expires_s <= MAX_EXPIRY_S:
        raise _NoCommandError("range", f"a command expires after more than 0 and at most {MAX_EXPIRY_S:g} s")
    return int(expires_s * _NS)


def _not_before_ns(not_before_s: float, expiry_ns: int) -> int:
    """Return the span in which nothing is sent yet. Raises: _NoCommandError for one in which the command expires."""
    if not 0 <= not_before_s < expiry_ns / _NS:
        raise _NoCommandError(
            "range", f"not before {not_before_s:g} s, and it expires after {expiry_ns / _NS:g} s: it is never sent"
        )
    return int(not_before_s * _NS)
