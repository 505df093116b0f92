"""Layer 6: what is known of devices, as `get` and `devices` tell it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from gateway.clock import Clock
from gateway.errors import UsageError
from gateway.lifecycle import State
from gateway.route import Route
from gateway.runtime.device import Device
from gateway.runtime.message import Message
from gateway.runtime.supervisor import Keeper
from gateway.schema.plan import ABSENT
from gateway.spelling import did_you_mean
from gateway.taint import names_of

_NS: Final = 1_000_000_000


class DeviceLooks:
    """Looks at the devices of all ports."""

    def __init__(self, keepers: Sequence[Keeper], clock: Clock) -> None:
        """Take who keeps the ports."""
        self._keepers = keepers
        self._clock = clock

    def keeper_of(self, device: str) -> tuple[Keeper, Device] | None:
        """Return a device with who keeps its port."""
        return next(
            ((keeper, each) for keeper in self._keepers for each in keeper.devices if each.name == device), None
        )

    def value(self, route: Route) -> dict[str, Any] | None:
        """Return the object of `get --json`; None where there is no such route."""
        found = self.keeper_of(route.owner)
        newest: tuple[Message, int] | None = None
        for message in found[1].all_messages() if found is not None else ():
            if message.family == route.family and route.stream in message.streams:
                place = message.streams.index(route.stream)
                if newest is None or message.received_ns > newest[0].received_ns:
                    newest = message, place
        if newest is None or found is None:
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
            "stale": row is None or message.is_stale(now_ns) or found[1].lifecycle.state is not State.CONNECTED,
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
