"""Layer 7: what goes out on a connection: values as they come, and before them what the connection before left.

While a broker takes what comes, each value goes to its own topic. What it did not acknowledge, and what came meanwhile,
goes to the batch topic, oldest first, from the ledger; topics of values get their latest, once a second at most. No
topic ever gets an older value behind a newer one. The ledger is the queue: what is under way is few and counted.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Final, Literal

from gateway.api.follow.history import History
from gateway.api.follow.stream import Stream
from gateway.api.follow.values import ASIDE, STALE, Item, Missing, Span, Stretch, document, halves, seq_of, single
from gateway.clock import Clock
from gateway.runtime.device import Device
from gateway.sinks import senml
from gateway.sinks.mqtt.connection import Connection
from gateway.sinks.mqtt.presence import Presence
from gateway.sinks.mqtt.topics import Topics
from gateway.sinks.spool import Spool

MESSAGES_MOST: Final = 512  # under way: values each in a message of its own
DOCUMENTS_MOST: Final = 4
DOCUMENT_BYTES: Final = 120 << 10  # some brokers take no more than 128 KiB
AT_ONCE: Final = 64  # records sent singly in one turn of the loop
NEWS_S: Final = 1.0  # looked again so often where nothing wakes us
PACE: Final = 1.0  # others have the loop for as long as a document of history took

Format = Literal["plain", "batch", "senml"]


class Delivery:
    """One sink's way out, through all its connections."""

    def __init__(
        self,
        topics: Topics,
        kind: Format,
        *,
        stream: Stream,
        history: History,
        devices: Callable[[], Sequence[Device]],
        clock: Clock,
    ) -> None:
        """Take what is followed, live and from the medium."""
        self.spool = Spool(0)
        self.news = asyncio.Event()
        self.presence = Presence(clock)
        self.set_aside = 0  # records that could not be told
        self._topics = topics
        self._is_plain = kind == "plain"
        self._is_senml = kind == "senml"
        self._stream = stream
        self._history = history
        self._devices = devices
        self._clock = clock
        self._drain_to = 0
        self._shown: dict[str, int] = {}  # route -> number of what its topic got last, while draining
        self._aside_seq = 0  # up to here records that could not be told are counted
        self.is_stopping = False

    def begin(self) -> None:
        """Stand at the start of a connection: everything that is there already is history."""
        self.is_stopping = False
        self.presence = Presence(self._clock)
        self._drain_to = self._stream.numbered_seq
        self._shown = {}

    @property
    def is_draining(self) -> bool:
        """Return whether what comes next is history: of before this connection, or of more than the stream holds."""
        position = self.spool.position
        return position < self._drain_to or not self._stream.holds(position)

    async def run(self, link: Connection) -> None:
        """Send what came before and what comes, until the connection ends. Raises: BrokerError, LedgerError."""
        await self._show_latest(link, everything=True)
        openings = self._stream.openings
        while not self.is_stopping:
            if self._stream.openings != openings:
                link.drop("the ledger was opened again")
                return
            self.news.clear()
            is_done = await self._drain(link) if self.is_draining else self._send_live(link)
            if is_done:
                await asyncio.sleep(0)
            else:
                await self._wait_for_news()

    async def refresh(self, link: Connection) -> None:
        """Let topics have what is newer, where history holds it up, and values that went stale say so."""
        if not self._is_plain:
            return
        if self.is_draining:
            await self._show_latest(link)
        for route in self.presence.gone_stale(self._devices(), self._is_sent):
            item = self._stream.latest.get(route)
            if item is not None:
                self._show(link, item, is_stale=True)

    async def _wait_for_news(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(NEWS_S):
                await self.news.wait()

    # ---- as it comes

    def _send_live(self, link: Connection) -> bool:
        """Send what is new; return whether there was anything, and room for it."""
        room = (MESSAGES_MOST if self._is_plain else DOCUMENTS_MOST) - link.waiting
        if room <= 0:
            return False
        at_most = min(AT_ONCE, room) if self._is_plain else self.spool.ration
        stretch = self._stream.after(self.spool.position, at_most)
        if stretch is None:
            return False
        if self._is_plain:
            self._send_singly(link, stretch)
        elif self._is_senml:
            self._send_pack(link, stretch)
        else:
            self._send_document(link, stretch)
        return True

    def _send_singly(self, link: Connection, stretch: Stretch) -> None:
        """Send each value to its own topic; the values of one record are acknowledged together."""
        sent, publish, topic_of = self.spool.sent, link.publish, self._topics.route
        tokens: list[int] = []
        seq = 0
        for item in stretch.items:
            if tokens and seq_of(item) != seq:
                sent(seq, tokens)
                tokens = []
            seq = seq_of(item)
            if isinstance(item, Missing):
                self._count(item)
                gap = Stretch(item.gap.from_, item.gap.to, [item], stretch.incarnation)
                tokens.append(publish(self._topics.batch, document(self._stream.log_id, gap)))
            else:
                body = single(item, stretch.incarnation)
                tokens.append(publish(topic_of(item.route), body, retain=item.is_value))
        if tokens:
            sent(seq, tokens)
        sent(stretch.last)

    def _send_pack(self, link: Connection, stretch: Stretch) -> None:
        """Send a stretch as SenML, and what SenML cannot say on the batch topic; both count for the same records."""
        spool, tokens = self.spool, []
        told = list(filter(senml.is_told, stretch.items))
        rest = [item for item in stretch.items if not senml.is_told(item)]
        if told:
            body = senml.pack(self._stream.log_id, stretch._replace(first=spool.told + 1), told)
            if len(body) > DOCUMENT_BYTES and stretch.last > stretch.first:
                for half in halves(stretch):
                    self._send_pack(link, half)
                return
            tokens.append(link.publish(self._topics.senml, body))
        for item in rest:
            if isinstance(item, Missing):
                self._count(item)
        if rest:
            gaps = Stretch(_first_of(rest[0]), seq_of(rest[-1]), rest, stretch.incarnation)
            tokens.append(link.publish(self._topics.batch, document(self._stream.log_id, gaps)))
        spool.sent(stretch.last, tokens)

    # ---- what came before

    async def _drain(self, link: Connection) -> bool:
        """Send one document of history; return whether there was any, and room for it."""
        spool = self.spool
        if link.waiting >= (1 if spool.is_wary else DOCUMENTS_MOST):
            return False
        began_s = asyncio.get_running_loop().time()
        if self._stream.holds(spool.position):
            stretch = self._stream.after(spool.position, spool.ration)
        else:
            stretch = await self._history.take(spool.position, spool.ration)
        if stretch is None:
            return False
        self._send_document(link, stretch)
        if not self.is_draining and self._is_plain:
            await self._show_latest(link, up_to=spool.position)
        await asyncio.sleep(PACE * (asyncio.get_running_loop().time() - began_s))
        return True

    def _send_document(self, link: Connection, stretch: Stretch) -> None:
        """Send a stretch on the batch topic, from where the document before it ended; nothing for one that is empty."""
        spool = self.spool
        if not stretch.items:
            spool.sent(stretch.last)
            return
        is_aside = spool.sets_aside
        if is_aside:
            span = Span(spool.told + 1, stretch.last, f"{ASIDE}: the receiver does not take it")
            stretch = stretch._replace(items=[Missing(span)])
        body = document(self._stream.log_id, stretch._replace(first=spool.told + 1))
        if len(body) > DOCUMENT_BYTES and stretch.last > stretch.first:
            for half in halves(stretch):
                self._send_document(link, half)
            return
        for item in stretch.items:
            if isinstance(item, Missing) and not is_aside:
                self._count(item)
        spool.sent(stretch.last, [link.publish(self._topics.batch, body)], is_aside=is_aside)

    def _count(self, missing: Missing) -> None:
        if missing.gap.cause.startswith(ASIDE) and missing.gap.to > self._aside_seq:
            self._aside_seq = missing.gap.to
            self.set_aside += 1

    # ---- the latest of each route

    async def _show_latest(self, link: Connection, *, everything: bool = False, up_to: int | None = None) -> None:
        """Let the topics of values have the latest of each route, where that is newer than what they got."""
        if not self._is_plain:
            return
        devices = self._devices()
        names = {device.name for device in devices}
        stale = self.presence.stale_routes(devices) if everything else set()
        for route, item in list(self._stream.latest.items()):
            is_due = everything or item.seq > self._shown.get(route, 0)
            if not is_due or (up_to is not None and item.seq > up_to) or route.partition("/")[0] not in names:
                continue
            while link.waiting >= MESSAGES_MOST and not link.ended.done():
                self.news.clear()
                await self._wait_for_news()
            self._show(link, item, is_stale=route in stale)

    def _show(self, link: Connection, item: Item, *, is_stale: bool) -> None:
        """Send a value ahead of its turn: up to there everything is history, so that none older follows it."""
        self._shown[item.route] = item.seq
        self._drain_to = max(self._drain_to, item.seq)
        body = single(item, self._stream.incarnation_of(item.seq), STALE if is_stale else None)
        link.publish(self._topics.route(item.route), body, retain=True)

    def _is_sent(self, route: str) -> bool:
        item = self._stream.latest.get(route)
        return item is None or item.seq <= max(self.spool.position, self._drain_to)


def _first_of(item: Item | Missing) -> int:
    return item.gap.from_ if isinstance(item, Missing) else item.seq
