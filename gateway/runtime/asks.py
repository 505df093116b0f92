"""Layer 6: what callers may ask of a running gateway beyond looking on: each request with its arguments, checked.

Who asks is known by then; whether they may is decided behind this, in one place. Answers are JSON-ready.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal, Protocol

import msgspec

from gateway.authority.decision import Caller
from gateway.authority.grants import Verb
from gateway.authority.scope import EVERYWHERE, Scope
from gateway.errors import RouteError, UnknownError, UsageError
from gateway.route import Route, Variant, parse_route
from gateway.runtime.dispatch import Dispatch
from gateway.runtime.patching import patch
from gateway.runtime.profiles import Profiles
from gateway.spelling import did_you_mean

MOST_WAIT_S: Final = 60.0
MOST_WITHIN_S: Final = 600.0
MOST_LIFETIME_S: Final = 1e9  # more than any token may live; what is too long is told where that is known


class Looks(Protocol):
    """What can be read of the devices."""

    def value(self, route: Route) -> dict[str, Any] | None:
        """Return the object of `get --json`; None where there is no such route."""
        ...

    async def value_left(self, route: Route) -> dict[str, Any] | None:
        """Return the same for a device that is remembered only."""
        ...

    async def shadow_left(self, device: str) -> dict[str, Any] | None:
        """Return the object of `shadow --json` for a device that is remembered only; None where there is none."""
        ...

    async def lead(self, device: str, verb: str) -> dict[str, Any]:
        """Connect, quiesce or detach a device; return its entry of `devices --json`. Raises: UsageError."""
        ...


class Reloads(Protocol):
    """What takes up a changed configuration."""

    async def reload(self, by: str, *, within_s: float, is_dry_run: bool) -> dict[str, Any]:
        """Return the object of `reload --json`. Raises: UsageError."""
        ...


class _Args(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    pass


class _Nothing(_Args, frozen=True, kw_only=True):
    pass


class _Set(_Args, frozen=True, kw_only=True):
    route: str
    value: Any
    expires_s: float | None = None
    not_before_s: float = 0.0
    key: str | None = None
    wait_s: float = 3.0
    version: int | None = None


class _Get(_Args, frozen=True, kw_only=True):
    route: str


class _Command(_Args, frozen=True, kw_only=True):
    id: str
    wait_s: float = 0.0


class _Shadow(_Args, frozen=True, kw_only=True):
    device: str


class _Patch(_Args, frozen=True, kw_only=True):
    device: str
    desired: dict[str, Any]
    version: int | None = None
    wait_s: float = 3.0


class _Lead(_Args, frozen=True, kw_only=True):
    device: str
    verb: Literal["connect", "quiesce", "detach"]


class _Wall(_Args, frozen=True, kw_only=True):
    target: str
    verb: Verb
    state: Literal["on", "off"]


class _Decide(_Args, frozen=True, kw_only=True):
    id: str
    verdict: Literal["approve", "reject"]


class _Reload(_Args, frozen=True, kw_only=True):
    dry_run: bool = False
    back_within_s: float = 30.0


class _Profile(_Args, frozen=True, kw_only=True):
    profile: str


class _Install(_Args, frozen=True, kw_only=True):
    profile: str
    text: str
    dry_run: bool = False


class _Use(_Args, frozen=True, kw_only=True):
    device: str
    profile: str
    return_after_s: float = 30.0
    wait_s: float = 3.0


class _Token(_Args, frozen=True, kw_only=True):
    principal: str
    routes: str
    verbs: list[Verb]
    expires_s: float


class Asks:
    """Every request by name."""

    def __init__(self, dispatch: Dispatch, looks: Looks, reloads: Reloads, profiles: Profiles) -> None:
        """Take who does things, who knows things, who takes up a changed configuration, and who keeps profiles."""
        self._reloads = reloads
        self._profiles = profiles
        self._dispatch = dispatch
        self._warden = dispatch.warden
        self._looks = looks
        self._known: dict[str, tuple[type[_Args], Callable[[Caller, Any], Awaitable[dict[str, Any]]]]] = {
            "set": (_Set, self._set),
            "get": (_Get, self._get),
            "shadow": (_Shadow, self._shadow),
            "patch_shadow": (_Patch, self._patch),
            "commands": (_Nothing, self._commands),
            "command": (_Command, self._command),
            "device": (_Lead, self._lead),
            "wall": (_Wall, self._wall),
            "walls": (_Nothing, self._walls),
            "decide": (_Decide, self._decide),
            "grants": (_Nothing, self._grants),
            "identify": (_Nothing, self._identify),
            "issue_token": (_Token, self._issue_token),
            "reload": (_Reload, self._reload),
            "profiles": (_Nothing, self._list_profiles),
            "profile": (_Profile, self._profile),
            "device_profile": (_Shadow, self._device_profile),
            "install_profile": (_Install, self._install_profile),
            "use_profile": (_Use, self._use_profile),
        }

    @property
    def names(self) -> list[str]:
        """Return what can be asked for."""
        return list(self._known)

    async def answer(self, name: str, args: dict[str, Any], caller: Caller) -> dict[str, Any]:
        """Return the answer. Raises: GatewayError, msgspec.ValidationError for arguments that are none."""
        known = self._known.get(name)
        if known is None:
            raise UsageError(f"no request {name!r}; one of {', '.join(self._known)}")
        shape, work = known
        return await work(caller, msgspec.convert(args, shape))

    async def may_look(self, caller: Caller, pattern: str = "*") -> None:
        """Raises: DeniedError where a caller may not look at everything that a `RoutePattern` may show."""
        await self._warden.demand(caller, Scope.of_look(pattern), "read")

    async def _set(self, caller: Caller, args: _Set) -> dict[str, Any]:
        wait_s = min(max(args.wait_s, 0.0), MOST_WAIT_S)
        return await self._dispatch.set(
            caller, args.route, args.value, expires_s=args.expires_s, not_before_s=args.not_before_s, key=args.key,
            wait_s=wait_s, version=args.version,
        )  # fmt: skip

    async def _get(self, caller: Caller, args: _Get) -> dict[str, Any]:
        route, seq = parse_route(args.route)
        await self._warden.demand(caller, route, "read")
        if seq is not None:
            raise RouteError(f"{args.route[:80]!r} names one record; ask `why` about that, or leave #{seq} out")
        is_looked_at = route.variant in {Variant.VALUE, Variant.HEALTH}
        found = self._looks.value(route) if is_looked_at else self._dispatch.part(route)
        if found is None and route.variant is Variant.VALUE:  # a setpoint that no stream is called like
            reported = Route(route.owner, route.family, route.stream, Variant.REPORTED)
            if (found := self._dispatch.part(reported)) is not None:
                await self._warden.demand(caller, reported, "read")
        if found is None and route.variant is Variant.VALUE:
            found = await self._looks.value_left(route)
        if found is None:
            raise UnknownError("route", f"no route {route}; `tidegate routes` lists them")
        return found

    async def _shadow(self, caller: Caller, args: _Shadow) -> dict[str, Any]:
        await self._warden.demand(caller, Scope.of_device(args.device), "read")
        twin = self._dispatch.twins.get(args.device)
        if twin is None and (left := await self._looks.shadow_left(args.device)) is not None:
            return left
        if twin is None:
            near = did_you_mean(args.device, self._dispatch.twins)
            raise UnknownError("device", f"no device {args.device!r} with setpoints{near}")
        return twin.view()

    async def _patch(self, caller: Caller, args: _Patch) -> dict[str, Any]:
        wait_s = min(max(args.wait_s, 0.0), MOST_WAIT_S)
        return await patch(self._dispatch, caller, args.device, args.desired, version=args.version, wait_s=wait_s)

    async def _commands(self, caller: Caller, _args: _Nothing) -> dict[str, Any]:
        await self._warden.demand(caller, EVERYWHERE, "read")
        return {"commands": self._dispatch.commander.listing()}

    async def _command(self, caller: Caller, args: _Command) -> dict[str, Any]:
        await self._warden.demand(caller, EVERYWHERE, "read")
        found = await self._dispatch.fate(args.id, min(max(args.wait_s, 0.0), MOST_WAIT_S))
        if found is None:
            raise UnknownError("command", f"no command {args.id!r}; `tidegate commands` lists those that are known")
        return found

    async def _lead(self, caller: Caller, args: _Lead) -> dict[str, Any]:
        await self._warden.demand(caller, Scope.of_device(args.device), "admin")
        return await self._looks.lead(args.device, args.verb)

    async def _wall(self, caller: Caller, args: _Wall) -> dict[str, Any]:
        return await self._warden.wall(caller, args.target, args.verb, args.state)

    async def _walls(self, caller: Caller, _args: _Nothing) -> dict[str, Any]:
        return await self._warden.standing(caller)

    async def _decide(self, caller: Caller, args: _Decide) -> dict[str, Any]:
        return await self._dispatch.decide(caller, args.id, args.verdict)

    async def _grants(self, caller: Caller, _args: _Nothing) -> dict[str, Any]:
        await self._warden.demand(caller, EVERYWHERE, "read")
        return {"grants": [grant.as_json() for grant in self._warden.authority.grants]}

    async def _identify(self, caller: Caller, _args: _Nothing) -> dict[str, Any]:
        principal = await self._warden.principal_of(caller)
        mine = [grant.as_json() for grant in self._warden.authority.grants if grant.principal == principal]
        return {"principal": principal, "by": "peer" if caller.token is None else "token", "grants": mine}

    async def _issue_token(self, caller: Caller, args: _Token) -> dict[str, Any]:
        verbs = tuple(args.verbs)
        lifetime_ns = int(min(max(args.expires_s, 0.0), MOST_LIFETIME_S) * 1e9)
        return {"token": await self._warden.issue(caller, args.principal, args.routes, verbs, lifetime_ns)}

    async def _reload(self, caller: Caller, args: _Reload) -> dict[str, Any]:
        by = await self._warden.demand(caller, EVERYWHERE, "admin")
        within_s = min(max(args.back_within_s, 0.0), MOST_WITHIN_S)
        return await self._reloads.reload(by, within_s=within_s, is_dry_run=args.dry_run)

    async def _list_profiles(self, caller: Caller, _args: _Nothing) -> dict[str, Any]:
        await self._warden.demand(caller, EVERYWHERE, "read")
        return {"profiles": await self._profiles.listing()}

    async def _profile(self, caller: Caller, args: _Profile) -> dict[str, Any]:
        await self._warden.demand(caller, EVERYWHERE, "read")
        return await self._profiles.one(args.profile)

    async def _device_profile(self, caller: Caller, args: _Shadow) -> dict[str, Any]:
        await self._warden.demand(caller, Scope.of_device(args.device), "read")
        return self._profiles.of_device(args.device)

    async def _install_profile(self, caller: Caller, args: _Install) -> dict[str, Any]:
        by = await self._warden.demand(caller, EVERYWHERE, "admin")
        return await self._profiles.install(by, args.profile, args.text, is_dry_run=args.dry_run)

    async def _use_profile(self, caller: Caller, args: _Use) -> dict[str, Any]:
        by = await self._warden.demand(caller, Scope.of_device(args.device), "admin")
        for other in await self._profiles.restarting(args.device, args.profile):
            await self._warden.demand(caller, Scope.of_device(other), "admin")  # who shares its wire is begun anew too
        return await self._profiles.use(
            by, args.device, args.profile, within_s=min(max(args.return_after_s, 0.0), MOST_WITHIN_S),
            wait_s=min(max(args.wait_s, 0.0), MOST_WITHIN_S + MOST_WAIT_S),
        )  # fmt: skip
