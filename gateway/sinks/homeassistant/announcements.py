"""Layer 7: what Home Assistant was told of, what it is to be told now, and what must be taken back. Pure.

It keeps what it was told until it is told otherwise, also while this gateway is off. So what was announced is noted
beside it, at the broker: a retained message for each device lists its components. The note covers more than what is
announced, never less: it is written before a device is announced, and shortened behind what was taken back.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from gateway.api.follow.values import json_bytes
from gateway.sinks.homeassistant.config import Components, platforms, without

PLATFORMS: Final = frozenset({"sensor", "binary_sensor", "number", "switch", "select"})
NOTE_BYTES: Final = 128 << 10  # a note that is larger is none of ours
DEVICES_MOST: Final = 10_000  # of earlier runs: whoever may publish may write notes
GONE_MOST: Final = 1_000  # components of one device that are still told as taken back
_COMPONENT: Final = re.compile(r"[a-zA-Z0-9_-]{1,300}")


class Said(NamedTuple):
    """One device's messages, in this order; None: the topic is cleared."""

    device: str
    before: bytes | None  # note of everything that was and will be announced; b"" where it stands already
    config: bytes | None
    after: bytes | None  # note of what is announced from now on; likewise


class Announcements:
    """Those of one gateway, through all its connections."""

    def __init__(self) -> None:
        """Know of nothing."""
        self._known: dict[str, dict[str, str]] = {}  # by device; the one that was there longest ago first
        self._noted: dict[str, dict[str, str]] = {}  # as the broker has it
        self._gone: dict[str, dict[str, str]] = {}  # components that were taken back since the start
        self._told: dict[str, bytes] = {}  # configurations of this connection

    def begin(self) -> None:
        """Stand at the start of a connection: everything is told again."""
        self._told.clear()
        self._noted.clear()

    repeat = begin  # Home Assistant is back: it may have missed anything

    def noted(self, device: str, note: bytes) -> None:
        """Take what an earlier run, or this one, noted at the broker of a device."""
        components = _read(note)
        if components and (device in self._known or len(self._known) < DEVICES_MOST):
            self._known[device] = components | self._known.get(device, {})
            self._told.pop(device, None)

    def says(self, device: str, config: dict[str, Any]) -> Said | None:
        """Return what to say of a device that is there; None: nothing new."""
        now = platforms(config)
        known = self._known.pop(device, {})
        self._known[device] = known  # it is the one there most recently
        gone = self._gone.get(device, {}) | known
        gone = dict([(key, platform) for key, platform in gone.items() if key not in now][-GONE_MOST:])
        body = json_bytes(without(config, gone))
        if self._told.get(device) == body:
            return None
        self._told[device] = body
        self._gone[device] = gone
        self._known[device] = now
        if not now:
            return self._takes_back(device, before=known)
        return Said(device, self._note(device, gone | known | now), body, self._note(device, now))

    def takes_back(self, device: str) -> Said:
        """Return what to say of a device that is gone for good."""
        self._gone.pop(device, None)
        self._told.pop(device, None)
        return self._takes_back(device, before=self._known.pop(device, {}))

    def absent(self, present: Collection[str]) -> Sequence[str]:
        """Return the devices that are announced and not there, the one that was there longest ago first."""
        return [device for device, known in self._known.items() if known and device not in present]

    def _takes_back(self, device: str, before: Components) -> Said:
        self._known.pop(device, None)
        self._noted.pop(device, None)
        return Said(device, b"", None if before else b"", None if before else b"")

    def _note(self, device: str, components: dict[str, str]) -> bytes:
        """Return a note to write; b"" where it stands already."""
        if self._noted.get(device) == components:
            return b""
        self._noted[device] = components
        by_platform: dict[str, list[str]] = {}
        for key, platform in components.items():
            by_platform.setdefault(platform, []).append(key)
        note = json_bytes(by_platform)
        return note if len(note) <= NOTE_BYTES else b""


def kept(absent: Sequence[str], limits: Mapping[str, int], present: Collection[str]) -> set[str]:
    """Return the absent devices that stay announced: those that may be discovered again, so many as there is room for.

    `limits` are those of discoveries by name: they call their devices NAME-...
    """
    found: set[str] = set()
    for name, limit in limits.items():
        room = limit - sum(device.startswith(f"{name}-") for device in present)
        mine = [device for device in absent if device.startswith(f"{name}-")]
        found.update(mine[max(0, len(mine) - room) :] if room > 0 else ())
    return found


def _read(note: bytes) -> dict[str, str]:
    """Return the components that a note lists; what is none of ours is left out."""
    if len(note) > NOTE_BYTES:
        return {}
    try:
        told = msgspec.json.decode(note, type=dict[str, list[str]])
    except (msgspec.DecodeError, RecursionError):
        return {}
    return {
        key: platform
        for platform, keys in told.items()
        if platform in PLATFORMS
        for key in keys
        if _COMPONENT.fullmatch(key)
    }
