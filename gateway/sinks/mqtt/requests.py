"""Layer 7: what comes from a broker: commands, shadows, questions. Each goes through the one dispatch and is answered.

Everybody behind the broker is one principal, `service:mqtt`: what it may do, grants say. Nothing that comes here is let
in because it is retained: it would be done again at every connection.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from gateway.authority.decision import Caller
from gateway.errors import DeniedError, GatewayError, RouteError, UsageError
from gateway.notation import duration_ns
from gateway.route import RoutePattern
from gateway.runtime.crew import Work
from gateway.runtime.telling import no_command
from gateway.sinks.mqtt.topics import Asked, QueryAsked, SetAsked, ShadowAsked, Topics
from gateway.sinks.surroundings import Commands, Does, Knows

MAX_PAYLOAD_BYTES: Final = 64 << 10
CALLER: Final = Caller(principal="service:mqtt")
_NS: Final = 1_000_000_000

log = logging.getLogger(__name__)


class _Body(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    pass


class SetBody(_Body, kw_only=True, frozen=True):
    """A command; a bare value is one with nothing else."""

    value: Any
    expires: str | float | None = None
    wait: str | float | None = None  # taken and of no use: nobody waits, results come when they are there
    key: str | None = None


class _State(_Body, kw_only=True, frozen=True):
    desired: dict[str, Any]


class _UpdateBody(_Body, kw_only=True, frozen=True, rename={"client_token": "clientToken"}):
    state: _State
    version: int | None = None
    client_token: str | None = None


class _Refusal(Exception):
    """What was asked for is not done; `code` is for programs."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    @property
    def told(self) -> dict[str, Any]:
        return {"code": self.code, "message": str(self)}


def read_set(payload: bytes) -> SetBody:
    """Return what a command's payload says. Raises: ValueError."""
    if not payload.strip():
        raise ValueError("an empty payload sets nothing")
    text = payload.decode()
    try:
        told = msgspec.json.decode(payload)
    except (msgspec.DecodeError, RecursionError):
        if text.lstrip()[:1] in {"{", "["}:
            raise ValueError("it begins like JSON and is none") from None
        return SetBody(value=text)
    if not isinstance(told, dict):
        return SetBody(value=told)
    body = msgspec.convert(told, SetBody)
    seconds(body.wait)
    return body


def seconds(told: str | float | None) -> float | None:
    """Return a duration: "2s", or seconds. Raises: ValueError."""
    if isinstance(told, str):
        return duration_ns(told) / _NS
    return told


