"""Layer 7: what can be read of a running gateway: routes, values, devices, state. The same for every door.

Answers are JSON-ready and say nothing of a door. Who may see them is decided before they are asked for.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import Any

from gateway.clock import Clock
from gateway.envelope import Envelope
from gateway.profile.setpoint import Setpoint
from gateway.route import Route, RoutePattern, Variant
from gateway.runtime.device import Device
from gateway.runtime.looks import DeviceLooks
from gateway.runtime.message import Message
from gateway.runtime.shadows import Twin
from gateway.runtime.supervisor import Keeper
from gateway.runtime.tap import Tap, Taps
from gateway.runtime.watch import Watcher
from gateway.schema.spec import BitSpec, FieldSpec


class Queries:
    """One per gateway."""

    def __init__(
        self,
        *,
        keepers: Sequence[Keeper],
        looks: DeviceLooks,
        twins: Callable[[], dict[str, Twin]],
        status: Callable[[], dict[str, Any]],
        clock: Clock,
        boot: str,
    ) -> None:
        """Take who keeps the ports, who looks at devices, and what the gateway as a whole says of itself."""
        self.status = status
        self._keepers = keepers
        self._looks = looks
        self._twins = twins
        self._clock = clock
        self._boot = boot
        self._watchers: list[Watcher] = []
        self._taps = Taps(keepers, clock)

    # ---- lists

    def devices(self) -> list[dict[str, Any]]:
        """Return the list of `devices --json`: what each device is, and its state."""
        return self._looks.lifecycles()

    def routes(self, pattern: RoutePattern) -> list[dict[str, Any]]:
        """Return the list of `routes --json`: what every route that matches means, and whether it can be set."""
        return _routes(self._messages(), self._twins().values(), pattern)

    def values(self, pattern: RoutePattern) -> list[dict[str, Any]]:
        """Return what every route that matches says now: the object of `get --json` with its route."""
        values = map(self._looks.value, _matching(self._messages(), pattern))
        return [value for value in values if value is not None]

    async def left(self, what: str, pattern: RoutePattern) -> list[dict[str, Any]]:
        """Return `routes` or `values` of a discovered device that has left, where the pattern names it in full."""
        found = await self._looks.recall(pattern.text.partition("/")[0])
        if found is None:
            return []
        messages = found[0].all_messages()
        if what == "routes":
            return _routes(messages, [found[1]], pattern)
        values = [self._looks.value_of(found[0], route) for route in _matching(messages, pattern)]
        return [value for value in values if value is not None]

    def overview(self, pattern: RoutePattern) -> list[dict[str, Any]]:
        """Return every route that matches, with unit, last value and age (None: nothing came yet)."""
        found: dict[str, dict[str, Any]] = {}
        for entry in self.latest():
            for name, stream in entry["streams"].items():
                if not pattern.matches(entry["device"], entry["family"], stream):
                    continue
                route = f"{entry['device']}/{entry['family']}/{stream}"
                seen = found.get(route)  # messages of one family that give the same field are one stream
                if seen is not None and (entry["age"] is None or (seen["age"] or 0) <= entry["age"]):
                    continue
                found[route] = {
                    "route": route,
                    "message": entry["message"],
                    "value": entry["values"].get(name),
                    "unit": entry["units"][name],
                    "age": entry["age"],
                    "t": entry["t"],
                    "seq": entry["seq"],
                    "stale": entry["stale"],
                    "taints": entry["taints"],
                }
        return list(found.values())

    def latest(self) -> list[dict[str, Any]]:
        """Return one entry per device and message: values, units, streams, age, sequence, taints."""
        now_ns = self._clock.monotonic_ns()
        return [message.latest(now_ns) for message in self._messages()]

    def fields(self, pattern: RoutePattern) -> dict[str, dict[str, dict[str, list[str]]]]:
        """Return route and unit by device, message and field, for every route that matches."""
        found: dict[str, dict[str, dict[str, list[str]]]] = {}
        for message in self._messages():
            routed = {
                name: [f"{message.device}/{message.family}/{stream}", unit]
                for name, stream, unit in zip(message.plan.names, message.streams, message.plan.units, strict=True)
                if pattern.matches(message.device, message.family, stream)
            }
            if routed:
                found.setdefault(message.device, {})[message.name] = routed
        return found

    # ---- one thing

    def envelope(self, route: Route) -> Envelope | None:
        """Return the latest value of one route with where and when it comes from; None: nothing came yet, or no route.

        Only values are made by this version: other variants give None.
        """
        newest: tuple[Keeper, Message, int] | None = None
        for keeper in self._keepers:
            for message in (each for device in keeper.devices for each in device.all_messages()):
                is_meant = (message.device, message.family) == (route.owner, route.family) and message.row is not None
                if not is_meant or route.variant is not Variant.VALUE or route.stream not in message.streams:
                    continue
                if newest is None or message.received_ns > newest[1].received_ns:
                    newest = (keeper, message, message.streams.index(route.stream))
        return newest[1].envelope(newest[2], newest[0].name, self._boot) if newest else None

    # ---- what comes

    def tap(self, names: Sequence[str]) -> contextlib.AbstractContextManager[Tap]:
        """Give what records the ports of these devices, () of all, as long as the context lasts. Raises: UsageError."""
        return self._taps.open(names)

    @contextlib.contextmanager
    def watcher(self, pattern: RoutePattern) -> Iterator[Watcher]:
        """Give a watcher that looks on as long as the context lasts."""
        watcher = Watcher(pattern, self._clock)
        self._watchers.append(watcher)
        for device in self._devices():
            if pattern.matches(device.name):
                device.watchers.append(watcher)
        try:
            yield watcher
        finally:
            self._watchers.remove(watcher)
            for device in self._devices():
                if watcher in device.watchers:
                    device.watchers.remove(watcher)

    async def watch(self, pattern: str = "*") -> AsyncIterator[dict[str, Any]]:
        """Give the objects that `watch --json` prints, for ever. Raises: RouteError for a pattern that is none."""
        with self.watcher(RoutePattern(pattern)) as watcher:
            async for record in watcher.records():
                yield record

    def entered(self, device: Device) -> None:
        """Let those who look on see a device that was not there before."""
        device.watchers += [watcher for watcher in self._watchers if watcher.pattern.matches(device.name)]

    def _devices(self) -> Iterator[Device]:
        return (device for keeper in self._keepers for device in keeper.devices)

    def _messages(self) -> Iterator[Message]:
        return (message for device in self._devices() for message in device.all_messages())


def _matching(messages: Iterable[Message], pattern: RoutePattern) -> dict[Route, None]:
    """Return the routes that match, each once, in their order."""
    return {
        Route(message.device, message.family, stream): None
        for message in messages
        for stream in message.streams
        if pattern.matches(message.device, message.family, stream)
    }


def _routes(messages: Iterable[Message], twins: Iterable[Twin], pattern: RoutePattern) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for message in messages:
        plan = message.plan
        for stream, units, spec in zip(message.streams, plan.units, plan.fields, strict=True):
            if pattern.matches(message.device, message.family, stream):
                route = f"{message.device}/{message.family}/{stream}"
                found.setdefault(route, _meaning(route, units, spec))
    for twin in twins:
        for name, setpoint in twin.setpoints.items():
            _add_setpoint(found, twin, name, setpoint, pattern)
    return list(found.values())


def _meaning(route: str, units: str, spec: FieldSpec | BitSpec) -> dict[str, Any]:
    """Return a row of `routes --json`: what a field of a profile says of its values."""
    labels = None if spec.labels is None else list(dict.fromkeys(spec.labels.values()))
    return {
        "route": route,
        "units": units,
        "class": spec.device_class,
        "labels": labels,
        "minimum": spec.minimum,
        "maximum": spec.maximum,
        "writable": False,
    }


def _add_setpoint(
    found: dict[str, dict[str, Any]], twin: Twin, name: str, setpoint: Setpoint, pattern: RoutePattern
) -> None:
    """Say that a route can be set, within the limits of its setpoint; one that nobody reports has a row of its own."""
    place = setpoint.route(twin.device.name)
    if not pattern.matches(place.owner, place.family, place.stream):
        return
    route = f"{place.owner}/{place.family}/{place.stream}"
    row = found.get(route) or _meaning(route, twin.units(name), setpoint.written)
    spec = setpoint.spec
    limits = {"minimum": spec.minimum, "maximum": spec.maximum}
    found[route] = row | {key: value for key, value in limits.items() if value is not None} | {"writable": True}
