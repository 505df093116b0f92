"""Layer 6: what is known of devices, as `get` and `devices` tell it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from gateway.clock import Clock
from gateway.errors import UsageError
from gateway.route import Route, Variant
from gateway.runtime.chosen import Chosen
from gateway.runtime.device import Device
from gateway.runtime.message import Message
from gateway.runtime.shadows import Twin
from gateway.runtime.supervisor import Keeper
from gateway.schema.plan import ABSENT
from gateway.spelling import did_you_mean
from gateway.taint import names_of

_NS: Final = 1_000_000_000
_UNITS: Final = {"_per_min": "/min", "_s": "s"}

Recall = Callable[[str], Awaitable[tuple[Device, Twin] | None]]


class DeviceLooks:
    """Looks at the devices of all ports."""

    def __init__(self, keepers: Sequence[Keeper], clock: Clock) -> None:
        """Take who keeps the ports."""
        self._keepers = keepers
        self._clock = clock
        self.recall: Recall = _nothing  # gives a discovered device that has left, as it left
        self.chosen: Callable[[], Chosen] = dict  # gives the profiles that devices use by choice

    def keeper_of(self, device: str) -> tuple[Keeper, Device] | None:
        """Return a device with who keeps its port."""
        return next(
            ((keeper, each) for keeper in self._keepers for each in keeper.devices if each.name == device), None
        )

    def value(self, route: Route) -> dict[str, Any] | None:
        """Return the object of `get --json`; None where there is no such route."""
        found = self.keeper_of(route.owner)
        if found is not None and route.variant is Variant.HEALTH:
            return _figure(route, found[1].health_json(self._clock.monotonic_ns()))
        return None if found is None else self.value_of(found[1], route)

    async def value_left(self, route: Route) -> dict[str, Any] | None:
        """Return the object of `get --json` for a device that is remembered only; None where there is no such route."""
        found = await self.recall(route.owner)
        return None if found is None else self.value_of(found[0], route)

    async def shadow_left(self, device: str) -> dict[str, Any] | None:
        """Return the object of `shadow --json` for a device that is remembered only; None where there is none."""
        found = await self.recall(device)
        return None if found is None else found[1].view()

    def value_of(self, device: Device, route: Route) -> dict[str, Any] | None:
        """Return the object of `get --json` for one device; None where it has no such route."""
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
            "stale": row is None or message.is_stale(now_ns) or not device.is_up,
            "taints": [] if row is None else names_of(row[-1] | message.taints),
            "seq": None if row is None else message.sequence,
        }

    def were_tried(self) -> bool:
        """Return whether every port that anybody wants was open once, or failed to be."""
        return all(
            keeper.counts.opened or keeper.fault is not None or keeper.error is not None
            for keeper in self._keepers
            if any(device.is_wanted for device in keeper.devices) or not keeper.devices
        )

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

    def _choice(self, device: str) -> dict[str, Any] | None:
        """Return which profile somebody chose in place of the site file's, None where nobody did."""
        choice = self.chosen().get(device)
        return None if choice is None else choice.as_json()

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
            "first_error": None if device.is_up else device.first_error,
            "fault": device.fault,
            "health": device.health_json(now_ns),
            "port": keeper.name,
            "profile": device.profile.profile.profile.id,
            "chosen": self._choice(device.name),
            "frames": device.frames().as_json(),
            "polls": device.polls.as_json(),
            "messages": {message.name: message.sequence for message in device.all_messages()},
        }

    def _entry(self, keeper: Keeper, device: Device) -> dict[str, Any]:
        now_ns = self._clock.monotonic_ns()
        life, is_up = device.lifecycle, device.is_up
        due_ns = keeper.next_attempt_ns if device.retry_ns is None else device.retry_ns
        return {
            "name": device.name,
            "label": device.label,
            "area": device.area,
            "profile": device.profile.profile.profile.id,
            "chosen": self._choice(device.name),
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
            "stale": device.is_stale(now_ns),
            "health": device.health_json(now_ns),
            "first_seen": None if device.origin is None else device.origin.first_seen_ns / _NS,
            "messages": [message.name for message in device.all_messages()],
        }


def _port(keeper: Keeper) -> dict[str, Any]:
    counts = keeper.counts
    return {
        "name": keeper.name,
        "bus": keeper.bus,
        "bits_per_s": _speed(keeper),
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


def _speed(keeper: Keeper) -> int | None:
    """Return the speed of a line in bits per second; None where its profile does not say."""
    link = (keeper.devices[0] if keeper.devices else keeper.discoveries[0]).profile.profile.link
    return {"uart": link.baud, "can": link.bitrate}.get(link.bus)


async def _nothing(_name: str) -> None:
    """Nothing is remembered."""


def _figure(route: Route, health: dict[str, Any]) -> dict[str, Any] | None:
    """Return a figure of a device's health, `DEVICE/health/FIGURE@health`, as `get --json` tells it."""
    if route.family != "health" or route.stream not in health:
        return None
    units = next((unit for ending, unit in _UNITS.items() if route.stream.endswith(ending)), "1")
    value = health[route.stream]
    return {
        "route": str(route), "value": value, "units": units, "age_s": None if value is None else 0.0, "stale": False,
        "taints": [], "seq": None,
    }  # fmt: skip
