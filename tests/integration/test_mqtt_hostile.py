"""A whole gateway and a broker that refuses, lies, cuts, floods and says nothing: it is left and tried again."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.app import Gateway
from tests.integration.test_ports import FarEnd
from tests.runtime.kit import reading
from tests.sinks.mqtt.fake_broker import (
    CONNECT,
    PUBACK,
    PUBLISH,
    SUBSCRIBE,
    WELCOME,
    FakeBroker,
    Script,
    Visit,
    length,
    puback,
    publish,
)
from tests.sinks.mqtt.kit import ROOT, gateway_at, sink, until

VALVE = f"{ROOT}/node/climate/valve@desired/set".encode()


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.sinks.mqtt.broker.RETRY_FIRST_S", 0.01)
    monkeypatch.setattr("gateway.sinks.mqtt.broker.RETRY_MOST_S", 0.05)
    monkeypatch.setattr("gateway.sinks.mqtt.connection.CONNECT_TIMEOUT_S", 1.0)


def against(folder: Path, script: Script, check: Callable[[Gateway, FakeBroker], Any], **changes: Any) -> Gateway:
    """Let a gateway meet a broker until `check` holds; the gateway lives, and its device too."""

    async def run() -> Gateway:
        async with FakeBroker(script) as broker:
            gateway = gateway_at(folder, broker.port, str(folder / "tty"), **changes)
            stop = asyncio.Event()
            async with asyncio.timeout(60), asyncio.TaskGroup() as group:
                group.create_task(gateway.run(stop))
                try:
                    await until(lambda: check(gateway, broker), 50)
                    await until(lambda: is_up(gateway))
                finally:
                    stop.set()
            return gateway

    return asyncio.run(run())


def is_up(gateway: Gateway) -> bool:
    return bool(gateway.status()["devices"][0]["state"] == "CONNECTED")


async def welcomed(visit: Visit) -> None:
    await visit.until(CONNECT)
    await visit.say(WELCOME)
    await visit.until(SUBSCRIBE)


def in_peace(gateway: Gateway, broker: FakeBroker) -> bool:
    told = sink(gateway)
    return broker.connections >= 2 and told["state"] == "connected" and told["lag"] == 0


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (1, "protocol"),
        (2, "identifier"),
        (3, "unavailable"),
        (4, "user name or password"),
        (5, "authorized"),
        (6, "refuses|ended|closes"),
        (255, "refuses|ended|closes"),
    ],
)
def test_a_broker_that_refuses_us_is_told_of_by_its_reason_once_and_asked_again(
    tmp_path: Path, far: FarEnd, code: int, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def refuse(visit: Visit) -> None:
        await visit.until(CONNECT)
        await visit.say(bytes((0x20, 2, 0, code)))
        await visit.take()

    gateway = against(tmp_path, refuse, lambda gateway, broker: broker.connections >= 4)
    assert sink(gateway)["reconnects"] == 0
    told = [record.getMessage() for record in caplog.records if record.getMessage().startswith("mqtt:")]
    assert len(told) == 1
    assert re.search(why, told[0], re.IGNORECASE), told


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"\x20\x01\x00", id="a short CONNACK"),
        pytest.param(b"\x20\x00", id="an empty CONNACK"),
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", id="HTTP"),
        pytest.param(b"\x00\x00\x00\x00", id="zeros"),
        pytest.param(b"\x30\xff\xff\xff\xff\xff", id="a length of five bytes"),
        pytest.param(WELCOME + b"\x40\x00", id="an empty PUBACK"),
        pytest.param(WELCOME + b"\x40\x01\x01", id="a short PUBACK"),
        pytest.param(WELCOME + b"\x30\x01\x00", id="a PUBLISH without topic"),
        pytest.param(WELCOME + b"\x30\x04\x00\xffab", id="a topic beyond its packet"),
        pytest.param(WELCOME + b"\x30\x03\x00\x00a", id="an empty topic"),
        pytest.param(WELCOME + b"\x32\x03\x00\x01a", id="a PUBLISH without number"),
        pytest.param(WELCOME + b"\x36\x05\x00\x01a\x00\x01", id="QoS 3"),
        pytest.param(WELCOME + b"\x34\x05\x00\x01a\x00\x01", id="QoS 2, which was not asked for"),
        pytest.param(WELCOME + b"\x90\x00", id="an empty SUBACK"),
        pytest.param(WELCOME + b"\xf0\x00", id="a packet of kind 15"),
        pytest.param(WELCOME + b"\x10\x00", id="a CONNECT"),
        pytest.param(WELCOME + b"\x30" + length(300_000), id="a packet beyond what is taken"),
        pytest.param(b"", id="the end"),
    ],
)
def test_what_is_no_mqtt_costs_the_connection_and_nothing_else(
    tmp_path: Path, far: FarEnd, said: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def script(visit: Visit) -> None:
        await visit.until(CONNECT)
        if visit.number == 1:
            await visit.say(said)
            if not said:
                return
            while True:
                await visit.take()  # until it goes
        await visit.say(WELCOME)
        await visit.behave()

    against(tmp_path, script, in_peace)
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize("seed", range(6))
def test_random_bytes_for_a_broker_cost_connections_and_nothing_else(
    tmp_path: Path, far: FarEnd, seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    chance = random.Random(seed)

    async def script(visit: Visit) -> None:
        await visit.until(CONNECT)
        await visit.say(WELCOME)
        if visit.number > 30:
            await visit.behave()
        for _ in range(20):
            body = chance.randbytes(chance.choice((0, 1, 2, 3, 7, 60)))
            await visit.say(bytes((chance.randrange(256),)) + length(len(body)) + body)

    def is_over(gateway: Gateway, broker: FakeBroker) -> bool:
        return broker.connections > 30 and in_peace(gateway, broker)

    against(tmp_path, script, is_over)
    assert not [record for record in caplog.records if record.exc_info]


def test_a_broker_that_acknowledges_what_was_never_sent_moves_nothing(
    tmp_path: Path, far: FarEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.sinks.mqtt.broker.ACK_TIMEOUT_S", 1.0)
    cursors: list[int] = []
    gateway: list[Gateway] = []

    async def script(visit: Visit) -> None:
        if visit.number > 1:
            cursors.append(sink(gateway[0])["cursor"])
            await visit.behave()
        await welcomed(visit)
        await until(lambda: gateway and is_up(gateway[0]))
        far.send(*[reading(number) for number in range(50)])
        for _ in range(30):
            mid = await visit.mid()
            await visit.say(puback((mid + 40_000) % 65_536) + bytes((0x50, 2)) + mid.to_bytes(2, "big"))
        while True:
            await visit.take()

    def is_over(found: Gateway, broker: FakeBroker) -> bool:
        gateway[:] = [found]
        return in_peace(found, broker) and found.status()["ledger"]["readings"] == 50

    against(tmp_path, script, is_over)
    assert cursors[0] < sink(gateway[0])["cursor"] - 49


def test_a_broker_that_takes_the_connection_and_says_nothing_is_left(tmp_path: Path, far: FarEnd) -> None:
    visits: list[int] = []

    async def script(visit: Visit) -> None:
        visits.append(visit.number)
        if visit.number > 2:
            await visit.behave()
        while True:
            await visit.take()

    against(tmp_path, script, in_peace)
    assert max(visits) > 2


def test_a_broker_that_grants_no_subscription_is_told_of(
    tmp_path: Path, far: FarEnd, caplog: pytest.LogCaptureFixture
) -> None:
    async def script(visit: Visit) -> None:
        await visit.until(CONNECT)
        await visit.say(WELCOME)
        body = await visit.until(SUBSCRIBE)
        await visit.say(bytes((0x90, 6)) + body[:2] + b"\x80\x01\x80\x01")
        await visit.behave()

    against(
        tmp_path, script, lambda gateway, _: sink(gateway)["state"] == "connected" and "subscription" in caplog.text
    )
    (told,) = [record.getMessage() for record in caplog.records if "subscription" in record.getMessage()]
    assert f"{ROOT}/+/+/+/set" in told
    assert f"{ROOT}/+/@shadow/update" in told
    assert "@shadow/get" not in told


def test_a_flood_from_the_broker_is_answered_message_by_message(tmp_path: Path, far: FarEnd) -> None:
    found = dict.fromkeys(("acks", "status", "done"), 0)
    many = 6_000

    async def shout(visit: Visit) -> None:
        asked = publish(f"{ROOT}/request/status".encode(), b'{"id": 1}', qos=1)
        odd = publish(f"{ROOT}/node/climate/+/set".encode(), b"x" * 50, qos=1)
        for _ in range(many // 100):
            await visit.say((asked + odd) * 50)

    async def script(visit: Visit) -> None:
        await welcomed(visit)
        async with asyncio.TaskGroup() as group:
            group.create_task(shout(visit))
            while found["acks"] < many or found["status"] < many // 2:
                kind, body = await visit.take()
                if kind == PUBACK:
                    found["acks"] += 1
                elif kind == PUBLISH:
                    size = int.from_bytes(body[:2], "big")
                    found["status"] += body[2 : 2 + size].endswith(b"/response/status")
                    await visit.say(puback(int.from_bytes(body[2 + size : 4 + size], "big")))
        found["done"] = 1
        await visit.behave()

    gateway = against(tmp_path, script, lambda *_: found.get("done"))
    assert sink(gateway)["reconnects"] == 0


def test_topics_with_wildcards_and_control_characters_do_nothing(tmp_path: Path, far: FarEnd) -> None:
    told: list[str] = []
    strange = [
        b"+/gw/request/status", b"#", b"/", ROOT.encode() + b"/request/\x00", ROOT.encode() + b"/request/a\nb",
        ROOT.encode() + b"/+/@shadow/get", ROOT.encode() + b"/request/#", ROOT.encode() + b"/\xff\xfe/@shadow/get",
        ROOT.encode() + b"/a/b/c@desired/set/set", ROOT.encode() + b"/../gw/request/status", b"x" * 60_000,
    ]  # fmt: skip

    async def script(visit: Visit) -> None:
        await welcomed(visit)
        for topic in strange:
            await visit.say(publish(topic, b"1", qos=1))
        await visit.say(publish(f"{ROOT}/request/commands".encode(), json.dumps({"id": "last"}).encode()))
        while True:
            body = await visit.until(PUBLISH)
            size = int.from_bytes(body[:2], "big")
            topic = body[2 : 2 + size].decode()
            await visit.say(puback(int.from_bytes(body[2 + size : 4 + size], "big")))
            if "/response/" in topic or topic.endswith(("/result", "ed")):
                told.append(topic)

    against(tmp_path, script, lambda *_: told)
    assert told == [f"{ROOT}/response/commands"]
