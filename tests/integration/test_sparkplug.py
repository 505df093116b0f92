"""The Sparkplug edge node over a real broker: sessions, outages, commands; rules are `test_sparkplug_rules`'s."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from gateway.ledger import Ledger
from gateway.sinks.sparkplug.values import DataType
from tests.integration.test_mqtt import values_in
from tests.integration.test_ports import FarEnd
from tests.runtime.kit import reading
from tests.sinks.mqtt.kit import Broker, all_told, during, gateway_at, needs_broker, until
from tests.sinks.sparkplug.kit import Host, Tap, edge_node, in_state, kinds, profile, pull, quiet, spark

pytestmark = needs_broker

TEMPERATURE = "climate/temperature"


def test_every_value_comes_as_data_of_its_device_once_and_in_order(tmp_path: Path, broker: Broker, far: FarEnd) -> None:
    gateway = edge_node(tmp_path, broker.port)

    async def scenario() -> None:
        with Host(broker.port) as host:
            await in_state(gateway, "CONNECTED")
            await until(lambda: host.told("DBIRTH", "node"))
            await quiet(gateway)
            for number in range(300):
                far.send(reading(number))
            await until(lambda: len(host.data("node", TEMPERATURE)) >= 300)
            told = host.data("node", TEMPERATURE)
            assert [each["value"] for each in told] == [number * 0.5 for number in range(300)]
            seqs = [each["properties"]["seq"]["value"] for each in told]
            assert seqs == sorted(set(seqs))
            await quiet(gateway)

    during(gateway, scenario)
    assert [value for _, value in values_in(tmp_path)] == [number * 0.5 for number in range(300)]


def test_what_came_during_an_outage_is_told_oldest_first_as_history_and_nothing_is_lost(
    tmp_path: Path, broker: Broker, far: FarEnd
) -> None:
    async def scenario() -> None:
        async with Tap(broker.port) as tap:
            gateway = edge_node(tmp_path, tap.port)
            stop = asyncio.Event()
            async with asyncio.timeout(90), asyncio.TaskGroup() as group:
                group.create_task(gateway.run(stop))
                await in_state(gateway, "CONNECTED")
                await quiet(gateway)
                broker.kill()
                for number in range(2000):
                    far.send(reading(number))
                    if number % 100 == 0:
                        await asyncio.sleep(0.005)
                await until(lambda: gateway.status()["ledger"]["readings"] == 2000)
                broker.start()
                await until(lambda: spark(gateway)["reconnects"] >= 1)
                await quiet(gateway)
                far.send(reading(7777))
                await until(lambda: gateway.status()["ledger"]["readings"] == 2001)
                await quiet(gateway)
                stop.set()
            last = max(each.connection for each in tap.messages)
            verbs = [each.verb for each in tap.messages if each.connection == last]
            assert verbs[:3] == ["NBIRTH", "DBIRTH", "DDATA"]
            birth = next(each for each in tap.messages if each.connection == last and each.verb == "DBIRTH")
            (metric,) = [each for each in birth.payload["metrics"] if each["name"] == TEMPERATURE]
            assert metric["value"] == 999.5
            told = [
                each
                for message in tap.told("DDATA", "node")
                if message.connection == last
                for each in message.payload["metrics"]
                if each["alias"] == metric["alias"]
            ]
            assert [each["value"] for each in told if each.get("is_historical")] == [n * 0.5 for n in range(2000)]
            assert [each["value"] for each in told if not each.get("is_historical")] == [3888.5]

    asyncio.run(scenario())


def test_a_broker_that_is_killed_again_and_again_loses_nothing(tmp_path: Path, broker: Broker, far: FarEnd) -> None:
    kills = 6
    heard: list[Any] = []

    async def scenario() -> None:
        async with Tap(broker.port) as tap:
            gateway = edge_node(tmp_path, tap.port)
            stop = asyncio.Event()
            async with asyncio.timeout(100), asyncio.TaskGroup() as group:
                group.create_task(gateway.run(stop))
                await in_state(gateway, "CONNECTED")
                await quiet(gateway)
                for round_ in range(kills):
                    for number in range(20):
                        far.send(*[reading(round_ * 400 + number * 20 + each) for each in range(20)])
                        await asyncio.sleep(0.005)
                        if number == 10:
                            broker.kill()
                    broker.start()
                await quiet(gateway)
                stop.set()
        heard.extend(metric for each in tap.told("DDATA", "node") for metric in each.payload["metrics"])
        numbers = [each.will["metrics"][0]["value"] for each in tap.connects]
        assert numbers == sorted(set(numbers))

    asyncio.run(scenario())
    seen = {(each["properties"]["seq"]["value"], each.get("value")) for each in heard}
    wanted = values_in(tmp_path)
    assert len(wanted) == kills * 400
    assert not [each for each in wanted if each not in seen]


def test_a_broker_that_is_not_there_uses_up_no_number(tmp_path: Path, broker: Broker, far: FarEnd) -> None:
    broker.kill()
    gateway = edge_node(tmp_path, broker.port)

    async def scenario() -> None:
        await until(lambda: spark(gateway)["state"] == "disconnected")
        await asyncio.sleep(1.5)  # several attempts
        broker.start()
        await quiet(gateway)

    during(gateway, scenario)
    with Ledger.open(tmp_path / "data" / "ledger", read_only=True) as ledger:
        told = [each.body for each in ledger.read() if each.kind == "state"]
    assert told == [{"bdseq": 0}]


def test_a_gateway_that_is_started_again_goes_on_with_the_next_number_and_where_it_was(
    tmp_path: Path, broker: Broker, far: FarEnd
) -> None:
    first = edge_node(tmp_path, broker.port)

    async def before() -> None:
        await in_state(first, "CONNECTED")
        await quiet(first)
        broker.kill()
        far.send(*[reading(number) for number in range(100)])
        await until(lambda: first.status()["ledger"]["readings"] == 100)

    with Host(broker.port) as host:
        during(first, before)
        (birth,) = host.told("NBIRTH")
        assert birth.value("bdSeq") == 0
    broker.start()
    with Host(broker.port) as host:
        second = edge_node(tmp_path, broker.port)
        during(second, lambda: quiet(second))
        asyncio.run(until(lambda: host.told("NDEATH")))
        (birth,) = host.told("NBIRTH")
        assert birth.value("bdSeq") > 0
        values = [each["value"] for each in host.data("node", TEMPERATURE)]
        assert values == [number * 0.5 for number in range(100)]
        assert all(each["is_historical"] for each in host.data("node", TEMPERATURE))


def test_history_of_a_device_that_is_not_there_is_told_between_a_birth_of_stale_values_and_its_death(
    tmp_path: Path, broker: Broker, far: FarEnd
) -> None:
    first = edge_node(tmp_path, broker.port)

    async def before() -> None:
        await in_state(first, "CONNECTED")
        await quiet(first)
        broker.kill()
        far.send(*[reading(number) for number in range(50)])
        await until(lambda: first.status()["ledger"]["readings"] == 50)

    during(first, before)
    pull(far, tmp_path)
    broker.start()
    with Host(broker.port) as host:
        second = edge_node(tmp_path, broker.port)
        during(second, lambda: until(lambda: host.told("DDEATH", "node")))
        assert [each.verb for each in host.heard if each.device == "node"] == ["DBIRTH", "DDATA", "DDEATH"]
        (birth,) = host.told("DBIRTH", "node")
        assert {each["properties"]["Quality"]["value"] for each in birth.payload["metrics"]} == {500}
        assert birth.value(TEMPERATURE) == 24.5
        told = host.data("node", TEMPERATURE)
        assert [each["value"] for each in told] == [number * 0.5 for number in range(50)]


def test_a_reload_that_changes_what_a_device_has_lets_it_be_born_again(
    tmp_path: Path, broker: Broker, far: FarEnd
) -> None:
    gateway = edge_node(tmp_path, broker.port)

    async def scenario() -> None:
        with Host(broker.port) as host:
            await in_state(gateway, "CONNECTED")
            await until(lambda: host.told("DBIRTH", "node"))
            changed = profile().replace('name = "byte", ', 'name = "octet", units = "Cel", ')
            (tmp_path / "p.toml").write_text(changed.replace("node@1.0.0", "node@1.1.0"))
            await gateway.reloader.reload("test", within_s=30, is_dry_run=False)
            await until(lambda: "kinds/octet" in host.aliases("node"))
            far.send(kinds(byte=3))
            await until(lambda: host.data("node", "kinds/octet"))
            assert host.data("node", "kinds/octet")[0]["value"] == 3

    during(gateway, scenario)


def test_a_value_that_its_data_type_cannot_carry_gets_a_birth_with_a_wider_one(
    tmp_path: Path, broker: Broker, far: FarEnd
) -> None:
    gateway = edge_node(tmp_path, broker.port)

    async def scenario() -> None:
        with Host(broker.port) as host:
            await in_state(gateway, "CONNECTED")
            await until(lambda: host.told("DBIRTH", "node"))
            metric = gateway.sinks._sinks[1]._delivery.catalogue.of("node")["kinds/word"]  # type: ignore[attr-defined]
            metric.kind = DataType.UINT8
            far.send(kinds(word=40_000))
            await until(lambda: len(host.told("DBIRTH", "node")) == 2 and host.data("node", "kinds/word"))
            (born,) = [
                each for each in host.told("DBIRTH", "node")[1].payload["metrics"] if each["name"] == "kinds/word"
            ]
            assert (born["datatype"], born["value"]) == (DataType.INT64, 40_000)
            assert host.data("node", "kinds/word")[0]["field"] == "long_value"

    during(gateway, scenario)


def test_a_device_that_is_pulled_dies_after_its_last_value_and_is_born_again_when_it_is_back(
    tmp_path: Path, broker: Broker, far: FarEnd
) -> None:
    gateway = edge_node(tmp_path, broker.port)

    async def scenario() -> None:
        with Host(broker.port) as host:
            await in_state(gateway, "CONNECTED")
            await until(lambda: host.told("DBIRTH", "node"))
            far.send(reading(4))
            await until(lambda: host.data("node", TEMPERATURE))
            pull(far, tmp_path)
            await until(lambda: host.told("DDEATH", "node"))
            births = len(host.told("DBIRTH", "node"))
            back = FarEnd(tmp_path / "tty")
            await until(lambda: len(host.told("DBIRTH", "node")) > births)
            assert host.told("DBIRTH", "node")[-1].value(TEMPERATURE) == 2.0
            back.send(reading(6))
            await until(lambda: host.data("node", TEMPERATURE)[-1]["value"] == 3.0)
            verbs = [each.verb for each in host.heard if each.device == "node"]
            assert verbs.index("DDEATH") > verbs.index("DDATA")
            assert verbs.count("DDEATH") == 1

    during(gateway, scenario)


def test_a_value_that_goes_stale_is_told_once_more_as_it_was_with_quality_500(
    tmp_path: Path, broker: Broker, far: FarEnd
) -> None:
    gateway = edge_node(tmp_path, broker.port, profile("1s"))

    async def scenario() -> None:
        with Host(broker.port) as host:
            await in_state(gateway, "CONNECTED")
            await until(lambda: host.told("DBIRTH", "node"))
            await quiet(gateway)
            far.send(reading(4))
            await until(lambda: len(host.data("node", TEMPERATURE)) == 2)
            fresh, stale = host.data("node", TEMPERATURE)
            assert "Quality" not in fresh["properties"] or fresh["properties"]["Quality"]["value"] == 192
            assert stale["properties"]["Quality"]["value"] == 500
            assert (stale["value"], stale["timestamp"]) == (fresh["value"], fresh["timestamp"])
            far.send(reading(6))
            await until(lambda: len(host.data("node", TEMPERATURE)) >= 3)
            assert host.data("node", TEMPERATURE)[2]["properties"]["Quality"]["value"] == 192

    during(gateway, scenario)


def test_without_the_key_no_second_connection_is_made(tmp_path: Path, broker: Broker, far: FarEnd) -> None:
    gateway = gateway_at(tmp_path, broker.port, str(tmp_path / "tty"))

    async def scenario() -> None:
        await until(lambda: all_told(gateway))
        assert [each["name"] for each in gateway.status()["sinks"]] == ["mqtt"]

    during(gateway, scenario)
