"""Layer 7: which devices are there, which values went stale, which desired values are not met. Looks only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from gateway.clock import Clock
from gateway.lifecycle import State
from gateway.runtime.device import Device
from gateway.runtime.message import Message
from gateway.runtime.shadows import Twin


class Presence:
    """What was told of each device in one connection; gives what is new."""

    def __init__(self, clock: Clock) -> None:
        """Start with nothing told."""
        self._clock = clock
        self._online: dict[str, bool] = {}
        self._stale: set[Message] = set()
        self._deltas: dict[str, dict[str, Any]] = {}

    def online(self, devices: Sequence[Device]) -> Iterator[tuple[str, bool]]:
        """Give devices that came or went, and once those that are gone from the configuration."""
        now = {device.name: device.lifecycle.state is State.CONNECTED for device in devices}
        for name in self._online.keys() - now.keys():
            del self._online[name]
            yield name, False
        for name, is_up in now.items():
            if self._online.get(name) is not is_up:
                self._online[name] = is_up
                yield name, is_up

    def gone_stale(self, devices: Sequence[Device], is_sent: Callable[[str], bool]) -> Iterator[str]:
        """Give the routes of values that went stale since the last look, each once until it is fresh again.

        `is_sent` tells whether the latest value of a route is out already; one that is not stays for the next look.
        """
        now_ns = self._clock.monotonic_ns()
        for device in devices:
            is_up = device.lifecycle.state is State.CONNECTED
            for message in device.all_messages():
                if message.row is None or (is_up and not message.is_stale(now_ns)):
                    self._stale.discard(message)
                elif message not in self._stale:
                    routes = [f"{device.name}/{message.family}/{stream}" for stream in message.streams]
                    if all(map(is_sent, routes)):
                        self._stale.add(message)
                        yield from routes

    def stale_routes(self, devices: Sequence[Device]) -> set[str]:
        """Return the routes of all values that are stale now, and take it that they are told."""
        self._stale.clear()
        return set(self.gone_stale(devices, lambda _route: True))

    def deltas(self, twins: Mapping[str, Twin]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Give what is desired and not reported, of each device where that changed."""
        for device, twin in twins.items():
            if not twin.setpoints:
                continue
            view = twin.view()
            delta = view["state"]["delta"]
            if delta != self._deltas.get(device, {}):
                self._deltas[device] = delta
                yield device, {"device": device, "version": view["version"], "state": delta}
