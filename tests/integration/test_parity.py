"""Every question through every door that takes it: the command line, HTTP and a broker give one answer."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from gateway.authority.settings import GrantConfig
from gateway.config import MqttConfig
from gateway.ledger import Ledger
from tests.api import kit
from tests.api.kit import HttpBench, served
from tests.cli.ledgers import said, tidegate
from tests.integration.test_ports import until
from tests.sinks.mqtt.kit import Broker, Subscriber, needs_broker, sink

TEMPERATURE = "node/node/temperature"
ROUTES = (TEMPERATURE, "node/node/valve", *(f"node/node/valve@{each}" for each in ("desired", "reported", "effective")))
BROKERED = GrantConfig(principal="service:mqtt", routes="**", verbs=["read", "write"])
AGES = {"age_s", "uptime", "since", "last_error_age_s"}


class Doors:
    """One gateway, asked in three ways."""

    def __init__(self, bench: HttpBench, ear: Subscriber) -> None:
        self._bench = bench
        self._ear = ear
        self._base = f"tidegate/{bench.gateway.name}"

    async def cli(self, *arguments: str) -> Any:
        """Return what a command that asks the running gateway prints."""
        return await self._printed(*arguments, "--json", "--data", self._bench.folder / "data")

    async def ledger(self, *arguments: str) -> Any:
        """Return what a command that reads the ledger prints."""
        return await self._printed(*arguments, "--dir", self._bench.folder / "data" / "ledger")

    async def http(self, path: str) -> Any:
        told = await self._bench.get(path)
        assert told.status == 200, told
        return told.json

    async def listed(self, name: str) -> list[Any]:
        """Return a list over HTTP, page by page."""
        rows: list[Any] = []
        after = ""
        while True:
            told = await self.http(f"/v1/{name}?limit=3{after}")
            rows += told[name]
            if told["next"] is None:
                return rows
            after = f"&after={quote(told['next'])}"

    async def mqtt(self, name: str, **args: Any) -> Any:
        """Return the data that a request is answered with."""
        topic = f"{self._base}/response/{name}"
        before = len(self._heard(topic))
        self._ear.client.publish(f"{self._base}/request/{name}", json.dumps({"id": before, **args}), qos=1)
        await until(lambda: len(self._heard(topic)) > before, 30)
        told = self._heard(topic)[-1]
        assert (told["id"], told["ok"]) == (before, True), told
        return told["data"]

    async def shadow_topic(self, device: str) -> Any:
        topic = f"{self._base}/{device}/@shadow/get"
        self._ear.client.publish(topic, b"", qos=1)
        await until(lambda: self._heard(f"{topic}/accepted"), 30)
        return self._heard(f"{topic}/accepted")[-1]

    def _heard(self, topic: str) -> list[Any]:
        return [json.loads(payload) for name, payload, _ in self._ear.heard if name == topic]

    async def _printed(self, *arguments: object) -> Any:
        code, text = said(await asyncio.to_thread(tidegate, *arguments))
        assert code == 0, (arguments, text)
        return json.loads(text)


def still(told: Any) -> Any:
    """Return an answer without what time alone changes."""
    if isinstance(told, dict):
        return {key: still(value) for key, value in told.items() if key not in AGES}
    return [still(each) for each in told] if isinstance(told, list) else told


def shape(told: Any) -> Any:
    """Return which keys stand where."""
    if isinstance(told, dict):
        return {key: shape(value) for key, value in told.items()}
    return [shape(each) for each in told] if isinstance(told, list) else None


def by(key: str, rows: list[Any]) -> list[Any]:
    return sorted(rows, key=lambda row: str(row[key]))


async def same_state(doors: Doors) -> None:
    for route in ROUTES:
        ours = still(await doors.cli("get", route))
        assert still(await doors.http(f"/v1/values/{route}")) == ours
        assert still(await doors.mqtt("get", route=route)) == ours
        if "@" not in route and route == TEMPERATURE:
            (row,) = (await doors.http(f"/v1/values?pattern={route}"))["values"]
            assert still(row) == ours | {"route": route}
    routes = by("route", (await doors.cli("routes"))["routes"])
    assert await doors.listed("routes") == routes
    assert by("route", (await doors.mqtt("routes"))["routes"]) == routes
    node = [row for row in routes if row["route"].startswith("node/")]
    assert by("route", (await doors.mqtt("routes", pattern="node"))["routes"]) == node
    assert (await doors.http("/v1/routes?pattern=node"))["routes"] == node
    commands = await doors.cli("commands")
    assert await doors.mqtt("commands") == commands
    assert await doors.listed("commands") == commands["commands"]
    shadow = await doors.cli("shadow", "node")
    assert await doors.http("/v1/devices/node/shadow") == shadow
    assert await doors.mqtt("shadow", device="node") == shadow
    assert await doors.shadow_topic("node") == shadow


async def same_account(doors: Doors) -> None:
    """Compare what changes all the time by its shape, and by what of it stays."""
    devices = (await doors.cli("devices"))["devices"]
    for theirs in (await doors.listed("devices"), (await doors.mqtt("devices"))["devices"]):
        assert by("name", shape_of_rows(theirs)) == by("name", shape_of_rows(devices))
    status = await doors.cli("status")
    for theirs in (await doors.http("/v1/status"), await doors.mqtt("status")):
        assert shape(theirs).keys() == shape(status).keys()
        assert shape(theirs["devices"]) == shape(status["devices"])
        assert shape(theirs["sinks"]) == shape(status["sinks"])
        for key in ("name", "boot", "version", "pid", "data"):
            assert theirs[key] == status[key]


def shape_of_rows(rows: list[Any]) -> list[Any]:
    kept = ("name", "label", "profile", "title", "port", "bus", "target", "messages")
    return [shape(row) | {key: row[key] for key in kept} for row in rows]


async def same_past(doors: Doors) -> None:
    head = await doors.ledger("ledger", "head", "--json")
    assert shape(await doors.http("/v1/ledger/head")) == shape(head)
    last = head["seq"]
    exported = await asyncio.to_thread(tidegate, "ledger", "export", "--dir", doors._bench.folder / "data" / "ledger")
    lines = [json.loads(line) for line in exported.stdout.splitlines()][:last]
    entries: list[Any] = []
    while len(entries) < last:
        page = await doors.http(f"/v1/ledger/entries?limit=400&after={len(entries)}")
        entries += page["entries"]
    assert entries[:last] == lines
    for deep in ("", "?deep=true"):
        theirs = await doors.http(f"/v1/ledger/verify{deep}")
        ours = await doors.ledger("ledger", "verify", "--json", *(["--deep"] if deep else []))
        assert theirs.keys() == ours.keys()
        assert (theirs["verdict"], theirs["damage"], theirs["gaps"]) == ("intact", ours["damage"], ours["gaps"])
    ours = await doors.ledger("history", TEMPERATURE, "--json")
    theirs = await doors.http(f"/v1/history?route={TEMPERATURE}&limit=1000")
    count = min(len(ours["points"]), len(theirs["points"]))
    assert count > 0
    assert theirs["points"][:count] == ours["points"][:count]
    assert (theirs["route"], theirs["units"]) == (ours["route"], ours["units"]) == (TEMPERATURE, "Cel")
    seq = ours["points"][0]["seq"]
    results = [line["seq"] for line in lines if line["kind"] == "command_result"]
    for of in (str(seq), f"{TEMPERATURE}#{seq}", str(results[-1])):
        assert await doors.http(f"/v1/ledger/why?of={quote(of)}") == await doors.ledger("why", of, "--json")


@needs_broker
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_every_door_gives_the_same_answer_to_every_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kit, "GRANTS", kit.GRANTS | {"broker": BROKERED})
    with Broker(tmp_path) as broker, Subscriber(broker.port) as ear:

        async def play(bench: HttpBench) -> None:
            await bench.set("node/node/valve", 42)
            await until(lambda: sink(bench.gateway)["state"] == "connected", 30)
            bench.rig.node_cable.unplug()
            await until(lambda: bench.gateway.status()["devices"][0]["state"] != "CONNECTED", 30)
            doors = Doors(bench, ear)

            with Ledger.open(tmp_path / "data" / "ledger", read_only=True) as ledger:  # a window of telemetry is in it
                await until(lambda: any(each.kind == "reading" for each in ledger.read()), 30)
            await same_state(doors)
            await same_account(doors)
            await same_past(doors)

        mqtt = MqttConfig(host="127.0.0.1", port=broker.port)
        served(tmp_path, play, mqtt=mqtt, limit_s=200)
