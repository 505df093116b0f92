"""What may be said to a gateway through a broker: commands, shadows, questions; and what nobody should say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.app import Gateway
from gateway.authority.settings import GrantConfig
from gateway.config import GatewayConfig, MqttConfig
from gateway.ledger import Ledger, Record
from hil.sim.rig import Rig
from tests.sinks.mqtt.kit import GRANTS, ROOT, Broker, Subscriber, needs_broker, sink, until

pytestmark = needs_broker

VALVE = "node/node/valve@desired"


class Bench:
    """A gateway with simulated devices, its broker, and an ear that may speak."""

    def __init__(self, gateway: Gateway, ear: Subscriber, folder: Path) -> None:
        self.gateway = gateway
        self.ear = ear
        self.folder = folder

    async def up(self) -> None:
        def is_up() -> bool:
            told = self.gateway._dispatch.twins["node"].view()
            return (
                sink(self.gateway)["state"] == "connected"
                and not told["stale"]
                and "valve" in told["state"]["reported"]
            )

        await until(is_up)

    async def answers(self, topic: str, count: int = 1) -> list[Any]:
        await until(lambda: len(self.ear.on(topic)) >= count)
        return self.ear.on(topic)

    def commands(self) -> list[Record]:
        with Ledger.open(self.folder / "data" / "ledger", read_only=True) as ledger:
            return [item for item in ledger.read() if isinstance(item, Record) and item.kind == "command_intent"]


def on_bench(
    folder: Path, broker: Broker, scenario: Callable[[Bench], Awaitable[Any]], grants: dict[str, GrantConfig] = GRANTS
) -> Bench:
    async def run() -> Bench:
        with Rig(folder / "devices") as rig, Subscriber(broker.port) as ear:
            site = msgspec.structs.replace(
                rig.site(),
                gateway=GatewayConfig(name="gw"),
                mqtt=MqttConfig(host="127.0.0.1", port=broker.port),
                grants=grants,
            )
            bench = Bench(Gateway(site, folder / "data"), ear, folder)
            stop = asyncio.Event()
            async with asyncio.timeout(90), asyncio.TaskGroup() as group:
                living = group.create_task(rig.run())
                group.create_task(bench.gateway.run(stop))
                try:
                    await bench.up()
                    await scenario(bench)
                finally:
                    stop.set()
                    living.cancel()
            return bench

    return asyncio.run(run())


@pytest.mark.parametrize("payload", ["40", '{"value": 40, "key": "a", "expires": "5s", "wait": 1}'])
def test_a_command_is_answered_when_it_is_recorded_and_when_it_ends(
    tmp_path: Path, broker: Broker, payload: str
) -> None:
    async def scenario(bench: Bench) -> None:
        bench.ear.say(f"{VALVE}/set", payload)
        begun, ended = await bench.answers(f"{VALVE}/result", 2)
        assert (begun["outcome"], begun["desired"]) == (None, 40)
        assert (ended["outcome"], ended["id"], ended["reported"]) == ("reported", begun["id"], 40)
        assert list(ended) == [
            "id", "route", "outcome", "reason", "desired", "reported", "effective", "clamped", "coherence", "attempts",
            "receipt", "key",
        ]  # fmt: skip
        await asyncio.sleep(0.5)
        assert len(bench.ear.on(f"{VALVE}/result")) == 2
        assert not [topic for topic, _, retained in bench.ear.heard if topic.endswith("/result") and retained]

    (intent,) = on_bench(tmp_path, broker, scenario).commands()
    assert intent.body["principal"] == "service:mqtt"


REFUSED = [
    ("41000", "range"),
    ('"wide"', "type"),
    ("wide open", "type"),
    ("[1, 2]", "type"),
    ("null", "type"),
    ('{"value": 1, "speed": 2}', "malformed"),
    ('{"speed": 2}', "malformed"),
    ("{", "malformed"),
    ("", "malformed"),
    (b"\xff\xfe\x00", "malformed"),
    ('{"value": 1, "expires": "soon"}', "malformed"),
    ('{"value": 1, "expires": -3}', "range"),
    ('{"value": 1, "key": 7}', "malformed"),
    ("[" * 2000, "malformed"),
    (b"x" * 100_000, "malformed"),
    ("9" * 400, "range"),
]


def test_what_is_no_command_is_refused_once_with_a_reason_and_nothing_is_done(tmp_path: Path, broker: Broker) -> None:
    async def scenario(bench: Bench) -> None:
        for count, (payload, reason) in enumerate(REFUSED, 1):
            bench.ear.say(f"{VALVE}/set", payload)
            told = (await bench.answers(f"{VALVE}/result", count))[-1]
            assert (told["id"], told["outcome"], told["reason"]) == (None, None, reason), payload
        assert bench.gateway.status()["devices"][0]["fault"] is None

    assert on_bench(tmp_path, broker, scenario).commands() == []


def test_a_retained_command_is_ignored(tmp_path: Path, broker: Broker) -> None:
    with Subscriber(broker.port) as before:
        before.say(f"{VALVE}/set", "40", retain=True)
        asyncio.run(until(lambda: before.on(f"{VALVE}/set")))

    async def scenario(bench: Bench) -> None:
        bench.ear.say("request/commands", "{}")
        await bench.answers("response/commands")
        assert bench.ear.on(f"{VALVE}/result") == []

    assert on_bench(tmp_path, broker, scenario).commands() == []


def test_without_a_grant_nothing_may_be_set_or_asked(tmp_path: Path, broker: Broker) -> None:
    async def scenario(bench: Bench) -> None:
        bench.ear.say(f"{VALVE}/set", "40")
        (told,) = await bench.answers(f"{VALVE}/result")
        assert (told["id"], told["reason"]) == (None, "denied")
        for name in ("status", "devices", "routes", "commands"):
            bench.ear.say(f"request/{name}", '{"id": 1}')
            (answer,) = await bench.answers(f"response/{name}")
            assert (answer["ok"], answer["error"]["code"]) == (False, "denied")
        bench.ear.say("node/@shadow/get", "")
        (refused,) = await bench.answers("node/@shadow/get/rejected")
        assert refused["code"] == "denied"

    on_bench(tmp_path, broker, scenario, {})


def test_topics_beside_the_known_ones_do_nothing(tmp_path: Path, broker: Broker) -> None:
    strange = [
        "node/node/valve/set", "node/node/valve@reported/set", "node/node/VALVE@desired/set", "x/y/a b@desired/set",
        "node/@shadow/get/accepted", "No/@shadow/get", "request/a b", "request/" + "x" * 1000,
    ]  # fmt: skip

    async def scenario(bench: Bench) -> None:
        for topic in strange:
            bench.ear.say(topic, "40")
        bench.ear.say("request/commands", '{"id": "last"}')
        (answer,) = await bench.answers("response/commands")
        assert answer == {"id": "last", "ok": True, "data": {"commands": []}}
        known = {topic for topic, _, _ in bench.ear.heard if topic.endswith(("/result", "/rejected", "/accepted"))}
        assert known <= {f"{ROOT}/node/@shadow/get/accepted"}

    on_bench(tmp_path, broker, scenario)


def test_questions_are_answered_with_what_the_command_line_prints(tmp_path: Path, broker: Broker) -> None:
    async def scenario(bench: Bench) -> None:
        ear = bench.ear
        ear.say("request/get", json.dumps({"id": 1, "route": "node/node/valve@reported"}))
        ear.say("request/shadow", json.dumps({"id": 2, "device": "node"}))
        ear.say("request/devices", "")
        ear.say("request/routes", json.dumps({"id": 4, "pattern": "node"}))
        ear.say("request/status", json.dumps({"id": 5}))
        (got,) = await bench.answers("response/get")
        assert (got["id"], got["ok"], "route" in got["data"], got["data"]["units"]) == (1, True, False, "%")
        (shadow,) = await bench.answers("response/shadow")
        assert shadow["data"]["device"] == "node"
        (devices,) = await bench.answers("response/devices")
        assert devices["id"] is None
        assert {each["name"] for each in devices["data"]["devices"]} == {"node", "gps", "pump", "tag"}
        (routes,) = await bench.answers("response/routes")
        assert {each["route"].partition("/")[0] for each in routes["data"]["routes"]} == {"node"}
        (status,) = await bench.answers("response/status")
        assert list(status["data"]["sinks"][0]) == ["name", "state", "cursor", "lag", "set_aside", "reconnects"]

    on_bench(tmp_path, broker, scenario)


def test_a_question_that_is_none_is_told_why(tmp_path: Path, broker: Broker) -> None:
    wrong = [
        ("get", '{"id": 1, "route": "a/b"}', "unknown_route"),
        ("get", '{"id": 1}', "malformed"),
        ("get", "[]", "malformed"),
        ("shadow", '{"id": 1, "device": "nobody"}', "usage"),
        ("status", '{"id": 1, "more": 2}', "malformed"),
        ("routes", '{"id": 1, "pattern": 3}', "malformed"),
        ("routes", '{"id": 1, "pattern": "a/b/c/d"}', "unknown_route"),
        ("reload", '{"id": 1}', "unknown_request"),
        ("issue_token", "{", "malformed"),
    ]

    async def scenario(bench: Bench) -> None:
        for name, payload, code in wrong:
            count = len(bench.ear.on(f"response/{name}"))
            bench.ear.say(f"request/{name}", payload)
            answer = (await bench.answers(f"response/{name}", count + 1))[-1]
            assert (answer["ok"], answer["error"]["code"]) == (False, code), (name, payload)

    on_bench(tmp_path, broker, scenario)


def test_a_shadow_is_read_updated_and_refused(tmp_path: Path, broker: Broker) -> None:
    async def scenario(bench: Bench) -> None:
        ear = bench.ear
        ear.say("node/@shadow/get", "")
        (view,) = await bench.answers("node/@shadow/get/accepted")
        body = {"state": {"desired": {"valve": 35}}, "version": view["version"], "clientToken": "mine"}
        ear.say("node/@shadow/update", json.dumps(body))
        (after,) = await bench.answers("node/@shadow/update/accepted")
        assert (after["state"]["desired"]["valve"], after["clientToken"]) == (35, "mine")
        ear.say("node/@shadow/update", json.dumps(body))
        (refused,) = await bench.answers("node/@shadow/update/rejected")
        assert refused["code"] == "version"
        ear.say("node/@shadow/update", '{"state": {"desired": {"nothing": 1}}}')
        assert (await bench.answers("node/@shadow/update/rejected", 2))[-1]["code"] == "unknown_route"
        ear.say("node/@shadow/update", '{"state": {"desired": {"valve": 1e6}}}')
        assert (await bench.answers("node/@shadow/update/rejected", 3))[-1]["code"] == "range"
        ear.say("node/@shadow/update", '{"state": {"reported": {"valve": 1}}}')
        assert (await bench.answers("node/@shadow/update/rejected", 4))[-1]["code"] == "malformed"

    on_bench(tmp_path, broker, scenario)


def test_a_flood_of_commands_is_answered_and_the_device_is_still_there(tmp_path: Path, broker: Broker) -> None:
    async def scenario(bench: Bench) -> None:
        for number in range(2000):
            bench.ear.say(f"{VALVE}/set", json.dumps({"value": number % 50, "key": f"k{number}"}))
            bench.ear.say("request/status", "{}")
            if number % 20 == 0:
                await asyncio.sleep(0)  # the valve lives on this loop too, and must go on saying how it stands
        await until(lambda: len(bench.ear.on("response/status")) >= 2000, 60)
        results = bench.ear.on(f"{VALVE}/result")
        # a machine that cannot keep up lets the valve fall silent too, and a silent valve is not moved: `interlock`
        assert {each["reason"] for each in results if each["id"] is None} <= {"rate", "interlock"}
        assert sink(bench.gateway)["state"] in {"connected", "draining"}
        assert bench.gateway.status()["devices"][0]["fault"] is None

    on_bench(tmp_path, broker, scenario)
