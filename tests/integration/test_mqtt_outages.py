"""Brokers that are killed under load, and one that is away for hours: what was recorded comes out, once, in order."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from gateway.api.follow.stream import HELD_RECORDS, WAITING_RECORDS
from gateway.app import Gateway
from gateway.authority.decision import Caller
from gateway.config import GatewayConfig, MqttConfig
from gateway.ledger import Ledger
from gateway.testing import FakeClock
from hil.sim.rig import Rig
from tests.integration.test_ports import FarEnd
from tests.runtime.kit import reading
from tests.sinks.mqtt.kit import (
    GRANTS,
    ROOT,
    Broker,
    Middle,
    Subscriber,
    all_told,
    gateway_at,
    needs_broker,
    sink,
    until,
)

pytestmark = needs_broker

KILLS = 50
BURST, BURSTS = 20, 20  # readings at once, and so often between two kills
TEMPERATURE = "node/climate/temperature"
OUTAGE_S, STEP_S, PER_STEP = 6 * 3600, 60, 120  # two readings a second
TURN = 2**15  # values before they begin anew
SET_S = 10.0  # generous: on a loaded machine, and far below what an outage or a drain takes


async def running(gateway: Gateway, scenario: Callable[[], Awaitable[Any]], limit_s: float = 240) -> None:
    stop = asyncio.Event()
    async with asyncio.timeout(limit_s), asyncio.TaskGroup() as group:
        group.create_task(gateway.run(stop))
        try:
            await until(lambda: gateway.status()["devices"][0]["state"] == "CONNECTED")
            await scenario()
        finally:
            stop.set()


def recorded(folder: Path) -> list[tuple[int, float]]:
    """Return number and value of every reading that the ledger holds."""
    with Ledger.open(folder / "data" / "ledger", read_only=True) as ledger:
        found = [record for record in ledger.read() if record.kind == "reading"]
        return [(each.seq, int.from_bytes(each.raw[-2:], "big", signed=True) * 0.5) for each in found]


def told_by(middle: Middle) -> tuple[list[list[tuple[int, float]]], list[Any]]:
    """Return what each topic told of the temperature, number and value, as the broker took it; and all gaps."""
    live, batch, gaps = [], [], []
    for topic, payload in middle.acknowledged:
        if topic == f"{ROOT}/{TEMPERATURE}":
            body = json.loads(payload)
            live.append((body["seq"], body["v"]))
        if topic == f"{ROOT}/batch":
            for item in json.loads(payload)["items"]:
                if "gap" in item:
                    gaps.append(item)
                elif item["route"] == TEMPERATURE:
                    batch.append((item["seq"], item["v"]))
    return [live, batch], gaps


def test_a_broker_that_is_killed_fifty_times_under_load_loses_nothing_and_mixes_nothing_up(
    tmp_path: Path, broker: Broker
) -> None:
    far = FarEnd(tmp_path / "tty")

    async def scenario() -> None:
        async with Middle(broker.port) as middle:
            gateway = gateway_at(tmp_path, middle.port, str(tmp_path / "tty"))

            async def killing() -> None:
                await until(lambda: all_told(gateway))
                numbers = itertools.count()
                for _ in range(KILLS):
                    for burst in range(BURSTS):
                        far.send(*map(reading, itertools.islice(numbers, BURST)))
                        await asyncio.sleep(0.005)
                        if burst == BURSTS // 2:
                            broker.kill()
                    before = middle.connections
                    broker.start()
                    await until(lambda: middle.connections > before)  # noqa: B023 - awaited in this turn
                await until(lambda: all_told(gateway), 60)

            await running(gateway, killing)
        topics, gaps = told_by(middle)
        wanted = recorded(tmp_path)
        assert not gaps
        assert [value for _, value in wanted] == [number * 0.5 for number in range(KILLS * BURSTS * BURST)]
        assert set(wanted) == set(itertools.chain(*topics))  # told, and nothing else is: a number is one value's
        for topic in topics:
            first_told = list(dict.fromkeys(topic))
            assert first_told == sorted(first_told)
        assert sink(gateway)["set_aside"] == 0
        assert sink(gateway)["reconnects"] >= KILLS

    asyncio.run(scenario())


def test_six_hours_without_a_broker_come_afterwards_whole_and_in_bounded_memory(tmp_path: Path, broker: Broker) -> None:
    far = FarEnd(tmp_path / "tty")
    clock = FakeClock(wall_ns=1_795_000_000_000_000_000)
    gateway = gateway_at(tmp_path, broker.port, str(tmp_path / "tty"), clock=clock)
    count = OUTAGE_S // STEP_S * PER_STEP

    def most_held() -> int:
        assert gateway.following is not None
        stream = gateway.following.stream
        return stream._held_records + stream._waiting_records

    async def outage() -> None:
        await until(lambda: all_told(gateway))
        broker.kill()
        numbers, most = itertools.count(), 0
        for _ in range(OUTAGE_S // STEP_S):
            sent = gateway.status()["ledger"]["readings"] + PER_STEP
            far.send(*(reading(number % TURN) for number in itertools.islice(numbers, PER_STEP)))
            await until(lambda: gateway.status()["ledger"]["readings"] == sent)  # noqa: B023 - awaited in this turn
            clock.advance(STEP_S)
            most = max(most, most_held())
        assert sink(gateway)["lag"] >= count
        assert most <= 2 * HELD_RECORDS + WAITING_RECORDS
        broker.start()
        with Subscriber(broker.port) as ear:
            await until(lambda: all_told(gateway), 120)
            await until(lambda: sum(item.get("route") == TEMPERATURE for item in ear.items()) >= count)
            items = [item for item in ear.items() if item.get("route") == TEMPERATURE]
            assert [item["v"] for item in items] == [number % TURN * 0.5 for number in range(count)]
            assert items[-1]["t"] - items[0]["t"] == OUTAGE_S - STEP_S
            assert not [item for item in ear.items() if "gap" in item]
            assert {each["seq"] for each in ear.on(TEMPERATURE)} == {items[-1]["seq"]}

    asyncio.run(running(gateway, outage))


def test_commands_are_obeyed_while_a_broker_comes_and_goes(tmp_path: Path, broker: Broker) -> None:
    async def run() -> None:
        with Rig(tmp_path / "devices") as rig:
            mqtt = MqttConfig(host="127.0.0.1", port=broker.port)
            site = msgspec.structs.replace(rig.site(), gateway=GatewayConfig(name="gw"), mqtt=mqtt, grants=GRANTS)
            gateway = Gateway(site, tmp_path / "data")

            async def commanding() -> None:
                await until(lambda: "valve" in gateway._dispatch.twins["node"].view()["state"]["reported"])
                for turn in range(6):
                    (broker.start if turn % 2 else broker.kill)()
                    ask = {"route": "node/node/valve", "value": 20 + turn, "wait_s": SET_S}
                    async with asyncio.timeout(SET_S):
                        told = await gateway.asks.answer("set", ask, Caller(principal="service:mqtt"))
                    assert told["outcome"] == "reported", told

            stop = asyncio.Event()
            async with asyncio.timeout(120), asyncio.TaskGroup() as group:
                living = group.create_task(rig.run())
                group.create_task(gateway.run(stop))
                try:
                    await commanding()
                finally:
                    stop.set()
                    living.cancel()

    asyncio.run(run())
