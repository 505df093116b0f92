"""Through a real socket, with a real gateway and simulated devices."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.api.http import documents as doc
from gateway.api.http.guard import Allowance
from gateway.api.settings import HttpConfig
from gateway.app import Gateway
from gateway.config import DeviceConfig, SiteConfig
from gateway.errors import ConfigError
from gateway.route import RoutePattern
from tests.api.kit import VALVE, HttpBench, Told, served
from tests.integration.test_commands import SPEED

SHADOW = "/v1/devices/node/shadow"
EVERYTHING = RoutePattern("*")


def test_lists_come_in_pages_by_pattern_and_each_row_is_what_its_document_says(tmp_path: Path) -> None:
    told: dict[str, Any] = {}

    async def play(bench: HttpBench) -> None:
        for name, path in {
            "routes": "/v1/routes", "values": "/v1/values", "devices": "/v1/devices", "commands": "/v1/commands"
        }.items():  # fmt: skip
            told[name] = (await bench.get(path)).json
        told["first"] = (await bench.get("/v1/routes?pattern=node&limit=2")).json
        told["second"] = (await bench.get(f"/v1/routes?pattern=node&limit=2&after={told['first']['next']}")).json

    served(tmp_path, play)
    for name, shape in {
        "routes": doc.Routes, "values": doc.Values, "devices": doc.Devices, "commands": doc.Commands
    }.items():  # fmt: skip
        assert msgspec.to_builtins(msgspec.convert(told[name], shape)) == told[name]
    node = [row["route"] for row in told["routes"]["routes"] if row["route"].startswith("node/")]
    assert [row["route"] for each in ("first", "second") for row in told[each]["routes"]] == node[:4]
    assert {row["route"] for row in told["values"]["values"]} <= {row["route"] for row in told["routes"]["routes"]}
    (valve,) = [row for row in told["routes"]["routes"] if row["route"] == "node/node/valve"]
    assert (valve["writable"], valve["minimum"], valve["maximum"], valve["units"]) == (True, 0, 100, "%")


def test_every_door_gives_the_same_answer(tmp_path: Path) -> None:
    told: list[tuple[Any, Any]] = []

    async def play(bench: HttpBench) -> None:
        await bench.set("node/node/valve", 42)
        bench.rig.node_cable.unplug()
        await asyncio.sleep(0.5)
        ask, get = bench.ask, bench.get
        shadow = await ask("shadow", device="node")
        told.append((shadow, (await get(SHADOW)).json))
        told.append(((await ask("commands"))["commands"], (await get("/v1/commands")).json["commands"]))
        (command,) = (await ask("commands"))["commands"]
        one = await ask("command", id=command["id"])
        told.append(
            ({key: one[key] for key in one if key != "detail"}, (await get(f"/v1/commands/{command['id']}")).json)
        )
        routes = bench.gateway.queries.routes(EVERYTHING)
        told.append((sorted(routes, key=lambda row: str(row["route"])), (await get("/v1/routes")).json["routes"]))
        for variant in ("desired", "reported", "effective"):
            route = f"node/node/valve@{variant}"
            value = await ask("get", route=route)
            told.append((timeless(value), timeless((await get(f"/v1/values/{route}")).json | {"route": route})))

    served(tmp_path, play)
    for ours, theirs in told:
        assert msgspec.json.decode(msgspec.json.encode(ours)) == theirs


def timeless(value: dict[str, Any]) -> dict[str, Any]:
    return {key: value[key] for key in value if key != "age_s"}


def test_a_token_for_one_device_shows_that_device_and_no_other(tmp_path: Path) -> None:
    codes: dict[str, int] = {}

    async def play(bench: HttpBench) -> None:
        token = await bench.token("node/**", ("read",))
        for path in (
            "/v1/values?pattern=node", "/v1/routes?pattern=node/node", "/v1/devices?pattern=node", "/v1/devices/node",
            "/v1/history?route=node/node/temperature", "/v1/values", "/v1/values?pattern=n*", "/v1/values?pattern=pump",
            "/v1/devices/pump", "/v1/history?route=pump/motor/speed", "/v1/status", "/v1/ledger/head",
        ):  # fmt: skip
            codes[path] = (await bench.get(path, token=token)).status

    served(tmp_path, play)
    assert list(codes.values()) == [200] * 5 + [403] * 7, codes


def test_a_write_without_token_is_unauthorized_and_one_that_no_grant_allows_is_denied(tmp_path: Path) -> None:
    codes: list[tuple[int, str]] = []

    async def play(bench: HttpBench) -> None:
        narrow = await bench.token("pump/**")
        reading = await bench.token("**", ("read",))
        tokens = (None, narrow, reading, "tg1.bad.token")
        codes.extend([(await bench.http("PUT", VALVE, {"value": 1}, token=token)).code for token in tokens])
        codes.append((await bench.get("/v1/values", token="tg1.bad.token")).code)
        codes.append((await bench.get("/v1/values", token=narrow)).code)
        codes.append((await bench.http("GET", "/v1/values", Authorization="Basic dTpw")).code)
        assert (await bench.get("/v1/values", token=reading)).status == 200

    bench = served(tmp_path, play)
    unauthorized, bad, denied = (401, "unauthorized"), (401, "bad_token"), (403, "denied")
    assert codes == [unauthorized, denied, denied, bad, bad, denied, unauthorized]
    assert bench.records("command_intent") == []
    assert len(bench.records("denied")) == 6


def test_a_set_ends_as_the_cli_says_it(tmp_path: Path) -> None:
    told: list[Told] = []

    async def play(bench: HttpBench) -> None:
        token = await bench.token()
        told.append(await bench.http("PUT", VALVE, {"value": 40, "key": "k"}, token=token))
        told.append(await bench.http("PUT", VALVE, {"value": 40}, token=token, Idempotency_Key="k"))
        bench.order("node behave ignores")
        told.append(await bench.http("PUT", VALVE, {"value": 41, "wait": "0s"}, token=token))
        told.append(await bench.get(f"{told[-1].headers['location']}?wait=3s"))

    served(tmp_path, play)
    first, again, open_, ended = told
    assert (first.status, first.json["outcome"], again.json) == (200, "reported", first.json)
    assert (open_.status, open_.json["outcome"]) == (202, None)
    assert (ended.status, ended.json["id"], ended.json["outcome"]) == (200, open_.json["id"], "exhausted")
    assert msgspec.to_builtins(msgspec.convert(first.json, doc.Result)) == first.json


REFUSALS: list[tuple[str, Any, dict[str, str], tuple[int, str]]] = [
    (VALVE, b"", {}, (400, "malformed")),
    (VALVE, b"{", {}, (400, "malformed")),
    (VALVE, b"\xff\xfe", {}, (400, "malformed")),
    (VALVE, b"[" * 60_000, {}, (400, "malformed")),
    (VALVE, [1], {}, (400, "malformed")),
    (VALVE, {}, {}, (400, "malformed")),
    (VALVE, {"value": 1, "more": 1}, {}, (400, "malformed")),
    (VALVE, {"value": 1, "wait": "soon"}, {}, (400, "malformed")),
    (VALVE, {"value": 1, "wait": -1}, {}, (400, "malformed")),
    (VALVE, {"value": 1, "key": ""}, {}, (400, "malformed")),
    (VALVE, {"value": 1, "key": "a"}, {"Idempotency_Key": "b"}, (400, "malformed")),
    (f"{VALVE}?now=1", {"value": 1}, {}, (400, "malformed")),
    (VALVE, {"value": 1}, {"Content_Type": "text/plain"}, (415, "media_type")),
    (VALVE, b" " * 70_000, {}, (413, "too_large")),
    (VALVE, {"value": "warm"}, {}, (422, "type")),
    (VALVE, {"value": None}, {}, (422, "type")),
    (VALVE, {"value": 101}, {}, (422, "range")),
    (VALVE, {"value": 1, "expires": 1e9}, {}, (422, "range")),
    ("/v1/devices/node/setpoints/node/nothing", {"value": 1}, {}, (404, "unknown_route")),
    ("/v1/devices/nobody/setpoints/node/valve", {"value": 1}, {}, (404, "unknown_route")),
    ("/v1/devices/NODE/setpoints/node/valve", {"value": 1}, {}, (404, "unknown_route")),
    ("/v1/devices/node/setpoints/node", {"value": 1}, {}, (404, "unknown_path")),
    ("/v1/values", {"value": 1}, {}, (405, "method")),
]


def test_what_cannot_be_done_is_refused_by_its_code_and_nothing_is_sent(tmp_path: Path) -> None:
    codes: list[tuple[int, str]] = []

    async def play(bench: HttpBench) -> None:
        token = await bench.token()
        for path, body, headers, _ in REFUSALS:
            codes.append((await bench.http("PUT", path, body, token=token, **headers)).code)

    bench = served(tmp_path, play)
    assert codes == [expected for *_, expected in REFUSALS]
    assert bench.records("command_intent") == []


def test_a_key_that_names_another_command_and_an_interlock_say_so(tmp_path: Path) -> None:
    codes: list[tuple[int, str]] = []

    async def play(bench: HttpBench) -> None:
        token = await bench.token()
        assert (await bench.http("PUT", VALVE, {"value": 1, "key": "k"}, token=token)).status == 200
        codes.append((await bench.http("PUT", VALVE, {"value": 2, "key": "k"}, token=token)).code)
        await bench.ask("wall", target="node", verb="write", state="off")
        codes.append((await bench.http("PUT", VALVE, {"value": 3}, token=token)).code)

    served(tmp_path, play)
    assert codes == [(422, "key_reused"), (403, "denied")]


def test_a_shadow_is_changed_by_who_has_seen_its_version(tmp_path: Path) -> None:
    told: list[Told] = []

    async def play(bench: HttpBench) -> None:
        token = await bench.token()

        async def patch(body: Any, **headers: str) -> Told:
            return await bench.http("PATCH", SHADOW, body, token=token, **headers)

        def wanting(value: Any, name: str = "valve") -> dict[str, Any]:
            return {"state": {"desired": {name: value}}}

        tag = (await bench.get(SHADOW)).headers["etag"]
        told.append(await bench.http("GET", SHADOW, If_None_Match=tag))
        told.append(await patch(wanting(20)))
        told.append(await patch(wanting(20), If_Match='"77"'))
        told.append(await patch(wanting(2000), If_Match=tag))
        told.append(await patch(wanting(1, "nothing"), If_Match=tag))
        told.append(await patch({"state": {"reported": {"valve": 1}}}, If_Match=tag))
        told.append(await patch(wanting(20), If_Match=tag))
        told.append(await patch(wanting(21), If_Match=tag))
        told.append(await bench.http("GET", SHADOW, If_None_Match=tag))

    bench = served(tmp_path, play)
    assert (told[0].status, told[0].body) == (304, b"")
    assert [each.code for each in told[1:6]] == [
        (428, "precondition"), (412, "version"), (422, "range"), (404, "unknown_route"), (400, "malformed"),
    ]  # fmt: skip
    assert (told[6].status, told[6].json["state"]["desired"], told[6].json["version"]) == (200, {"valve": 20}, 1)
    assert told[6].headers["etag"] == '"1"'
    assert told[7].code == (412, "version")
    assert told[8].status == 200
    assert [record.body["value"] for record in bench.records("command_intent")] == [20]


def test_of_two_who_change_one_version_at_once_one_is_told_that_it_has_changed(tmp_path: Path) -> None:
    statuses: list[int] = []

    async def play(bench: HttpBench) -> None:
        token = await bench.token()
        tag = (await bench.get(SHADOW)).headers["etag"]
        bodies = [{"state": {"desired": {"valve": value}}} for value in range(8)]
        told = await asyncio.gather(*[bench.http("PATCH", SHADOW, body, token=token, If_Match=tag) for body in bodies])
        statuses.extend(each.status for each in told)

    bench = served(tmp_path, play)
    assert sorted(statuses) == [200] + [412] * 7
    assert len(bench.records("command_intent")) == 1


def test_who_writes_too_often_is_told_when_to_go_on_and_fills_no_ledger(tmp_path: Path) -> None:
    told: list[Told] = []

    async def play(bench: HttpBench) -> None:
        bench.gateway.http.app.allowance = Allowance(per_s=3)  # type: ignore[union-attr]
        told.extend(await asyncio.gather(*[bench.http("PUT", VALVE, {"value": 1}) for _ in range(20)]))

    bench = served(tmp_path, play)
    codes = [each.code for each in told]
    assert set(codes) == {(401, "unauthorized"), (429, "rate")}
    assert all(each.headers["retry-after"] for each in told if each.status == 429)
    assert len(bench.records("denied")) == codes.count((401, "unauthorized")) < 20


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Host": "evil.example"}, (403, "foreign_host")),
        ({"Origin": "http://evil.example"}, (403, "foreign_origin")),
        ({"Origin": "null"}, (403, "foreign_origin")),
    ],
)
def test_a_page_of_another_site_gets_nothing(tmp_path: Path, headers: dict[str, str], code: tuple[int, str]) -> None:
    async def play(bench: HttpBench) -> None:
        assert (await bench.http("GET", "/v1/values", **headers)).code == code

    served(tmp_path, play)


def test_who_has_a_grant_of_its_own_sets_a_motor(tmp_path: Path) -> None:
    async def play(bench: HttpBench) -> None:
        token = await bench.token(SPEED, ("write",))
        told = await bench.http("PUT", "/v1/devices/pump/setpoints/motor/speed", {"value": 900}, token=token)
        assert (told.status, told.json["outcome"]) == (200, "reported")
        assert (await bench.get("/v1/values/pump/motor/speed@desired")).json["value"] == 900

    served(tmp_path, play, devices=("pump",))


def test_beyond_loopback_a_door_needs_a_token_store(tmp_path: Path) -> None:
    http = HttpConfig(listen="0.0.0.0:8443", tls_cert="c.pem", tls_key="k.pem")
    with pytest.raises(ConfigError, match=r"http\.listen"):
        Gateway(SiteConfig(http=http, devices={"gps": DeviceConfig(profile="nmea-gnss", port="/dev/null")}), tmp_path)
