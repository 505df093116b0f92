"""Layer 7: tells Home Assistant of devices as they come, change and go, over the connection to the broker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from gateway.runtime.device import Device
from gateway.runtime.discovery import Discovery
from gateway.runtime.shadows import Twin
from gateway.sinks.homeassistant.announcements import Announcements, Said, kept
from gateway.sinks.homeassistant.config import STATUS, config, topic
from gateway.sinks.mqtt.topics import Topics

SETTLE_S: Final = 0.5  # after the last note that came from the broker
SETTLE_MOST_S: Final = 5.0
TICK_S: Final = 1.0  # between two looks: what changes, and who comes back, is told once a second at most
WAITING_MOST: Final = 256  # messages that the broker has not taken: then it is given time
PAUSE_S: Final = 0.02


class Publishes(Protocol):
    """A connection."""

    @property
    def waiting(self) -> int:
        """Return how many messages are not acknowledged."""
        ...

    @property
    def is_choked(self) -> bool:
        """Return whether the broker does not take what it is sent."""
        ...

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int:
        """Send at least once. Raises: BrokerError."""
        ...


class Announcer:
    """One gateway's. Where Home Assistant is not wanted it takes back what an earlier run announced, and no more."""

    def __init__(
        self,
        topics: Topics,
        gateway: str,
        *,
        is_wanted: bool,
        devices: Callable[[], Sequence[Device]],
        twins: Callable[[], Mapping[str, Twin]],
        discoveries: Callable[[], Sequence[Discovery]],
    ) -> None:
        """Take what there is to tell of."""
        self.subscriptions: tuple[str, ...] = (topics.announced(), STATUS) if is_wanted else (topics.announced(),)
        self._topics = topics
        self._gateway = gateway
        self._is_wanted = is_wanted
        self._devices = devices
        self._twins = twins
        self._discoveries = discoveries
        self._announcements = Announcements()
        self._is_known = False  # what earlier runs announced was heard
        self._heard = asyncio.Event()
        self._is_due = False
        self._seen: dict[str, tuple[object, ...]] = {}  # devices as they were told of

    def take(self, topic: str, payload: bytes, *, is_retained: bool) -> bool:
        """Take a message; return whether it was one for this."""
        if topic == STATUS:
            self._is_due = self._is_due or (payload == b"online" and not is_retained)
            return True
        device = self._topics.device_announced(topic)
        if device is None:
            return False
        if is_retained:  # else it is an echo of our own
            self._announcements.noted(device, payload)
            self._seen.pop(device, None)
            self._heard.set()
        return True

    async def run(self, link: Publishes) -> None:
        """Say what there is to say, until the connection ends. Raises: BrokerError."""
        self._begin()
        if not self._is_known:
            await self._settle()
            self._is_known = True
        while True:
            if self._is_due:
                self._is_due = False
                self._begin()
            await self._tell(link)
            await asyncio.sleep(TICK_S)

    def _begin(self) -> None:
        self._announcements.begin()
        self._seen.clear()

    async def _settle(self) -> None:
        """Wait for the notes of earlier runs: no more come when none came for a while."""
        try:
            async with asyncio.timeout(SETTLE_MOST_S):
                while True:
                    self._heard.clear()
                    async with asyncio.timeout(SETTLE_S):
                        await self._heard.wait()
        except TimeoutError:
            return

    async def _tell(self, link: Publishes) -> None:
        devices = {device.name: device for device in self._devices()} if self._is_wanted else {}
        twins = self._twins()
        for name, device in devices.items():
            twin = twins.get(name)
            seen = (device, device.label, device.area, twin)
            if self._seen.get(name) != seen:
                self._seen[name] = seen
                said = self._announcements.says(name, config(self._topics, self._gateway, device, twin))
                if said is not None:
                    await self._say(link, said)
        absent = self._announcements.absent(devices)
        limits = {each.name: each.limit for each in self._discoveries()} if self._is_wanted else {}
        staying = kept(absent, limits, devices)
        for name in absent:
            if name not in staying:
                await self._say(link, self._announcements.takes_back(name))
        for name in self._seen.keys() - devices.keys():
            del self._seen[name]

    async def _say(self, link: Publishes, said: Said) -> None:
        while link.waiting >= WAITING_MOST or link.is_choked:  # noqa: ASYNC110 - a link wakes nobody who waits for room
            await asyncio.sleep(PAUSE_S)
        note, place = self._topics.announced(said.device), topic(self._gateway, said.device)
        for where, body in ((note, said.before), (place, said.config), (note, said.after)):
            if body != b"":
                link.publish(where, body or b"", retain=True)
        await asyncio.sleep(0)
