"""The whole gateway, a real mosquitto, and a strict reader of SenML."""

from __future__ import annotations

import asyncio
import itertools
import json
from pathlib import Path
from typing import Any

from tests.integration.test_mqtt import connected, values_in
from tests.integration.test_ports import FarEnd
from tests.runtime.kit import reading
from tests.sinks.mqtt.kit import ROOT, Broker, Subscriber, all_told, during, gateway_at, needs_broker, until
from tests.sinks.senml_rules import Resolved, resolve

pytestmark = needs_broker

NAME = "node/climate/temperature"


def packs(ear: Subscriber) -> list[bytes]:
    return [payload for topic, payload, _ in ear.heard if topic == f"{ROOT}/senml"]


def records(ear: Subscriber) -> list[Resolved]:
    return [record for each in packs(ear) for record in resolve(each)]


def test_every_value_comes_once_as_senml_with_its_identity(tmp_path: Path, broker: Broker, far: FarEnd) -> None:
    gateway = gateway_at(tmp_path, broker.port, str(tmp_path / "tty"), format="senml")

    async def scenario() -> None:
        with Subscriber(broker.port) as ear:
            await connected(gateway)
            await until(lambda: all_told(gateway))
            for number in range(50):
                far.send(reading(number))
            await until(lambda: sum(record.name == NAME for record in records(ear)) >= 50)
            told = [record for record in records(ear) if record.name == NAME]
            assert [record.value for record in told] == [number * 0.5 for number in range(50)]
            assert {record.unit for record in told} == {"Cel"}
            seqs = [record.extra["tg-seq"] for record in told]
            assert seqs == sorted(set(seqs))
            (birth,) = ear.on("birth")
            for each in map(json.loads, packs(ear)):
                assert (each[0]["tg-log"], each[0]["tg-inc"]) == (birth["log"], birth["incarnation"])
            assert not any(retained for topic, _, retained in ear.heard if topic.endswith("/senml"))

    during(gateway, scenario)
    assert [value for _, value in values_in(tmp_path)] == [number * 0.5 for number in range(50)]


def test_what_an_outage_left_goes_to_the_batch_topic_and_both_topics_leave_nothing_out(
    tmp_path: Path, broker: Broker, far: FarEnd
) -> None:
    gateway = gateway_at(tmp_path, broker.port, str(tmp_path / "tty"), format="senml")
    covered: list[tuple[int, int]] = []

    async def scenario() -> None:
        await connected(gateway)
        await until(lambda: all_told(gateway))
        broker.kill()
        for number in range(300):
            far.send(reading(number))
        await until(lambda: gateway.status()["ledger"]["readings"] == 300)
        broker.start()
        with Subscriber(broker.port) as ear:
            await until(lambda: all_told(gateway) and len(ear.items()) >= 300)
            for number in range(300, 350):
                far.send(reading(number))
            await until(lambda: sum(record.name == NAME for record in records(ear)) >= 50)
            old = [item["v"] for item in ear.items() if item["route"] == NAME]
            new = [record.value for record in records(ear) if record.name == NAME]
            assert old + new == [number * 0.5 for number in range(350)]
            covered.extend((each["from"], each["to"]) for each in ear.on("batch"))
            covered.extend((each[0]["tg-from"], each[0]["tg-to"]) for each in map(json.loads, packs(ear)))

    during(gateway, scenario)
    for (_, before), (after, _) in itertools.pairwise(covered):
        assert after == before + 1


def test_what_senml_cannot_say_goes_to_the_batch_topic(tmp_path: Path, broker: Broker, far: FarEnd) -> None:
    profile = """
[profile]
id     = "test/node@1.0.0"
family = "climate"
[link]
bus = "uart"
[framing]
kind = "cobs"
[record]
at_most = "0s"
[message.reading]
when   = { bytes = { 0 = 1 } }
fields = [
  { type = "u8", const = 1 },
  { name = "temperature", type = "s16be", scale = 0.5, units = "Cel", invalid = -1 },
]
"""
    gateway = gateway_at(tmp_path, broker.port, str(tmp_path / "tty"), profile, format="senml")

    async def scenario() -> None:
        with Subscriber(broker.port) as ear:
            await connected(gateway)
            await until(lambda: all_told(gateway))
            far.send(reading(2), reading(-1), reading(4))
            await until(lambda: sum(record.name == NAME for record in records(ear)) >= 2)
            bad: list[dict[str, Any]] = []
            await until(lambda: bad or bad.extend(each for each in ear.items() if each.get("q") == "bad") or bad)
            assert [(each["route"], each["v"]) for each in bad] == [(NAME, None)]
            assert [record.value for record in records(ear) if record.name == NAME] == [1.0, 2.0]
            await asyncio.sleep(0)

    during(gateway, scenario)
