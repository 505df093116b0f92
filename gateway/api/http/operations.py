"""Layer 7: what can be asked for and done over HTTP: paths to the queries and commands that every door has."""

from __future__ import annotations

from typing import Any, Final

from gateway.api import paging
from gateway.api.api import Api
from gateway.api.http import documents as doc
from gateway.api.http.app import Operation
from gateway.api.http.call import Answer, Call, seconds_of
from gateway.api.http.documents import MAX_KEY_CHARS
from gateway.api.http.parameters import DURATION, GLOBS, PAGE, text
from gateway.api.http.problems import STATUS_OF, Problem, no_such_route
from gateway.errors import RouteError, UnknownError
from gateway.route import Route, RoutePattern, Variant

WAIT_S: Final = 3.0  # a caller waits no longer, then has a handle (DESIGN 2.7)
_IF_MATCH: Final = {"If-Match": text("the ETag of the shadow that is to be changed, or *", is_required=True)}
_IF_NONE_MATCH: Final = {"If-None-Match": text("ETags that are known already")}
_KEY: Final = {"Idempotency-Key": text("the same as `key`", f"^[!-~]{{1,{MAX_KEY_CHARS}}}$")}
_ROUTED: Final = PAGE | {"pattern": GLOBS}


class Operations:
    """The handlers of one door."""

    def __init__(self, api: Api) -> None:
        """Take what is behind the door."""
        self._api = api

    def all(self) -> list[Operation]:
        """Return everything that can be asked for here."""
        get = "GET"
        one = "/v1/devices/{device}"
        return [
            Operation(
                method=get, path="/v1/routes", name="routes", summary="What routes mean, and which can be set",
                run=self.routes, answers={200: doc.Routes}, query=_ROUTED,
            ),
            Operation(
                method=get, path="/v1/values", name="values", summary="What routes say now",
                run=self.values, answers={200: doc.Values}, query=_ROUTED,
            ),
            Operation(
                method=get, path="/v1/values/{route:path}", name="value", summary="What one route says now",
                run=self.value, answers={200: doc.Value}, fails=(404,),
            ),
            Operation(
                method=get, path="/v1/devices", name="devices", summary="Devices and how their connections stand",
                run=self.devices, answers={200: doc.Devices}, query=_ROUTED,
            ),
            Operation(
                method=get, path=one, name="device", summary="One device and how its connection stands",
                run=self.device, answers={200: doc.DeviceRow}, fails=(404,),
            ),
            Operation(
                method=get, path=f"{one}/shadow", name="shadow",
                summary="What is wanted of a device, what it reports, what became of it",
                run=self.shadow, answers={200: doc.Shadow, 304: None}, fails=(404,), headers=_IF_NONE_MATCH,
            ),
            Operation(
                method="PATCH", path=f"{one}/shadow", name="patch_shadow",
                summary="Want other values, where nobody wanted others meanwhile (If-Match)",
                run=self.patch_shadow, takes=doc.PatchBody, headers=_IF_MATCH,
                answers={200: doc.Shadow, 202: doc.Shadow},
                fails=(404, 409, 412, 413, 415, 422, 428, 429, 503),
            ),
            Operation(
                method="PUT", path=one + "/setpoints/{family}/{name}", name="set", summary="Set one setpoint",
                run=self.set, takes=doc.SetBody, headers=_KEY, answers={200: doc.Result, 202: doc.Result},
                fails=(404, 409, 413, 415, 422, 429, 503),
            ),
            Operation(
                method=get, path="/v1/commands", name="commands", summary="Commands, those that have ended too",
                run=self.commands, answers={200: doc.Commands}, query=PAGE, fails=(404,),
            ),
            Operation(
                method=get, path="/v1/commands/{id}", name="command", summary="What became of one command",
                run=self.command, answers={200: doc.Result},
                query={"wait": DURATION._replace(words="how long an outcome may be waited for, at most 3s [0s]")},
                fails=(404,),
            ),
        ]  # fmt: skip

    # ---- lists

    async def routes(self, call: Call) -> Answer:
        """Answer GET /v1/routes."""
        return await self._listed(call, "routes", self._api.queries.routes)

    async def values(self, call: Call) -> Answer:
        """Answer GET /v1/values."""
        return await self._listed(call, "values", self._api.queries.values)

    async def devices(self, call: Call) -> Answer:
        """Answer GET /v1/devices."""

        def named(pattern: RoutePattern) -> list[dict[str, Any]]:
            return [row for row in self._api.queries.devices() if pattern.matches(row["name"])]

        return await self._listed(call, "devices", named, key="name")

    async def commands(self, call: Call) -> Answer:
        """Answer GET /v1/commands."""
        told = await self._api.asks.answer("commands", {}, call.caller)
        limit = paging.limit_of(call.query("limit"))
        rows, after = paging.page_as_it_is(
            told["commands"], lambda row: str(row["id"]), call.query("after"), limit, what="command"
        )
        return Answer({"commands": rows, "next": after})

    async def _listed(self, call: Call, name: str, ask: Any, key: str = "route") -> Answer:
        pattern = RoutePattern(call.query("pattern") or "*")
        await self._api.asks.may_look(call.caller, pattern.text if key == "route" else pattern.text.split("/")[0])
        limit = paging.limit_of(call.query("limit"))
        rows, after = paging.page(ask(pattern), lambda row: str(row[key]), call.query("after"), limit)
        return Answer({name: rows, "next": after})

    # ---- one thing

    async def value(self, call: Call) -> Answer:
        """Answer GET /v1/values/{route}."""
        try:
            told = await self._api.asks.answer("get", {"route": call.part("route")}, call.caller)
        except RouteError as error:
            raise no_such_route(error) from error
        return Answer({key: told[key] for key in told if key != "route"})

    async def device(self, call: Call) -> Answer:
        """Answer GET /v1/devices/{device}."""
        await self._api.asks.may_look(call.caller, call.part("device"))
        found = next((row for row in self._api.queries.devices() if row["name"] == call.part("device")), None)
        if found is None:
            raise UnknownError("device", f"no device {call.part('device')[:80]!r}")
        return Answer(found)

    async def command(self, call: Call) -> Answer:
        """Answer GET /v1/commands/{id}."""
        wait_s = min(seconds_of("wait", call.query("wait")) or 0.0, WAIT_S)
        return Answer(
            _shown(await self._api.asks.answer("command", {"id": call.part("id"), "wait_s": wait_s}, call.caller))
        )

    # ---- shadows

    async def shadow(self, call: Call) -> Answer:
        """Answer GET /v1/devices/{device}/shadow."""
        return self._shadow(await self._ask_shadow(call), call.request.headers.get("if-none-match"))

    async def patch_shadow(self, call: Call) -> Answer:
        """Answer PATCH /v1/devices/{device}/shadow: all of it is set, or none."""
        body = await call.body(doc.PatchBody)
        known = await self._ask_shadow(call)
        version = _version_in(call.request.headers.get("if-match"), known["version"])
        args = {"device": call.part("device"), "desired": body.state.desired, "version": version, "wait_s": WAIT_S}
        told = await self._api.asks.answer("patch_shadow", args, call.caller)
        results = [_begun(each) for each in told["results"]]
        answer = self._shadow(told["shadow"])
        is_open = any(each["outcome"] is None for each in results)
        return Answer(answer.told, 202, answer.headers) if is_open else answer

    async def _ask_shadow(self, call: Call) -> dict[str, Any]:
        try:
            return await self._api.asks.answer("shadow", {"device": call.part("device")}, call.caller)
        except RouteError as error:  # no text that could name one
            raise UnknownError("device", str(error)) from error

    @staticmethod
    def _shadow(told: dict[str, Any], none_match: str | None = None) -> Answer:
        tag = f'"{told["version"]}"'
        headers = {"ETag": tag, "Cache-Control": "no-cache"}
        if none_match is not None and (none_match.strip() == "*" or tag in _tags(none_match)):
            return Answer(b"", 304, headers)
        return Answer(told, 200, headers)

    # ---- commands

    async def set(self, call: Call) -> Answer:
        """Answer PUT /v1/devices/{device}/setpoints/{family}/{name}."""
        body = await call.body(doc.SetBody)
        wait_s = seconds_of("wait", body.wait)
        args = {
            "route": str(_route(call.part("device"), call.part("family"), call.part("name"))),
            "value": body.value,
            "expires_s": seconds_of("expires", body.expires),
            "key": _key_of(call.request.headers.get("idempotency-key"), body.key),
            "wait_s": WAIT_S if wait_s is None else min(wait_s, WAIT_S),
        }
        told = _begun(await self._api.asks.answer("set", args, call.caller))
        if told["outcome"] is None:
            return Answer(_shown(told), 202, {"Location": f"/v1/commands/{told['id']}"})
        return Answer(_shown(told))


