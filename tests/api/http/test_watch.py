"""Values as they come, through a real socket: in order, resumed without loss, and with what is missing told."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from gateway.api.http import protocol
from gateway.api.http import watch as watching
from gateway.api.settings import HttpConfig
from gateway.app import Gateway
from gateway.config import DeviceConfig, SiteConfig
from gateway.ledger import Ledger, Record
from tests.api.kit import VALVE, HttpBench, free_port, served
from tests.integration.test_ports import until
from tests.runtime.kit import COBS, reading
from tests.test_app import log


class Events:
    """A reader of server-sent events that says how much it wants."""

    def __init__(self, port: int, path: str, *, receives: int | None = None, **headers: str) -> None:
        self.socket = socket.socket()
        if receives is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
        self.socket.settimeout(20)
        self.socket.connect(("127.0.0.1", port))
        head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        self.socket.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n{head}\r\n".encode())
        self.file = self.socket.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        while self.file.readline().strip():
            pass

    def take(self, count: int) -> list[tuple[str | None, Any]]:
        """Return so many events: id and data."""
        found: list[tuple[str | None, Any]] = []
        last_id: str | None = None
        while len(found) < count:
            line = self.file.readline()
            if not line:
                break
            if line.startswith(b"id: "):
                last_id = line[4:].decode().strip()
            elif line.startswith(b"data: "):
                found.append((last_id, json.loads(line[6:])))
                last_id = None
        return found

    def close(self) -> None:
        self.file.close()
        self.socket.close()


async def events(bench: HttpBench, path: str, count: int, **headers: str) -> list[tuple[str | None, Any]]:
    def look() -> list[tuple[str | None, Any]]:
        reader = Events(bench.port, path, **headers)
        try:
            return reader.take(count)
        finally:
            reader.close()

    return await asyncio.to_thread(look)


def test_values_come_with_the_numbers_of_their_records(tmp_path: Path) -> None:
    told: list[tuple[str | None, Any]] = []

    async def play(bench: HttpBench) -> None:
        told.extend(await events(bench, "/v1/watch?pattern=pump/motor/speed", 12))

    bench = served(tmp_path, play, devices=("pump",))
    assert [event_id for event_id, _ in told] == [str(item["seq"]) for _, item in told]
    seqs = [item["seq"] for _, item in told]
    assert seqs == sorted(set(seqs))
    assert set(told[0][1]) == {"route", "v", "u", "t", "seq", "q", "taints"}
    recorded = {record.seq: record.route for record in bench.records("reading")}
    assert {recorded[seq] for seq in seqs} == {"pump/motor/status@frame"}


def test_who_comes_back_goes_on_behind_what_it_has_and_misses_nothing(tmp_path: Path) -> None:
    told: list[Any] = []

    async def play(bench: HttpBench) -> None:
        path = "/v1/watch?pattern=pump/motor/speed"
        told.extend(await events(bench, path, 5))
        await asyncio.sleep(0.5)
        told.extend(await events(bench, path, 5, Last_Event_ID=told[-1][0]))
        await asyncio.sleep(0.5)
        told.extend(await events(bench, f"{path}&from={int(told[-1][0]) + 1}", 30))

    bench = served(tmp_path, play, devices=("pump",))
    seqs = [item["seq"] for _, item in told]
    recorded = [record.seq for record in bench.records("reading") if record.route == "pump/motor/status@frame"]
    assert seqs == [seq for seq in recorded if seqs[0] <= seq <= seqs[-1]]


def test_a_watch_from_the_beginning_has_every_run_of_the_gateway(tmp_path: Path) -> None:
    told: list[Any] = []

    async def play(bench: HttpBench) -> None:
        told[:] = await events(bench, "/v1/watch?pattern=node/node/temperature&from=1", 3)

    bench = served(tmp_path, play, runs=2)
    recorded = [record.seq for record in bench.records("reading") if (record.route or "").startswith("node/node/")]
    assert [item["seq"] for _, item in told] == recorded[:3]


def test_who_knows_more_than_the_ledger_holds_is_told_so_and_goes_on_with_what_comes(tmp_path: Path) -> None:
    told: list[tuple[str | None, Any]] = []

    async def play(bench: HttpBench) -> None:
        told.extend(await events(bench, "/v1/watch?pattern=pump/motor/speed&from=1000001", 3))

    served(tmp_path, play, devices=("pump",))
    (no_id, first), *values = told
    assert (no_id, first["gap"]["to"], first["gap"]["cause"]) == (None, 1_000_000, "the ledger ends before it")
    assert [item["seq"] >= first["gap"]["from"] for _, item in values] == [True, True]


def test_a_websocket_tells_the_same_and_takes_a_token_as_subprotocol(tmp_path: Path) -> None:
    told: dict[str, Any] = {}

    def look(port: int, path: str, offered: list[str]) -> tuple[str | None, list[Any]]:
        with connect(f"ws://127.0.0.1:{port}{path}", subprotocols=offered) as link:  # type: ignore[arg-type]
            link.send("nobody listens")
            return link.subprotocol, [json.loads(link.recv(10)) for _ in range(4)]

    async def play(bench: HttpBench) -> None:
        token = await bench.token("**", ("read",))
        path = "/v1/watch?pattern=pump/motor/speed&from=1"
        told["ws"] = await asyncio.to_thread(look, bench.port, path, ["tidegate.v1", token])
        told["sse"] = [item for _, item in await events(bench, path, 4)]
        with pytest.raises(InvalidStatus) as refused:
            await asyncio.to_thread(look, bench.port, path, ["tidegate.v1", "tg1.bad.token"])
        told["refused"] = refused.value.response.status_code

    served(tmp_path, play, devices=("pump",))
    assert told["ws"] == ("tidegate.v1", told["sse"])
    assert told["refused"] == 401


def test_what_is_desired_and_becomes_of_it_is_told_to_who_asks_for_variants(tmp_path: Path) -> None:
    told: list[Any] = []

    async def play(bench: HttpBench) -> None:
        watching_ = asyncio.ensure_future(events(bench, "/v1/watch?pattern=node@desired", 1))  # noqa: TID251
        await until(lambda: bench.gateway.status()["http"]["watching"] == 1, 30)
        await bench.http("PUT", VALVE, {"value": 12}, token=await bench.token())
        told.extend(await watching_)

    served(tmp_path, play)
    assert [(item["route"], item["v"]) for _, item in told] == [("node/node/valve@desired", 12)]


def test_every_decoded_value_is_told_live_without_number(tmp_path: Path) -> None:
    told: list[Any] = []

    async def play(bench: HttpBench) -> None:
        told.extend(await events(bench, "/v1/watch?pattern=pump/motor/speed&live=true", 5))

    served(tmp_path, play, devices=("pump",))
    assert {(event_id, item["seq"], item["route"]) for event_id, item in told} == {(None, None, "pump/motor/speed")}


@pytest.mark.parametrize(
    "query", ["pattern=a/b/c/d", "from=-1", "from=x", "from=1&live=true", "live=maybe", "more=1", "from=1&from=2"]
)
def test_a_watch_that_makes_no_sense_is_refused(tmp_path: Path, query: str) -> None:
    async def play(bench: HttpBench) -> None:
        assert (await bench.get(f"/v1/watch?{query}")).code == (400, "malformed")

    served(tmp_path, play)


def test_one_who_leaves_is_counted_and_forgotten(tmp_path: Path) -> None:
    async def play(bench: HttpBench) -> None:
        await events(bench, "/v1/watch?pattern=pump", 1)
        await until(lambda: bench.gateway.status()["http"]["watching"] == 0, 30)
        assert bench.gateway.status()["http"]["watch_closed"] == {"left": 1}

    served(tmp_path, play, devices=("pump",))


def recording_all(folder: Path, count: int, port: int) -> Gateway:
    """Return a gateway that plays so many readings and records each."""
    (folder / "node.toml").write_text(COBS.format(extra="", state="") + '\n[record]\nat_most = "0s"\n')
    played = log(folder, [reading(number % 100) for number in range(count)])
    devices = {"node": DeviceConfig(profile="node.toml", port=played)}
    site = SiteConfig(devices=devices, http=HttpConfig(listen=f"127.0.0.1:{port}"))
    return Gateway(site, folder / "data", folder=folder)


def test_a_socket_that_takes_nothing_is_closed_and_counted_and_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "STALLED_S", 0.3)
    monkeypatch.setattr(protocol, "LINGER_S", 0.3)
    port = free_port()
    gateway = recording_all(tmp_path, 60_000, port)

    async def living() -> None:
        stop = asyncio.Event()
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(gateway.run(stop))
            await until(lambda: gateway.status()["devices"][0]["frames"]["delivered"] >= 60_000, 40)
            stalled = await asyncio.to_thread(Events, port, "/v1/watch?from=1", receives=4096)
            with await asyncio.to_thread(connect, f"ws://127.0.0.1:{port}/v1/watch?from=1") as link:
                await until(lambda: gateway.status()["http"]["watch_closed"].get("slow") == 2, 30)
                with pytest.raises(ConnectionClosed) as closed:
                    await asyncio.to_thread(lambda: [link.recv(5) for _ in range(1_000_000)])
            assert closed.value.rcvd is None or closed.value.rcvd.code == 4008
            stalled.close()
            stop.set()

    asyncio.run(living())


def test_what_is_watched_is_what_the_ledger_holds(tmp_path: Path) -> None:
    port = free_port()
    gateway = recording_all(tmp_path, 3_000, port)
    told: list[Any] = []

    async def living() -> None:
        stop = asyncio.Event()
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(gateway.run(stop))
            await until(lambda: gateway.status()["devices"][0]["frames"]["delivered"] >= 3_000, 40)
            reader = await asyncio.to_thread(Events, port, "/v1/watch?pattern=node/climate&from=1")
            recorded = gateway.status()["ledger"]["readings"]
            told.extend(await asyncio.to_thread(reader.take, recorded))
            reader.close()
            stop.set()

    asyncio.run(living())
    with Ledger.open(tmp_path / "data" / "ledger", read_only=True) as ledger:
        recorded = [item.seq for item in ledger.read() if isinstance(item, Record) and item.kind == "reading"]
    assert [item["seq"] for _, item in told] == recorded
