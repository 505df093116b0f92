"""The whole gateway and a real mosquitto: values out, what an outage leaves, and everything that can be said to it."""

from __future__ import annotations

import asyncio
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.ledger import Ledger
from tests.integration.test_ports import FarEnd
from tests.runtime.kit import reading
from tests.sinks.mqtt.kit import (
    ROOT,
    Broker,
    Middle,
    Subscriber,
    all_told,
    during,
    free_port,
    gateway_at,
    needs_broker,
    sink,
    until,
)

pytestmark = needs_broker

TEMPERATURE = "node/climate/temperature"


async def connected(gateway: Any) -> None:
    await until(lambda: gateway.status()["devices"][0]["state"] == "CONNECTED")


def values_in(folder: Path) -> list[tuple[int, float]]:
    """Return number and value of every reading that the ledger holds."""
    with Ledger.open(folder / "data" / "ledger", read_only=True) as ledger:
        found = [record for record in ledger.read() if record.kind == "reading"]
        return [(each.seq, int.from_bytes(each.raw[-2:], "big", signed=True) * 0.5) for each in found]


def test_every_value_comes_on_its_topic_once_with_its_identity(tmp_path: Path, broker: Broker, far: FarEnd) -> None:
    gateway = gateway_at(tmp_path, broker.port, str(tmp_path / "tty"))

    async def scenario() -> None:
        with Subscriber(broker.port) as ear:
            await connected(gateway)
            await until(lambda: all_told(gateway))
            for number in range(50):
                far.send(reading(number))
            await until(lambda: len(ear.on(TEMPERATURE)) >= 50)
            told = ear.on(TEMPERATURE)
            assert [each["v"] for each in told] == [number * 0.5 for number in range(50)]
            assert [each["seq"] for each in told] == sorted({each["seq"] for each in told})
            assert list(told[0]) == ["v", "u", "t", "seq", "inc", "q", "taints"]
            assert (told[0]["u"], told[0]["inc"], told[0]["q"], told[0]["taints"]) == ("Cel", 1, "good", [])

    during(gateway, scenario)
    assert [value for _, value in values_in(tmp_path)] == [number * 0.5 for number in range(50)]


def test_who_comes_later_finds_everything_retained(tmp_path: Path, broker: Broker, far: FarEnd) -> None:
    gateway = gateway_at(tmp_path, broker.port, str(tmp_path / "tty"))

    async def scenario() -> None:
        await connected(gateway)
        far.send(reading(4))
        await until(lambda: gateway.status()["ledger"]["readings"] and all_told(gateway))
        await asyncio.sleep(1.2)  # the look that tells of devices comes once a second
        with Subscriber(broker.port) as ear:
            await until(lambda: ear.on(TEMPERATURE) and ear.on("node/availability") and ear.on("birth"))
            assert ear.on("availability") == ["online"]
            assert ear.on("node/availability") == ["online"]
            assert ear.on(TEMPERATURE)[0]["v"] == 2.0
            (birth,) = ear.on("birth")
            assert list(birth) == ["name", "version", "log", "incarnation", "boot"]
            assert (birth["name"], birth["boot"]) == ("gw", gateway.boot)
            assert all(retained for _, _, retained in ear.heard)

    during(gateway, scenario)


def test_a_clean_end_says_offline(tmp_path: Path, broker: Broker, far: FarEnd) -> None:
    gateway = gateway_at(tmp_path, broker.port, str(tmp_path / "tty"))
    with Subscriber(broker.port) as ear:
        during(gateway, lambda: until(lambda: ear.on("availability")))
        asyncio.run(until(lambda: ear.on("availability") == ["online", "offline"]))


def test_a_device_that_is_pulled_is_offline_and_its_value_is_told_once_more_as_stale(
    tmp_path: Path, broker: Broker, far: FarEnd
) -> None:
    gateway = gateway_at(tmp_path, broker.port, str(tmp_path / "tty"))

    async def scenario() -> None:
        with Subscriber(broker.port) as ear:
            await connected(gateway)
            await until(lambda: all_told(gateway))
            far.send(reading(4))
            await until(lambda: ear.on(TEMPERATURE))
            far.unplug()
            await until(lambda: len(ear.on(TEMPERATURE)) == 2)
            fresh, stale = ear.on(TEMPERATURE)
            assert (fresh["q"], stale["q"]) == ("good", "stale")
            assert stale["t"] == fresh["t"]
            assert stale["seq"] == fresh["seq"]
            await until(lambda: ear.on("node/availability")[-1:] == ["offline"])
            await asyncio.sleep(2.2)
            assert len(ear.on(TEMPERATURE)) == 2

    during(gateway, scenario)


