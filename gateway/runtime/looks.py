"""Layer 6: what is known of devices, as `get` and `devices` tell it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from gateway.clock import Clock
from gateway.errors import UsageError
from gateway.lifecycle import State
from gateway.route import Route, RoutePattern
from gateway.runtime.device import Device
from gateway.runtime.message import Message
from gateway.runtime.shadows import Twin
from gateway.runtime.supervisor import Keeper
from gateway.schema.plan import ABSENT
from gateway.spelling import did_you_mean
from gateway.taint import names_of

_NS: Final = 1_000_000_000

Recall = Callable[[str], Awaitable[tuple[Device, Twin] | None]]


class DeviceLooks:
    """Looks at the devices of all ports."""

    def __init__(self, keepers: Sequence[Keeper], clock: Clock) -> None:
        """Take who keeps the ports."""
        self._keepers = keepers
        self._clock = clock
        self.recall: Recall = _nothing  # gives a discovered device that has left, as it left

    def keeper_of(self, device: str) -> tuple[Keeper, Device] | None:
        """Return a device with who keeps its port."""
        return next(
            ((keeper, each) for keeper in self._keepers for each in keeper.devices if each.name == device), None
        )

    def value(self, route: Route) -> dict[str, Any] | None:
        """Return the object of `get --json`; None where there is no such route."""
        found = self.keeper_of(route.owner)
        return None if found is None else self._value(found[1], route)

    async def value_left(self, route: Route) -> dict[str, Any] | None:
        """Return the object of `get --json` for a device that is remembered only; None where there is no such route."""
        found = await self.recall(route.owner)
        return None if found is None else self._value(found[0], route)

    async def shadow_left(self, device: str) -> dict[str, Any] | None:
        """Return the object of `shadow --json` for a device that is remembered only; None where there is none."""
        found = await self.recall(device)
        return None if found is None else found[1].view()

    def _value(self, device: Device, route: Route) -> dict[str, Any] | None:
        newest: tuple[Message, int] | None = None
        for message in device.all_messages():
            if message.family == route.family and route.stream in message.streams:
                place = message.streams.index(route.stream)
                if newest is None or message.received_ns > newest[0].received_ns:
                    newest = message, place
        if newest is None:
            return None
        message, place = newest
        now_ns = self._clock.monotonic_ns()
        row = message.row
        value = None if row is None or row[place] is ABSENT else row[place]
        return {
            "route": str(route),
            "value": value,
            "units": message.plan.units[place],
            "age_s": None if row is None else max(0.0, (now_ns - message.received_ns) / _NS),
            "stale": row is None or message.is_stale(now_ns) or device.lifecycle.state is not State.CONNECTED,
            "taints": [] if row is None else names_of(row[-1] | message.taints),
            "seq": None if row is None else message.sequence,
        }

    def lifecycles(self) -> list[dict[str, Any]]:
        """Return the list of `devices --json`."""
        return [self._entry(keeper, device) for keeper in self._keepers for device in keeper.devices]

    async def lead(self, device: str, verb: str) -> dict[str, Any]:
        """Connect, quiesce or detach a device; return its entry. Raises: UsageError."""
        found = self.keeper_of(device)
        if found is None:
            if await self.recall(device) is not None:
                raise UsageError(f"{device} has left; it is a device again when it is heard")
            names = [each.name for keeper in self._keepers for each in keeper.devices]
            raise UsageError(f"no device {device!r}{did_you_mean(device, names)}")
        keeper, mine = found
        keeper.lead(mine, verb)
        return self._entry(keeper, mine)

    def statuses(self) -> list[dict[str, Any]]:
        """Return the part `devices` of `status --json`."""
        return [self._status(keeper, device) for keeper in self._keepers for device in keeper.devices]

    def ports(self) -> list[dict[str, Any]]:
        """Return the part `ports` of `status --json`."""
        return [_port(keeper) for keeper in self._keepers]

    def _status(self, keeper: Keeper, device: Device) -> dict[str, Any]:
        now_ns = self._clock.monotonic_ns()
        life = device.lifecycle
        return {
            "name": device.name,
            "state": life.state,
            "stale": device.is_stale(now_ns),
            "since": (now_ns - life.since_ns) / _NS,
            "attempt": life.attempt,
            "reason": life.reason,
            "first_error": device.first_error if life.state is not State.CONNECTED else None,
            "fault": device.fault,
            "port": keeper.name,
            "profile": device.profile.profile.profile.id,
            "frames": device.frames().as_json(),
            "polls": device.polls.as_json(),
            "messages": {message.name: message.sequence for message in device.all_messages()},
        }

    def _entry(self, keeper: Keeper, device: Device) -> dict[str, Any]:
        now_ns = self._clock.monotonic_ns()
        life = device.lifecycle
        is_up = life.state is State.CONNECTED
        due_ns = keeper.next_attempt_ns
        return {
            "name": device.name,
            "label": device.label,
            "area": device.area,
            "profile": device.profile.profile.profile.id,
            "title": device.profile.profile.profile.title,
            "port": keeper.name,
            "bus": device.profile.profile.link.bus,
            "state": life.state,
            "lifecycle": life.state,
            "target": life.target,
            "attempt": life.attempt,
            "reason": life.reason,
            "first_error": None if is_up else device.first_error,
            "last_error": device.last_error,
            "next_retry_s": None if is_up or due_ns is None else max(0.0, (due_ns - now_ns) / _NS),
            "stale": device.is_stale(now_ns) or not is_up,
            "first_seen": None if device.origin is None else device.origin.first_seen_ns / _NS,
            "messages": [message.name for message in device.all_messages()],
        }


def _port(keeper: Keeper) -> dict[str, Any]:
    counts = keeper.counts
    return {
        "name": keeper.name,
        "bus": keeper.bus,
        "devices": [device.name for device in keeper.devices],
        "error": keeper.error,
        "opened": counts.opened,
        "reads": counts.reads,
        "bytes": counts.bytes_in,
        "frames": counts.frames,
        "unknown": counts.unknown,
        "dropped": counts.dropped,
        "garbage": counts.garbage,
        "garbage_by_reason": dict(counts.reasons),
        "link": keeper.health(),
        "discovered": [discovery.as_json() for discovery in keeper.discoveries],
    }


def routes_in(entries: list[dict[str, Any]], pattern: RoutePattern) -> list[dict[str, Any]]:
    """Return the routes that match in what messages said last."""
    found: dict[str, dict[str, Any]] = {}
    for entry in entries:
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


async def _nothing(_name: str) -> None:
    """Nothing is remembered."""
