"""Layer 7: what goes out to Sparkplug's hosts: births and deaths as devices come and go, values in between.

Every value of the ledger goes out as data of its device, in order. What stood in the ledger when a connection began,
or is no newer than what a birth told, is flagged historical; while much of that is left, the latest of each metric goes
ahead of it once a second. A device is born when it is connected, and for as long as history has something to tell of
it; it dies when it is not connected and everything up to then is told.

The rules want data, births and deaths of devices with QoS 0 (`tck-id-payloads-ddata-qos` ...), which nobody
acknowledges; and what is not acknowledged must not move the cursor. So behind each stretch of data goes an UNSUBSCRIBE
from a topic that we never subscribe to: a broker takes packets of a connection in their order and must answer that one
(MQTT 3.1.1, 3.10.4), so its UNSUBACK says that the broker has read everything before it. That is as much as a PUBACK
says of QoS 1; whether a host was there to hear is not told by either.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Final

from gateway.api.follow.history import History
from gateway.api.follow.stream import Stream
from gateway.api.follow.values import ASIDE, STALE, Item, Missing, Span, Stretch, halves, json_bytes
from gateway.lifecycle import State
from gateway.runtime.device import Device
from gateway.sinks.mqtt.connection import Connection
from gateway.sinks.mqtt.presence import Presence
from gateway.sinks.sparkplug.catalogue import LIFECYCLE, Catalogue
from gateway.sinks.sparkplug.payloads import Fact, Payloads, Told
from gateway.sinks.sparkplug.topics import Topics
from gateway.sinks.spool import Spool
from gateway.sinks.surroundings import Surroundings

FENCES_MOST: Final = 8  # stretches under way
DOCUMENT_BYTES: Final = 120 << 10  # some brokers take no more than 128 KiB
NEWS_S: Final = 1.0  # looked again so often where nothing wakes us
PACE: Final = 1.0  # others have the loop for as long as a stretch of history took
REBIRTH_S: Final = 0.5  # between births of everything that hosts ask for
GAP: Final = "Ledger/Gap"


class Delivery:
    """One edge node's way out, through all its connections."""

    def __init__(
        self, topics: Topics, *, stream: Stream, history: History, gateway: Surroundings, facts: dict[str, Fact]
    ) -> None:
        """Take what is followed, live and from the medium; `facts` are the edge node's own metrics as they are now."""
        self.spool = Spool(0)
        self.news = asyncio.Event()
        self.set_aside = 0  # records that could not be told
        self.is_stopping = False
        self.catalogue = Catalogue()
        self.payloads = Payloads(gateway.clock)
        self._topics = topics
        self._stream = stream
        self._history = history
        self._gateway = gateway
        self._facts = facts
        self._told_facts: dict[str, Fact] = {}
        self._presence = Presence(gateway.clock)
        self._bdseq = 0
        self._drain_to = 0  # values up to here are history
        self._shown: dict[str, int] = {}  # route -> number of what its metric got last
        self._born: set[str] = set()
        self._dying: dict[str, int] = {}  # device -> what has to be told before it dies
        self._is_rebirth_due = False
        self._born_s = 0.0
        self._aside_seq = 0

    async def begin(self, link: Connection, bdseq: int) -> None:
        """Stand at the start of a connection and tell of everything; what is there already is history."""
        self.is_stopping = False
        self._bdseq = bdseq
        self._drain_to = self._stream.numbered_seq
        self._born.clear()
        await self._give_birth(link)

    def ask_rebirth(self) -> None:
        """Tell of everything once more before any other data."""
        self._is_rebirth_due = True
        self.news.set()

    @property
    def is_draining(self) -> bool:
        """Return whether what comes next is history: of before this connection, or of more than the stream holds."""
        position = self.spool.position
        return position < self._drain_to or not self._stream.holds(position)

    async def run(self, link: Connection) -> None:
        """Send what came before and what comes, until the connection ends. Raises: BrokerError, LedgerError."""
        openings = self._stream.openings
        loop = asyncio.get_running_loop()
        looked_s = loop.time()
        while not self.is_stopping:
            if self._stream.openings != openings:
                link.drop("the ledger was opened again")
                return
            self.news.clear()
            if self._is_rebirth_due:
                await asyncio.sleep(max(0.0, self._born_s + REBIRTH_S - loop.time()))
                await self._give_birth(link)
            if loop.time() - looked_s >= NEWS_S:
                looked_s = loop.time()
                self._look(link)
            if await self._step(link):
                await asyncio.sleep(0)
            else:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(looked_s + NEWS_S):
                        await self.news.wait()

    # ---- births and deaths

    async def _give_birth(self, link: Connection) -> None:
        """Send the births of the node and of every device that is there; others have the loop between them."""
        self._is_rebirth_due = False
        self._born_s = asyncio.get_running_loop().time()
        before, self._born = self._born, set()
        self._dying.clear()
        self._shown.clear()
        devices = self._gateway.devices()
        self.catalogue.wire(devices, self._gateway.commands.twins)
        self._told_facts = dict(self._facts)
        link.send(self._topics.node("NBIRTH"), self.payloads.nbirth(self._bdseq, self._facts.values()))
        self._presence.stale_routes(devices)  # births tell of those: none of them goes stale later
        routes: dict[str, list[str]] = {}
        for route in self._stream.latest:
            routes.setdefault(route.partition("/")[0], []).append(route)
        for device in devices:
            if _is_up(device):
                self._bear(link, device.name, device, routes.get(device.name, []))
                await asyncio.sleep(0)
        for name in before - self._born:
            link.send(self._topics.device("DDEATH", name), self.payloads.ddeath())

    def _bear(self, link: Connection, name: str, device: Device | None, routes: list[str] | None = None) -> None:
        """Send the birth of a device; what it tells is the newest, so that what follows up to there is history.

        `routes` are those of its latest values, where that was looked up already.
        """
        latest = self._stream.latest
        if device is not None:
            self.catalogue.wire([device], self._gateway.commands.twins)
        for route in [each for each in latest if each.startswith(f"{name}/")] if routes is None else routes:
            self.catalogue.following(route, latest[route].v)
        told: list[Told] = []
        stale = _stale_routes(device, self._gateway.clock.monotonic_ns())
        for metric in self.catalogue.of(name).values():
            item = latest.get(metric.source)
            if item is not None:
                self._shown[metric.source] = item.seq
                self._drain_to = max(self._drain_to, item.seq)
            is_stale = item is None or stale is None or metric.source in stale
            told.append(Told(metric, item, STALE if is_stale or item is None else item.q))
        self.catalogue.due.discard(name)
        self._born.add(name)
        link.send(self._topics.device("DBIRTH", name), self.payloads.dbirth(told))

    def _look(self, link: Connection) -> None:
        """Do what is due: births of devices that came or changed, deaths of those that went, what went stale."""
        devices = {device.name: device for device in self._gateway.devices()}
        self.catalogue.wire(devices.values(), self._gateway.commands.twins)
        for name in [each for each in self._born if each not in devices or not _is_up(devices[each])]:
            self._let_die(link, name, is_gone=name not in devices)
        for name, device in devices.items():
            if _is_up(device):
                self._dying.pop(name, None)
                if name not in self._born or name in self.catalogue.due:
                    list(self._presence.gone_stale([device], lambda _route: True))
                    self._bear(link, name, device)
        if self.is_draining:
            self._show_latest(link)
        stale = self._presence.gone_stale(list(devices.values()), self._is_sent)
        self._show(link, [self._stream.latest[route] for route in stale if route in self._stream.latest], is_stale=True)
        self._tell_facts(link)

    def _let_die(self, link: Connection, name: str, *, is_gone: bool) -> None:
        """Send the death of a device once everything is told that was there when it was seen to be gone."""
        told_up_to = self._dying.setdefault(name, self._stream.numbered_seq)
        if self.spool.position < told_up_to:
            return
        del self._dying[name]
        self._born.discard(name)
        link.send(self._topics.device("DDEATH", name), self.payloads.ddeath())
        if is_gone:
            self.catalogue.forget(name)
            for route in [each for each in self._shown if each.startswith(f"{name}/")]:
                del self._shown[route]

    # ---- values

    async def _step(self, link: Connection) -> bool:
        """Send what comes next; return whether there was anything, and room for it."""
        spool = self.spool
        if link.waiting >= (1 if spool.is_wary else FENCES_MOST):
            return False
        began_s = asyncio.get_running_loop().time()
        is_draining = self.is_draining
        if self._stream.holds(spool.position):
            stretch = self._stream.after(spool.position, spool.ration)
        else:
            stretch = await self._history.take(spool.position, spool.ration)
        if stretch is None:
            return False
        if self._is_rebirth_due:  # data stop until everything is born again
            return True
        self._send(link, stretch)
        if is_draining:
            await asyncio.sleep(PACE * (asyncio.get_running_loop().time() - began_s))
        return True

    def _send(self, link: Connection, stretch: Stretch) -> None:
        """Send a stretch, a message for each device it tells of, and what has it acknowledged."""
        spool = self.spool
        is_aside = bool(stretch.items) and spool.sets_aside
        if is_aside:
            span = Span(spool.told + 1, stretch.last, f"{ASIDE}: the receiver does not take it")
            stretch = stretch._replace(items=[Missing(span)])
        by_device, missing = self._sorted(stretch)
        if not by_device and not missing:
            spool.sent(stretch.last)
            return
        for name, values in by_device.items():
            for item in values:
                self.catalogue.following(item.route, item.v)
            if name not in self._born or name in self.catalogue.due:
                self._bear(link, name, self._device(name))
        messages = [
            (self._topics.device("DDATA", name), self.payloads.data(self._told(values)))
            for name, values in by_device.items()
        ]
        if missing:
            messages.append((self._topics.node("NDATA"), self.payloads.facts(self._gaps(missing))))
        if stretch.last > stretch.first and any(payload.ByteSize() > DOCUMENT_BYTES for _, payload in messages):
            for half in halves(stretch):
                self._send(link, half)
            return
        for topic, payload in messages:
            if payload.metrics:
                link.send(topic, self.payloads.seal(payload))
        for each in missing if not is_aside else ():
            self._count(each)
        spool.sent(stretch.last, [link.fence(self._topics.never_subscribed)], is_aside=is_aside)

    @staticmethod
    def _sorted(stretch: Stretch) -> tuple[dict[str, list[Item]], list[Missing]]:
        by_device: dict[str, list[Item]] = {}
        missing: list[Missing] = []
        for item in stretch.items:
            if isinstance(item, Missing):
                missing.append(item)
            elif not item.route.endswith(LIFECYCLE):  # births and deaths tell of it
                by_device.setdefault(item.route.partition("/")[0], []).append(item)
        return by_device, missing

    def _told(self, items: Iterable[Item]) -> Iterable[Told]:
        for item in items:
            for metric in self.catalogue.following(item.route, item.v):
                yield Told(metric, item, item.q, item.seq <= self._drain_to)

    def _gaps(self, missing: Iterable[Missing]) -> Iterable[Fact]:
        for each in missing:
            fact = self._facts[GAP]
            yield fact._replace(value=json_bytes(each.gap).decode(), is_historical=each.gap.to <= self._drain_to)

    def _count(self, missing: Missing) -> None:
        if missing.gap.cause.startswith(ASIDE) and missing.gap.to > self._aside_seq:
            self._aside_seq = missing.gap.to
            self.set_aside += 1

    # ---- ahead of their turn

    def _show_latest(self, link: Connection) -> None:
        """Let metrics have the latest, where history holds it up."""
        newer = [
            item
            for route, item in self._stream.latest.items()
            if route in self._shown and item.seq > self._shown[route] and route.partition("/")[0] not in self._dying
        ]
        self._show(link, newer)

    def _show(self, link: Connection, items: Iterable[Item], *, is_stale: bool = False) -> None:
        """Send values ahead of their turn: up to there everything is history, so that none older follows as current."""
        by_device: dict[str, list[Told]] = {}
        for item in items:
            name = item.route.partition("/")[0]
            if name not in self._born or link.is_choked:
                continue
            self._shown[item.route] = item.seq
            self._drain_to = max(self._drain_to, item.seq)
            metrics = self.catalogue.following(item.route, item.v)
            by_device.setdefault(name, []).extend(Told(each, item, STALE if is_stale else item.q) for each in metrics)
        for name, told in by_device.items():
            if name in self.catalogue.due:
                self._bear(link, name, self._device(name))
            else:
                link.send(self._topics.device("DDATA", name), self.payloads.seal(self.payloads.data(told)))

    def _is_sent(self, route: str) -> bool:
        item = self._stream.latest.get(route)
        return item is None or item.seq <= max(self.spool.position, self._drain_to)

    def _tell_facts(self, link: Connection) -> None:
        changed = [fact for name, fact in self._facts.items() if fact != self._told_facts.get(name)]
        if changed:
            self._told_facts = dict(self._facts)
            link.send(self._topics.node("NDATA"), self.payloads.seal(self.payloads.facts(changed)))

    def _device(self, name: str) -> Device | None:
        return next((device for device in self._gateway.devices() if device.name == name), None)


def _is_up(device: Device) -> bool:
    return device.lifecycle.state is State.CONNECTED


def _stale_routes(device: Device | None, now_ns: int) -> set[str] | None:
    """Return the routes of a device whose values are stale; None: all of them."""
    if device is None or not _is_up(device):
        return None
    stale = [message for message in device.all_messages() if message.row is None or message.is_stale(now_ns)]
    return {f"{device.name}/{message.family}/{stream}" for message in stale for stream in message.streams}