def test_what_came_during_an_outage_follows_in_batches_and_each_topic_has_its_latest(
    tmp_path: Path, broker: Broker, far: FarEnd
) -> None:
    gateway = gateway_at(tmp_path, broker.port, str(tmp_path / "tty"))

    async def scenario() -> None:
        await connected(gateway)
        await until(lambda: all_told(gateway))
        broker.kill()
        for number in range(3000):
            far.send(reading(number))
            if number % 100 == 0:
                await asyncio.sleep(0.005)
        await until(lambda: gateway.status()["ledger"]["readings"] == 3000)
        broker.start()
        with Subscriber(broker.port) as ear:
            await until(lambda: all_told(gateway) and len([1 for each in ear.items() if "v" in each]) >= 3000)
            items = [each for each in ear.items() if each.get("route") == TEMPERATURE]
            assert [each["v"] for each in items] == [number * 0.5 for number in range(3000)]
            assert list(items[0]) == ["route", "v", "u", "t", "seq", "q", "taints"]
            seqs = {each["seq"] for each in ear.on(TEMPERATURE)}
            assert seqs == {items[-1]["seq"]}
            documents = ear.on("batch")
            assert list(documents[0]) == ["log", "incarnation", "from", "to", "items"]
            for before, after in itertools.pairwise(documents):
                assert after["from"] == before["to"] + 1
            assert all(one["from"] <= item["seq"] <= one["to"] for one in documents for item in one["items"])
        assert sink(gateway)["reconnects"] == 1

    during(gateway, scenario)


@pytest.mark.parametrize("way", ["out", "in"])
@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 6, 7, 9, 12])
def test_a_connection_that_ends_at_any_packet_costs_nothing(
    tmp_path: Path, broker: Broker, far: FarEnd, way: str, number: int
) -> None:
    cuts = 3

    async def scenario() -> None:
        async with Middle(broker.port) as middle:
            middle.judge = lambda one, _kind, at: (
                "cut" if middle.connections <= cuts and (one, at) == (way, number) else "pass"
            )
            gateway = gateway_at(tmp_path, middle.port, str(tmp_path / "tty"))
            stop = asyncio.Event()
            async with asyncio.timeout(60), asyncio.TaskGroup() as group:
                group.create_task(gateway.run(stop))
                await connected(gateway)
                for sent in range(300):
                    far.send(reading(sent))
                    await asyncio.sleep(0.002)
                await until(lambda: gateway.status()["ledger"]["readings"] == 300)
                await until(lambda: all_told(gateway))
                stop.set()
        told = [json.loads(payload) for topic, payload in middle.acknowledged if topic == f"{ROOT}/batch"]
        seen = {(item["seq"], item["v"]) for body in told for item in body["items"] if item.get("route") == TEMPERATURE}
        live = [json.loads(payload) for topic, payload in middle.acknowledged if topic == f"{ROOT}/{TEMPERATURE}"]
        seen |= {(each["seq"], each["v"]) for each in live}
        assert not [each for each in values_in(tmp_path) if each not in seen]

    asyncio.run(scenario())