def _shown(told: dict[str, Any]) -> dict[str, Any]:
    """Return the object of `set --json`: what is for people stands in problems alone."""
    return {key: value for key, value in told.items() if key != "detail"}


def _begun(told: dict[str, Any]) -> dict[str, Any]:
    """Return what became of a command. Raises: Problem for what did not become one."""
    if told["id"] is None and told["outcome"] is None:
        code = told["reason"] if told["reason"] in STATUS_OF else "malformed"
        headers = {"Retry-After": "1"} if STATUS_OF.get(code) == 503 else {}
        raise Problem(STATUS_OF.get(code, 400), code, told["detail"] or told["reason"], headers)
    return told


def _route(device: str, family: str, name: str) -> Route:
    try:
        return Route(device, family, name, Variant.DESIRED)
    except RouteError as error:
        raise no_such_route(error) from error


def _key_of(header: str | None, key: str | None) -> str | None:
    """Return the one key of a command. Raises: Problem where there are two, or it is none."""
    named = None if header is None else header.strip().strip('"')
    if named is not None and key is not None and named != key:
        raise Problem(400, "malformed", "Idempotency-Key and key are one, and here they differ")
    found = key if named is None else named
    if found is not None and not 0 < len(found) <= MAX_KEY_CHARS:
        raise Problem(400, "malformed", f"a key has 1 to {MAX_KEY_CHARS} characters")
    return found


def _tags(text: str) -> list[str]:
    return [part.strip().removeprefix("W/") for part in text.split(",")]


def _version_in(if_match: str | None, version: int) -> int | None:
    """Return the version that must stand still when a value is set; None: any may. Raises: Problem."""
    if if_match is None:
        raise Problem(428, "precondition", "give If-Match with the ETag of the shadow that is to be changed")
    if if_match.strip() == "*":
        return None
    if f'"{version}"' not in [
        part.strip() for part in if_match.split(",")
    ]:  # a weak one is no match (RFC 9110, 13.1.1)
        raise Problem(412, "version", f"the shadow has version {version}; read it again", {"ETag": f'"{version}"'})
    return version
