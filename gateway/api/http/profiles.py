"""Layer 7: profiles over HTTP: which there are, one more, another for a device."""

from __future__ import annotations

from typing import Any, Final

from gateway.api import paging
from gateway.api.api import Api
from gateway.api.http import documents_profiles as doc
from gateway.api.http.app import Operation
from gateway.api.http.call import Answer, Call, seconds_of
from gateway.api.http.operations import WAIT_S
from gateway.api.http.parameters import FLAG, PAGE, PROFILE_ID
from gateway.api.http.problems import Problem
from gateway.errors import RouteError, UnknownError
from gateway.runtime.library import MAX_BYTES

TOML: Final = ("application/toml", "text/plain")
RETURN_AFTER_S: Final = 30.0


class ProfileOperations:
    """The handlers of one door."""

    def __init__(self, api: Api) -> None:
        """Take what is behind the door."""
        self._api = api

    def all(self) -> list[Operation]:
        """Return everything that can be asked for here."""
        one, of_device = "/v1/profiles/{publisher}/{name}@{version}", "/v1/devices/{device}/profile"
        return [
            Operation(
                method="GET", path="/v1/profiles", name="profiles", summary="Profiles that can be used by name",
                run=self.profiles, answers={200: doc.Profiles}, query=PAGE,
            ),
            Operation(
                method="GET", path=one, name="profile", summary="One profile with its TOML",
                run=self.profile, parts=PROFILE_ID, answers={200: doc.ProfileText}, fails=(404,),
            ),
            Operation(
                method="PUT", path=one, name="install_profile",
                summary="Install a profile: once, for a version never changes; no device uses it by that",
                run=self.install, parts=PROFILE_ID, takes_text=TOML,
                answers={200: (doc.ProfileKept, doc.ProfileDryRun), 201: doc.ProfileKept},
                query={"dry_run": FLAG._replace(words="say what it would do; install nothing")},
                fails=(409, 413, 415, 422, 503),
            ),
            Operation(
                method="GET", path=of_device, name="device_profile",
                summary="Which profile a device uses, who says so, and what became of its last change",
                run=self.of_device, answers={200: doc.DeviceProfile}, fails=(404,),
            ),
            Operation(
                method="POST", path=of_device, name="use_profile",
                summary="Let a device use another profile; the previous one is back where the device is not",
                run=self.use, takes=doc.UseBody, answers={200: doc.ProfileUse, 202: doc.ProfileUse},
                fails=(404, 413, 415, 422, 503),
            ),
        ]  # fmt: skip

    async def profiles(self, call: Call) -> Answer:
        """Answer GET /v1/profiles."""
        told = await self._api.asks.answer("profiles", {}, call.caller)
        limit = paging.limit_of(call.query("limit"))
        rows, after = paging.page(told["profiles"], lambda row: str(row["id"]), call.query("after"), limit)
        return Answer({"profiles": rows, "next": after})

    async def profile(self, call: Call) -> Answer:
        """Answer GET /v1/profiles/{publisher}/{name}@{version}."""
        return Answer(await self._api.asks.answer("profile", {"profile": _id_of(call)}, call.caller))

    async def install(self, call: Call) -> Answer:
        """Answer PUT /v1/profiles/{publisher}/{name}@{version}."""
        is_dry_run = call.flag("dry_run")
        raw = await call.raw(*TOML, most=MAX_BYTES)
        try:
            text = raw.decode()
        except UnicodeDecodeError as error:
            line = raw.count(b"\n", 0, error.start) + 1
            wrong = {"line": line, "key": "", "message": "not UTF-8", "severity": "error"}
            raise Problem(422, "profile", f"line {line}: not UTF-8", problems=[wrong]) from error
        args = {"profile": _id_of(call), "text": text, "dry_run": is_dry_run}
        told = await self._api.asks.answer("install_profile", args, call.caller)
        if is_dry_run:
            return Answer({key: told[key] for key in ("problems", "diff", "devices")})
        outcome = told["outcome"]
        if outcome == "immutable":
            raise Problem(
                409, "immutable", f"{told['profile']} is there with another text; give this one another version"
            )
        if outcome == "refused":
            raise Problem(422, "profile", _words(told["problems"]), problems=told["problems"])
        return (
            Answer(told, 201, {"Location": f"/v1/profiles/{told['profile']}"})
            if outcome == "installed"
            else Answer(told)
        )

    async def of_device(self, call: Call) -> Answer:
        """Answer GET /v1/devices/{device}/profile."""
        return Answer(await self._asked(call, "device_profile", {}))

    async def use(self, call: Call) -> Answer:
        """Answer POST /v1/devices/{device}/profile."""
        body = await call.body(doc.UseBody)
        after_s = seconds_of("return_after", body.return_after)
        args = {
            "profile": body.profile, "return_after_s": RETURN_AFTER_S if after_s is None else after_s, "wait_s": WAIT_S,
        }  # fmt: skip
        told = await self._asked(call, "use_profile", args)
        if told["outcome"] == "refused":
            raise Problem(422, "profile", told["detail"], problems=[_row(each) for each in told["problems"]])
        shown = {key: told[key] for key in doc.ProfileUse.__struct_fields__}
        if told["outcome"] is None:
            return Answer(shown, 202, {"Location": f"/v1/devices/{told['device']}/profile"})
        return Answer(shown)

    async def _asked(self, call: Call, name: str, args: dict[str, Any]) -> dict[str, Any]:
        try:
            return await self._api.asks.answer(name, {"device": call.part("device"), **args}, call.caller)
        except RouteError as error:  # no text that could name one
            raise UnknownError("device", str(error)) from error


def _id_of(call: Call) -> str:
    return f"{call.part('publisher')}/{call.part('name')}@{call.part('version')}"


def _row(problem: dict[str, Any]) -> dict[str, Any]:
    return {"line": problem["line"], "key": problem["key"], "message": problem["message"], "severity": "error"}


def _words(problems: list[dict[str, Any]]) -> str:
    wrong = [each for each in problems if each["severity"] == "error"]
    first = wrong[0]
    more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
    return f"line {first['line']}: {first['key']}: {first['message']}{more}"
