"""The fixture `gateway` on a bench: a whole gateway on the rig's ports, in a loop of its own beside the test."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from gateway.app import Gateway
from gateway.config import DeviceConfig, SiteConfig
from gateway.route import RoutePattern
from gateway.spelling import did_you_mean
from hil.durations import Timeout, timeout_ns
from hil.rigs.base import RigError
from hil.rigs.bench.bridge import Bridge, CanBridge, UartBridge
from hil.rigs.bench.canbus import BenchCan
from hil.rigs.bench.uart import BenchUart

if TYPE_CHECKING:
    from hil.rigs.bench.rig import BenchRig

READY_S: Final = 20.0
LOOK_NS: Final = 10_000_000
STANDARD_TIMEOUT_S: Final = 10.0

T = TypeVar("T")


class Reading(NamedTuple):
    """What a route says."""

    value: Any
    told: dict[str, Any]  # as `tidegate get --json`


def make(rig: BenchRig, folder: Path) -> BenchGateway:
    """Return a gateway without devices; it starts with the first."""
    return BenchGateway(rig, folder)


class BenchGateway:
    """A gateway whose devices are added one by one; each addition starts it anew, on the same ledger."""

    def __init__(self, rig: BenchRig, folder: Path) -> None:
        self._rig = rig
        self._folder = folder
        self._devices: dict[str, DeviceConfig] = {}
        self._bridges: dict[str, Bridge] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="hil gateway", daemon=True)
        self._thread.start()
        self._gateway: Gateway | None = None
        self._stop: asyncio.Event | None = None
        self._running: Any = None

    def add(self, name: str, profile: str, port: str | None = None, **params: int | str) -> None:
        """Add a device of a profile on a resource of the rig, by default its only one but power.

        Raises: ValueError for a resource that it has not; ConfigError, ProfileError.
        """
        resources = [each for each, protocol in self._rig.resources.items() if protocol != "power"]
        if port is None and len(resources) != 1:
            raise ValueError(f"which port? one of {', '.join(resources)}")
        resource = resources[0] if port is None else port
        if resource not in resources:
            raise ValueError(f"{self._rig.target} has no resource {resource!r}{did_you_mean(resource, resources)}")
        self._end()
        devices = {**self._devices, name: DeviceConfig(profile=profile, port=self._port(resource), params=dict(params))}
        gateway = Gateway(SiteConfig(devices=devices), self._folder)
        self._devices = devices
        self._start(gateway)

    def wait(self, route: str, timeout: Timeout | None = None) -> Reading:
        """Return what a route says, waiting for its first value. Raises: ValueError, RigError where none comes."""
        pattern = RoutePattern(route)
        world = self._rig.world
        assert world is not None, "a test has begun"
        until_ns = world.now_ns + timeout_ns(STANDARD_TIMEOUT_S if timeout is None else timeout)
        while True:
            found = [] if self._gateway is None else self._call(self._values(self._gateway, pattern))
            if found:
                return Reading(found[0].get("value"), found[0])
            if self._running is not None and self._running.done():
                self._running.result()
            if world.now_ns >= until_ns:
                raise RigError(f"no value of {route} in time; {self._why(route)}")
            world.run_until(min(until_ns, world.now_ns + LOOK_NS))

    def close(self) -> None:
        """End it, and give its ports back."""
        self._end()
        for bridge in self._bridges.values():
            bridge.close()
        self._bridges.clear()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(READY_S)
        self._loop.close()

    def _port(self, resource: str) -> str:
        handle = self._rig.get(resource)
        if resource in self._bridges:
            return self._bridges[resource].port
        if isinstance(handle, BenchUart):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._bridges[resource] = UartBridge(handle, self._folder / f"{resource}.port")
        elif isinstance(handle, BenchCan):
            self._bridges[resource] = CanBridge(handle, f"{self._rig.target}-{resource}")
        else:
            return str(handle.wires[0].identity)
        return self._bridges[resource].port

    def _start(self, gateway: Gateway) -> None:
        stop = asyncio.Event()
        ready = threading.Event()
        self._stop, self._gateway = stop, gateway
        self._running = asyncio.run_coroutine_threadsafe(gateway.run(stop, ready.set), self._loop)
        self._running.add_done_callback(lambda _: ready.set())
        if not ready.wait(READY_S):
            raise RigError(f"the gateway was not ready in {READY_S:g} s")
        if self._running.done():
            self._running.result()

    def _end(self) -> None:
        running, self._running, self._gateway = self._running, None, None
        if running is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            running.result(READY_S)

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(READY_S)

    @staticmethod
    async def _values(gateway: Gateway, pattern: RoutePattern) -> list[dict[str, Any]]:
        told = gateway.queries.values(pattern)
        return [each for each in told if each.get("age_s") is not None or each.get("value") is not None]

    def _why(self, route: str) -> str:
        owner = route.partition("/")[0]
        if owner not in self._devices or self._gateway is None:
            return f"no device {owner!r}{did_you_mean(owner, self._devices)}"
        return self._call(self._state_of(self._gateway, owner, route))

    @staticmethod
    async def _state_of(gateway: Gateway, owner: str, route: str) -> str:
        routes = [str(each["route"]) for each in gateway.queries.routes(RoutePattern(owner))]
        if not gateway.queries.routes(RoutePattern(route)):
            return f"{owner} has no such route{did_you_mean(route, routes)}"
        states = {str(each["name"]): each["state"] for each in gateway.queries.devices()}
        return f"{owner} is {states.get(owner, 'not known')}"
