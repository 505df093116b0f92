"""Which values and setpoints of the profiles of a gateway's devices a run exercised."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class _Device:
    profile: str
    values: dict[str, bool] = field(default_factory=dict)  # family/stream -> whether it came, with a value
    setpoints: dict[str, bool] = field(default_factory=dict)  # likewise -> whether it was set


class Coverage:
    """Grows while a test runs; what was exercised once stays so."""

    def __init__(self) -> None:
        self._devices: dict[str, _Device] = {}

    def look(self, messages: Iterable[Mapping[str, Any]], routes: Iterable[Mapping[str, Any]],
             profiles: Mapping[str, str]) -> None:  # fmt: skip
        """Take in the latest values (`Queries.latest`) and what can be set (`Queries.routes`)."""
        for message in messages:
            values = self._of(message["device"], profiles).values
            for name, stream in message["streams"].items():
                key = f"{message['family']}/{stream}"
                values[key] = values.get(key, False) or message["values"].get(name) is not None
        for route in routes:
            device, _, key = route["route"].partition("/")
            if route["writable"]:
                self._of(device, profiles).setpoints.setdefault(key, False)

    def set(self, device: str, key: str) -> None:
        """Take in that a setpoint was set."""
        if device in self._devices:
            self._devices[device].setpoints[key] = True

    def facts(self) -> dict[str, Any]:
        """Return `{device: {profile, values: {exercised, all}, setpoints: {exercised, all}}}`."""
        return {
            name: {"profile": each.profile, "values": _told(each.values), "setpoints": _told(each.setpoints)}
            for name, each in self._devices.items()
        }

    def _of(self, device: str, profiles: Mapping[str, str]) -> _Device:
        if device not in self._devices:
            self._devices[device] = _Device(profiles.get(device, ""))
        return self._devices[device]


def _told(found: Mapping[str, bool]) -> dict[str, list[str]]:
    return {"exercised": sorted(name for name, is_so in found.items() if is_so), "all": sorted(found)}