@pytest.mark.parametrize("habit", ["drop", "twice"])
def test_a_broker_that_acknowledges_too_much_or_too_little_loses_nothing(
    tmp_path: Path, broker: Broker, far: FarEnd, habit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.sinks.mqtt.broker.ACK_TIMEOUT_S", 1.0)

    async def scenario() -> None:
        async with Middle(broker.port) as middle:
            middle.judge = lambda way, kind, at: (
                habit if (way, kind) == ("in", 4) and at % 5 == 0 and middle.connections <= 2 else "pass"
            )
            gateway = gateway_at(tmp_path, middle.port, str(tmp_path / "tty"))
            stop = asyncio.Event()
            async with asyncio.timeout(60), asyncio.TaskGroup() as group:
                group.create_task(gateway.run(stop))
                await connected(gateway)
                for sent in range(200):
                    far.send(reading(sent))
                    await asyncio.sleep(0.002)
                await until(lambda: gateway.status()["ledger"]["readings"] == 200 and all_told(gateway))
                stop.set()
        bodies = [(topic, json.loads(payload)) for topic, payload in middle.acknowledged if payload[:1] == b"{"]
        seen = {(body["seq"], body["v"]) for topic, body in bodies if topic == f"{ROOT}/{TEMPERATURE}"}
        for topic, body in bodies:
            if topic == f"{ROOT}/batch":
                seen |= {(item["seq"], item["v"]) for item in body["items"] if item["route"] == TEMPERATURE}
        assert not [each for each in values_in(tmp_path) if each not in seen]

    asyncio.run(scenario())


def test_a_gateway_that_is_started_again_goes_on_where_it_was(tmp_path: Path, broker: Broker, far: FarEnd) -> None:
    first = gateway_at(tmp_path, broker.port, str(tmp_path / "tty"))

    async def send(gateway: Any, count: int) -> None:
        await connected(gateway)
        for number in range(count):
            far.send(reading(number))
        await until(lambda: gateway.status()["ledger"]["readings"] == count)

    async def before() -> None:
        await send(first, 100)
        await until(lambda: all_told(first))
        broker.kill()
        far.send(*[reading(number) for number in range(100, 200)])
        await until(lambda: first.status()["ledger"]["readings"] == 200)

    during(first, before)
    broker.start()
    second = gateway_at(tmp_path, broker.port, str(tmp_path / "tty"))
    with Subscriber(broker.port) as ear:
        during(second, lambda: until(lambda: all_told(second)))
        values = [item["v"] for item in ear.items() if item["route"] == TEMPERATURE]
    assert values[-100:] == [number * 0.5 for number in range(100, 200)]
    assert len(values) <= 200


def test_batches_take_the_place_of_single_values_where_the_site_says_so(
    tmp_path: Path, broker: Broker, far: FarEnd
) -> None:
    gateway = gateway_at(tmp_path, broker.port, str(tmp_path / "tty"), format="batch")

    async def scenario() -> None:
        with Subscriber(broker.port) as ear:
            await connected(gateway)
            for number in range(500):
                far.send(reading(number))
            await until(lambda: len([1 for item in ear.items() if item["route"] == TEMPERATURE]) >= 500)
            assert ear.on(TEMPERATURE) == []
            documents = ear.on("batch")
            for before, after in itertools.pairwise(documents):
                assert after["from"] == before["to"] + 1

    during(gateway, scenario)


def test_a_broker_that_is_not_there_stops_nothing(tmp_path: Path, far: FarEnd) -> None:
    gateway = gateway_at(tmp_path, free_port(), str(tmp_path / "tty"))

    async def scenario() -> None:
        await connected(gateway)
        far.send(reading(1))
        await until(lambda: gateway.status()["ledger"]["readings"] == 1)
        await until(lambda: sink(gateway)["state"] == "disconnected" and sink(gateway)["lag"] > 0)

    during(gateway, scenario)


def test_a_broker_that_refuses_us_is_asked_again(tmp_path: Path, far: FarEnd) -> None:
    port = free_port()
    broker = Broker(tmp_path, f"listener {port} 127.0.0.1", "allow_anonymous false")
    broker.port = port
    with broker:
        gateway = gateway_at(tmp_path, port, str(tmp_path / "tty"))
        during(gateway, lambda: until(lambda: sink(gateway)["state"] == "disconnected"))


def test_a_broker_that_takes_only_small_messages_gets_small_ones(tmp_path: Path, far: FarEnd) -> None:
    port = free_port()
    broker = Broker(tmp_path, f"listener {port} 127.0.0.1", "allow_anonymous true", "max_packet_size 2000")
    broker.port = port
    gateway = gateway_at(tmp_path, port, str(tmp_path / "tty"))

    async def scenario() -> None:
        await connected(gateway)
        for number in range(300):
            far.send(reading(number))
        await until(lambda: gateway.status()["ledger"]["readings"] == 300)
        with broker, Subscriber(port) as ear:
            await until(lambda: all_told(gateway), 60)
            values = [item["v"] for item in ear.items() if item.get("route") == TEMPERATURE]
            assert sorted(set(values)) == [number * 0.5 for number in range(300)]
            assert sink(gateway)["set_aside"] == 0

    during(gateway, scenario)
