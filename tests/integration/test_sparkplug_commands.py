"""What hosts may say to the edge node: setpoints, births; and what nobody should say."""

from __future__ import annotations

import asyncio
import json
import random
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
from tests.sinks.mqtt.kit import GRANTS, Broker, needs_broker, until
from tests.sinks.sparkplug.kit import GROUP, Host, command, field, quiet, rebirth, spark

pytestmark = needs_broker

VALVE = "node/valve"
ROUTE = "node/node/valve@desired"


class Bench:
    """A gateway with simulated devices, its broker, and a host."""

    def __init__(self, gateway: Gateway, host: Host, folder: Path) -> None:
        self.gateway = gateway
        self.host = host
        self.folder = folder

    async def up(self) -> None:
        def is_up() -> bool:
            told = self.gateway._dispatch.twins["node"].view()
            return not told["stale"] and "valve" in told["state"]["reported"]

        await until(is_up)
        await quiet(self.gateway)
        await until(lambda: self.host.told("DBIRTH", "node"))

    def fact(self, name: str) -> Any:
        told = self.host.data(None, name)
        return told[-1]["value"] if told else None

    async def counted(self, name: str, count: int) -> None:
        await until(lambda: (self.fact(name) or 0) >= count)

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(each["value"]) for each in self.host.data("node", f"{VALVE}@event")]

    def commands(self) -> list[Record]:
        with Ledger.open(self.folder / "data" / "ledger", read_only=True) as ledger:
            return [item for item in ledger.read() if isinstance(item, Record) and item.kind == "command_intent"]


def on_bench(
    folder: Path, broker: Broker, scenario: Callable[[Bench], Awaitable[Any]], grants: dict[str, GrantConfig] = GRANTS
) -> Bench:
    async def run() -> Bench:
        with Rig(folder / "devices") as rig, Host(broker.port) as host:
            site = msgspec.structs.replace(
                rig.site(),
                gateway=GatewayConfig(name="gw"),
                mqtt=MqttConfig(host="127.0.0.1", port=broker.port, sparkplug=GROUP),
                grants=grants,
            )
            bench = Bench(Gateway(site, folder / "data"), host, folder)
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


def by_name(name: str) -> bytes:
    return field(1, name)


VALUES = {
    "double": field(13, 40.0),
    "float": field(12, 40.0, wire=5),
    "int": field(10, 40),
    "typed": field(4, 10) + field(13, 40.0),
    "long": field(4, 8) + field(11, 40),
}


@pytest.mark.parametrize("kind", VALUES)
def test_a_command_by_alias_or_name_sets_and_its_events_tell_what_became_of_it(
    tmp_path: Path, broker: Broker, kind: str
) -> None:
    async def scenario(bench: Bench) -> None:
        alias = bench.host.aliases("node")[VALVE]
        place = by_name(VALVE) if kind == "typed" else field(2, alias)
        bench.host.say(command(place + VALUES[kind]), "node")
        await until(lambda: [each for each in bench.events() if each["kind"] == "command_result"])
        intent = bench.events()[0]
        assert (intent["kind"], bench.events()[-1]["outcome"]) == ("command_intent", "reported")
        assert bench.host.data("node", f"{VALVE}@desired")[-1]["value"] == 40
        await until(lambda: [each for each in bench.host.data("node", VALVE) if each["value"] == 40])

    (intent,) = on_bench(tmp_path, broker, scenario).commands()
    assert (intent.route, intent.body["principal"], intent.body["value"]) == (ROUTE, "service:mqtt", 40)


def test_a_setpoint_that_nobody_reports_under_its_name_is_born_with_what_reports_it(
    tmp_path: Path, broker: Broker
) -> None:
    async def scenario(bench: Bench) -> None:
        births = len(bench.host.told("DBIRTH", "node"))
        bench.host.say(rebirth())
        await until(lambda: len(bench.host.told("DBIRTH", "node")) > births)
        birth = bench.host.told("DBIRTH", "node")[-1]
        names = {each["name"]: each for each in birth.payload["metrics"]}
        assert {VALVE, f"{VALVE}@desired", f"{VALVE}@effective", f"{VALVE}@event"} <= names.keys()
        told = {name: each["value"] for name, each in names[VALVE]["properties"].items()}
        assert (told["readOnly"], told["engUnit"], told["engLow"], told["engHigh"]) == (False, "%", 0, 100)
        assert names[VALVE]["value"] == names["node/valve_position"]["value"]

    on_bench(tmp_path, broker, scenario)


REFUSED = [
    (field(13, 4100.0), "range"),
    (field(15, "wide open"), "type"),
    (field(14, 1), "type"),
    (field(7, 1), "type"),
    (b"", "type"),
    (field(16, b"\0\1"), "type"),
    (field(13, float("nan")), "type"),
    (field(4, 99) + field(10, 40), "type"),
    (field(13, 40.3), "step"),
]