class Requests:
    """Answers one broker's messages while it is connected."""

    def __init__(
        self,
        topics: Topics,
        *,
        does: Does,
        knows: Knows,
        commands: Commands,
        publish: Callable[[str, Any], None],
        spawn: Callable[[Work, str], bool],
    ) -> None:
        """Take who does what is asked, how answers go out (JSON), and what runs work beside; False: not now."""
        self._topics = topics
        self._does = does
        self._knows = knows
        self._commands = commands
        self._publish = publish
        self._spawn = spawn
        self.ignored = 0  # messages that are nothing for us
        self.turned_away = 0  # because too much was under way
        self._queries: dict[str, Callable[[dict[str, Any]], Any]] = {
            "status": self._status,
            "devices": self._devices,
            "routes": self._routes,
            "get": self._get,
            "shadow": lambda args: does.answer("shadow", args, CALLER),
            "commands": lambda args: does.answer("commands", args, CALLER),
        }

    def take(self, topic: str, payload: bytes, *, is_retained: bool, is_again: bool) -> None:
        """Take a message; its answer goes out when it is there. Never waits, never fails.

        `is_again`: the broker says that it may have been delivered before.
        """
        asked = self._topics.parse(topic)
        if asked is None or is_retained:
            self.ignored += 1
            return
        work = self._work(asked, payload, is_again=is_again)
        if not self._spawn(work, type(asked).__name__):
            self.turned_away += 1
            self._turn_away(asked)

    def _work(self, asked: Asked, payload: bytes, *, is_again: bool) -> Work:
        match asked:
            case SetAsked(route):
                return self._set(route, payload, is_again=is_again)
            case ShadowAsked(device, "get"):
                return self._shadow(device)
            case ShadowAsked(device):
                return self._update(device, payload, is_again=is_again)
            case QueryAsked(name):
                return self._query(name, payload)

    def _turn_away(self, asked: Asked) -> None:
        why = _Refusal("rate", "too much is under way here; ask again later")
        match asked:
            case SetAsked(route):
                self._result(no_command(route, None, None, why.code, str(why)))
            case ShadowAsked(device, what):
                self._publish(self._topics.shadow(device, f"{what}/rejected"), why.told)
            case QueryAsked(name):
                self._publish(self._topics.response(name), {"id": None, "ok": False, "error": why.told})

    # ---- commands

    async def _set(self, route: str, payload: bytes, *, is_again: bool) -> None:
        try:
            body = read_set(_bounded(payload))
            expires_s = seconds(body.expires)
        except (ValueError, _Refusal) as error:
            self._result(no_command(route, None, None, "malformed", str(error)))
            return
        if is_again and body.key is None:
            why = "the broker may have delivered this before; give a key, or ask again"
            self._result(no_command(route, body.value, None, "redelivered", why))
            return
        answer = await self._begin(route, body.value, expires_s, body.key)
        self._result(answer)
        if answer["id"] is not None and answer["outcome"] is None:
            end = await self._commands.outcome(answer["id"])
            if end is not None:
                self._result(end)

    async def _begin(self, route: str, value: Any, expires_s: float | None, key: str | None) -> dict[str, Any]:
        """Return the object of `set --json` as it is once the command is recorded, or refused."""
        args = {"route": route, "value": value, "expires_s": expires_s, "key": key, "wait_s": 0.0}
        try:
            return await self._does.answer("set", args, CALLER)
        except (GatewayError, msgspec.ValidationError) as error:
            return no_command(route, value, key, code_of(error), str(error))

    def _result(self, answer: dict[str, Any]) -> None:
        told = {name: value for name, value in answer.items() if name != "detail"}
        self._publish(self._topics.result(answer["route"]), told)

    # ---- shadows

    async def _shadow(self, device: str) -> None:
        try:
            told = await self._does.answer("shadow", {"device": device}, CALLER)
        except GatewayError as error:
            self._publish(self._topics.shadow(device, "get/rejected"), _told(error))
        else:
            self._publish(self._topics.shadow(device, "get/accepted"), told)

    async def _update(self, device: str, payload: bytes, *, is_again: bool) -> None:
        extra: dict[str, Any] = {}
        try:
            body = msgspec.json.decode(_bounded(payload), type=_UpdateBody)
            extra = {} if body.client_token is None else {"clientToken": body.client_token}
            await self._desire(device, body, is_again=is_again)
            told = await self._does.answer("shadow", {"device": device}, CALLER)
        except _Refusal as why:
            self._publish(self._topics.shadow(device, "update/rejected"), why.told | extra)
        except (GatewayError, ValueError, RecursionError) as error:
            self._publish(self._topics.shadow(device, "update/rejected"), _told(error) | extra)
        else:
            self._publish(self._topics.shadow(device, "update/accepted"), told | extra)

    async def _desire(self, device: str, body: _UpdateBody, *, is_again: bool) -> None:
        """Set every desired value, in order, up to the first that is refused. Raises: GatewayError, _Refusal."""
        if is_again:
            raise _Refusal("redelivered", "the broker may have delivered this before; ask again")
        known = await self._does.answer("shadow", {"device": device}, CALLER)
        if body.version is not None and body.version != known["version"]:
            raise _Refusal("version", f"the shadow has version {known['version']}, not {body.version}")
        twin = self._commands.twins[device]
        for name in body.state.desired:
            if name not in twin.setpoints:
                raise _Refusal("unknown_route", f"{device} has no setpoint {name!r}")
        for name, value in body.state.desired.items():
            answer = await self._begin(twin.route(name), value, None, None)
            if answer["id"] is None:
                raise _Refusal(answer["reason"], f"{name}: {answer['detail']}")

    # ---- questions

    async def _query(self, name: str, payload: bytes) -> None:
        told: dict[str, Any] = {"id": None, "ok": False}
        try:
            args = _arguments(_bounded(payload))
            told["id"] = args.pop("id", None)
            told |= {"ok": True, "data": await self._answer(name, args)}
        except _Refusal as why:
            told["error"] = why.told
        except (GatewayError, ValueError, RecursionError) as error:
            told["error"] = _told(error)
        self._publish(self._topics.response(name), told)

    async def _answer(self, name: str, args: dict[str, Any]) -> Any:
        if name not in self._queries:
            raise _Refusal("unknown_request", f"no request {name!r}; one of {', '.join(self._queries)}")
        return await self._queries[name](args)

    async def _get(self, args: dict[str, Any]) -> Any:
        told = await self._does.answer("get", args, CALLER)
        return {key: value for key, value in told.items() if key != "route"}  # who asks has named it

    async def _status(self, args: dict[str, Any]) -> Any:
        _no_more(args)
        await self._does.may_look(CALLER)
        return self._knows.status()

    async def _devices(self, args: dict[str, Any]) -> Any:
        _no_more(args)
        await self._does.may_look(CALLER)
        return {"devices": self._knows.devices()}

    async def _routes(self, args: dict[str, Any]) -> Any:
        pattern = args.pop("pattern", "*")
        _no_more(args)
        if not isinstance(pattern, str):
            raise _Refusal("malformed", "a pattern is text")
        await self._does.may_look(CALLER, pattern)
        return {"routes": self._knows.routes(RoutePattern(pattern))}


def _arguments(payload: bytes) -> dict[str, Any]:
    told = msgspec.json.decode(payload) if payload.strip() else {}
    if not isinstance(told, dict):
        raise _Refusal("malformed", "a request is a JSON object")
    return told


def _no_more(args: Mapping[str, Any]) -> None:
    if args:
        raise _Refusal("malformed", f"unknown: {', '.join(args)}")


def _bounded(payload: bytes) -> bytes:
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise _Refusal("malformed", f"a payload of {len(payload):,} bytes; at most {MAX_PAYLOAD_BYTES:,}")
    return payload


def _told(error: Exception) -> dict[str, Any]:
    return {"code": code_of(error), "message": str(error)}


def code_of(error: Exception) -> str:
    """Return the word for programs that says why something was not done."""
    match error:
        case DeniedError():
            return "denied"
        case RouteError():
            return "unknown_route"
        case UsageError():
            return "usage"
        case GatewayError():
            return "failed"
        case _:
            return "malformed"
