"""A real gateway with simulated devices and its HTTP door open on loopback, and a client that says what it must."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import msgspec

from gateway.api.settings import HttpConfig, MetricsConfig
from gateway.app import Gateway
from gateway.config import DeviceConfig
from hil.sim.rig import Rig
from tests.integration.test_commands import GRANTS, ME, Bench
from tests.integration.test_ports import until

VALVE = "/v1/devices/node/setpoints/node/valve"


class Told(NamedTuple):
    """What a request was answered with."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> tuple[int, str]:
        """Status and code of a problem, which is well made."""
        told = self.json
        assert self.headers["content-type"] == "application/problem+json"
        assert told["type"] == f"urn:tidegate:problem:{told['code']}"
        assert told["status"] == self.status
        assert told["title"]
        assert told["detail"]
        return self.status, told["code"]


class HttpBench(Bench):
    """A gateway with its devices, and its HTTP door."""

    tables: ClassVar[dict[str, Any]] = {}
    devices_changed: ClassVar[dict[str, Callable[[Path, Rig], DeviceConfig]]] = {}

    def begin(self) -> None:
        super().begin()
        self.port = free_port()
        tables = {"http": HttpConfig(listen=f"127.0.0.1:{self.port}"), "metrics": MetricsConfig(), **self.tables}
        http_table = msgspec.structs.replace(tables["http"], listen=f"127.0.0.1:{self.port}")
        site = msgspec.structs.replace(self.rig.site(), grants=GRANTS, **{**tables, "http": http_table})
        for name, made in self.devices_changed.items():
            site.devices[name] = made(self.folder, self.rig)
        self.gateway = Gateway(site, self.folder / "data")

    async def http(self, method: str, path: str, body: Any = None, *, token: str | None = None, **headers: str) -> Told:
        """Return the answer to one request; `body` is JSON unless it is bytes."""
        return await asyncio.to_thread(self._http, method, path, body, token, headers)

    async def get(self, path: str, **more: Any) -> Told:
        return await self.http("GET", path, **more)

    async def token(self, routes: str = "**", verbs: tuple[str, ...] = ("read", "write", "admin")) -> str:
        """Return a token of ours."""
        args = {"principal": ME.principal, "routes": routes, "verbs": list(verbs), "expires_s": 600.0}
        told = await self.gateway.asks.answer("issue_token", args, ME)
        token: str = told["token"]
        return token

    def _http(self, method: str, path: str, body: Any, token: str | None, headers: dict[str, str]) -> Told:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            given["Authorization"] = f"Bearer {token}"
        raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        if raw is not None:
            given.setdefault("Content-Type", "application/json")
        try:
            connection.request(method, path, raw, given)
            answer = connection.getresponse()
            return Told(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def served(
    folder: Path,
    play: Callable[[HttpBench], Awaitable[None]],
    *,
    devices: tuple[str, ...] = ("node",),
    runs: int = 1,
    limit_s: float = 60,
    devices_changed: dict[str, Callable[[Path, Rig], DeviceConfig]] | None = None,
    **tables: Any,
) -> HttpBench:
    """Let devices and gateway live while `play` asks over HTTP."""

    async def living(bench: HttpBench) -> None:
        async with asyncio.TaskGroup() as group:
            simulated = group.create_task(bench.rig.run())
            for number in range(runs):
                if number:
                    bench.begin()
                stop = asyncio.Event()
                running = group.create_task(bench.gateway.run(stop))
                try:
                    async with asyncio.timeout(limit_s):
                        await until(bench.gateway.api.is_ready, 30)
                        await bench.up(*devices)
                        await play(bench)
                finally:
                    stop.set()
                    await running
            simulated.cancel()

    kind = type("TheBench", (HttpBench,), {"tables": tables, "devices_changed": devices_changed or {}})
    with Rig(folder / "devices", for_others=False) as rig:
        bench = kind(folder, rig)
        asyncio.run(living(bench))
    return bench