def test_what_cannot_be_set_is_refused_with_a_reason_and_nothing_is_done(tmp_path: Path, broker: Broker) -> None:
    async def scenario(bench: Bench) -> None:
        for count, (value, reason) in enumerate(REFUSED, 1):
            bench.host.say(command(by_name(VALVE) + value), "node")
            await bench.counted("Commands/Refused", count)
            told = json.loads(bench.fact("Commands/Last Refusal"))
            assert told["route"] == ROUTE
            assert told["reason"] == reason, value
        assert bench.gateway.status()["devices"][0]["fault"] is None

    assert on_bench(tmp_path, broker, scenario).commands() == []


def test_without_a_grant_nothing_may_be_set(tmp_path: Path, broker: Broker) -> None:
    async def scenario(bench: Bench) -> None:
        bench.host.say(command(by_name(VALVE) + VALUES["double"]), "node")
        await bench.counted("Commands/Refused", 1)
        assert json.loads(bench.fact("Commands/Last Refusal"))["reason"] == "denied"

    assert on_bench(tmp_path, broker, scenario, {}).commands() == []


def test_a_retained_command_is_ignored(tmp_path: Path, broker: Broker) -> None:
    with Host(broker.port) as before:
        before.say(command(by_name(VALVE) + VALUES["double"]), "node", qos=1, retain=True)
        before.client.publish("done", b"", qos=1).wait_for_publish(10)

    async def scenario(bench: Bench) -> None:
        await until(lambda: bench.host.told("NDATA"))
        await bench.counted("Commands/Ignored", 1)

    assert on_bench(tmp_path, broker, scenario).commands() == []


def hostile() -> list[tuple[bytes, str | None]]:
    chance = random.Random(6)
    valve = by_name(VALVE) + VALUES["double"]
    return [
        (b"\xff" * 40, "node"),
        (b"\x12\xff\xff\xff\xff\x0f", "node"),  # a length far beyond the end
        (chance.randbytes(2000), "node"),
        (chance.randbytes(2000), None),
        (b"\x0b" * 5000, "node"),  # groups in groups
        (b"x" * 100_000, "node"),
        (command(*[field(2, number) for number in range(1, 2000)]), "node"),
        (command(*[b""] * 20_000), None),
        (command(valve), "nobody"),
        (command(field(2, 2**63) + VALUES["double"]), "node"),
        (command(by_name("node/nothing") + VALUES["double"]), "node"),
        (command(by_name("identity/firmware") + field(15, "2.0")), "node"),  # read only
        (command(by_name("node/" + "x" * 60_000) + VALUES["double"]), "node"),
        (command(by_name("Node Control/Reboot") + field(14, 1)), None),
        (command(by_name("Node Control/Rebirth") + field(10, 1)), None),
        (command(by_name("Node Control/Rebirth") + field(15, "true")), None),
        (command(by_name("bdSeq") + field(11, 0)), None),
        (b'{"metrics": []}', "node"),
    ]


def test_what_is_no_command_is_counted_and_does_nothing(tmp_path: Path, broker: Broker) -> None:
    async def scenario(bench: Bench) -> None:
        births = len(bench.host.told("NBIRTH"))
        for payload, device in hostile():
            before = bench.gateway.sinks._sinks[1]._facts["Commands/Ignored"].value  # type: ignore[attr-defined]
            bench.host.say(payload, device)
            facts = bench.gateway.sinks._sinks[1]._facts  # type: ignore[attr-defined]
            await until(lambda facts=facts, before=before: facts["Commands/Ignored"].value > before)  # type: ignore[misc]
        assert len(bench.host.told("NBIRTH")) == births
        assert spark(bench.gateway)["reconnects"] == 0
        bench.host.say(rebirth())
        await until(lambda: len(bench.host.told("NBIRTH")) == births + 1)

    assert on_bench(tmp_path, broker, scenario).commands() == []


def test_a_payload_without_metrics_is_nothing(tmp_path: Path, broker: Broker) -> None:
    async def scenario(bench: Bench) -> None:
        for payload in (b"", command(), rebirth(0)):
            bench.host.say(payload)
            bench.host.say(payload, "node")
        bench.host.say(rebirth())
        await until(lambda: len(bench.host.told("NBIRTH")) == 2)

    assert on_bench(tmp_path, broker, scenario).commands() == []


def test_a_flood_of_commands_and_births_asked_for_leaves_the_device_working(tmp_path: Path, broker: Broker) -> None:
    async def scenario(bench: Bench) -> None:
        for number in range(1000):
            bench.host.say(command(by_name(VALVE) + field(13, float(number % 50))), "node")
            bench.host.say(rebirth())
            if number % 20 == 0:
                await asyncio.sleep(0)
        await until(lambda: len(bench.host.told("NBIRTH")) >= 3)
        await until(lambda: spark(bench.gateway)["lag"] == 0, 60)
        assert len(bench.host.told("NBIRTH")) < 100
        assert bench.gateway.status()["devices"][0]["fault"] is None
        assert spark(bench.gateway)["reconnects"] == 0

    on_bench(tmp_path, broker, scenario)
