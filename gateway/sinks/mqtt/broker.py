"""Layer 7: what every sink to a broker does alike: its place in the ledger, its connections, what is due each second.

A broker or a network that fails costs a connection, never more: what was not acknowledged waits in the ledger.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import ssl
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Final, Protocol

import msgspec
from paho.mqtt.client import MQTTMessage

from gateway.api.follow.history import History
from gateway.api.follow.stream import Stream
from gateway.errors import LedgerError, UsageError
from gateway.runtime.backoff import Backoff
from gateway.runtime.crew import Crew
from gateway.sinks.mqtt.connection import BrokerError, Connection, Will
from gateway.sinks.spool import Spool

RETRY_FIRST_S: Final = 0.2
RETRY_MOST_S: Final = 30.0
TICK_S: Final = 1.0
CURSOR_S: Final = 5.0  # between two records of how far we are: as long as telemetry may wait for the medium
ACK_TIMEOUT_S: Final = 20.0  # a broker that owes an acknowledgement for so long is left
CLOSE_S: Final = 0.5
REQUESTS_MOST: Final = 64  # under way

Save = Callable[[str, int, int], None]  # into the ledger: consumer, its cursor, incarnation

log = logging.getLogger(__name__)


class BrokerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where a broker is and who we are there."""

    host: str
    port: int
    client_id: str
    username: str | None
    password: Callable[[], str | None]  # read at each connection: secrets change. Raises: UsageError
    context: Callable[[], ssl.SSLContext | None]  # None: without TLS. Raises: OSError, UsageError


class Outgoing(Protocol):
    """What a sink sends, and in which order."""

    spool: Spool
    news: asyncio.Event  # something came, or was acknowledged
    set_aside: int  # records that could not be told
    is_stopping: bool

    @property
    def is_draining(self) -> bool:
        """Return whether what comes next is history."""
        ...

    async def run(self, link: Connection) -> None:
        """Send what came before and what comes, until the connection ends. Raises: BrokerError, LedgerError."""
        ...


class BrokerSink(ABC):
    """One sink, through all its connections."""

    name: ClassVar[str]  # in `status`, in the log, and of its cursor

    def __init__(
        self, broker: BrokerSettings, outgoing: Outgoing, save: Save, *, stream: Stream, history: History
    ) -> None:
        """Take what is followed, live and from the medium, and how the cursor is kept."""
        self._broker = broker
        self._outgoing = outgoing
        self._keep = save
        self._stream = stream
        self._history = history
        self._opening = 0  # of the ledger that the cursor is about
        self._link: Connection | None = None
        self._reason = ""  # why there is no connection
        self._refused: list[str] = []  # subscriptions that the broker does not grant
        self._connections = 0
        self._saved = 0
        self._is_heard = False  # something was acknowledged in this connection
        self._backoff = Backoff(RETRY_FIRST_S, RETRY_MOST_S, random.random)

    # ---- each sink's own

    @abstractmethod
    async def _will(self) -> Will:
        """Return what the broker is to tell when this connection ends without a word."""

    @abstractmethod
    def _hears(self, link: Connection, crew: Crew) -> Callable[[MQTTMessage], None]:
        """Return what takes messages that come in a connection which is about to be opened."""

    @abstractmethod
    async def _greet(self, link: Connection, crew: Crew) -> None:
        """Subscribe, and say what is said first. Raises: BrokerError."""

    @abstractmethod
    def _farewell(self, link: Connection) -> None:
        """Say what is said last. Raises: BrokerError."""

    def _begin(self, *, is_first: bool) -> None:  # noqa: B027 - nothing to do is right for most
        """Take a ledger that was opened, for the first time or again."""

    async def _tick(self, link: Connection) -> None:  # noqa: B027
        """Do what is due once a second. Raises: BrokerError."""

    def _over(self, link: Connection) -> None:  # noqa: B027
        """Take that a connection is over, or never came about."""

    # ---- what all have

    def status(self) -> dict[str, Any]:
        """Return its entry of `sinks` in `status --json`."""
        spool = self._outgoing.spool
        return {
            "name": self.name,
            "state": self._state,
            "cursor": spool.cursor,
            "lag": max(0, self._stream.numbered_seq - spool.cursor),
            "set_aside": spool.set_aside + self._outgoing.set_aside,
            "reconnects": max(0, self._connections - 1),
        }

    @property
    def _state(self) -> str:
        if not self._opening:
            return "no ledger"
        if self._link is None:
            return "disconnected" if self._reason else "connecting"
        return "draining" if self._outgoing.is_draining else "connected"

    async def run(self) -> None:
        """Connect, send, and connect again, until cancelled. Raises: nothing that a broker or a network does."""
        self._stream.watch(self._outgoing.news)
        try:
            while True:
                await self._follow_ledger()
                try:
                    await self._connection()
                except (BrokerError, UsageError, LedgerError, OSError, ValueError) as error:
                    self._tell_reason(str(error))
                self._outgoing.spool.lost()
                await asyncio.sleep(self._backoff.delay_s())
        finally:
            self._stream.unwatch(self._outgoing.news)
            self._save()
            self._history.close()

    async def _follow_ledger(self) -> None:
        """Take the place where the ledger knows us to be; a sink that is new begins with what comes from now on."""
        stream, spool = self._stream, self._outgoing.spool
        await stream.is_open.wait()
        if self._opening == stream.openings:
            return
        is_first = not self._opening
        self._history.restart()
        known = stream.cursors.get(self.name) if is_first else spool.saved
        cursor = stream.opened_seq if known is None else min(known, stream.opened_seq)
        if known is None:
            self._keep(self.name, cursor, stream.incarnation)
        self._opening = stream.openings
        self._saved = cursor
        self._begin(is_first=is_first)
        spool.move(cursor)

    async def _connection(self) -> None:
        """Be connected as long as it lasts. Raises: BrokerError with why it ended, UsageError, LedgerError, OSError."""
        broker = self._broker
        password, context = broker.password(), broker.context()
        will = await self._will()
        async with Crew(self.name, REQUESTS_MOST) as crew:
            link = Connection(
                client_id=broker.client_id, username=broker.username, password=password, will=will,
                on_ack=self._acknowledged, on_granted=self._granted,
                on_message=lambda message: hear(message),  # noqa: PLW0108 - who hears needs the link
            )  # fmt: skip
            hear = self._hears(link, crew)
            try:
                await link.open(broker.host, broker.port, context)
                self._connections += 1
                self._is_heard = False
                await self._greet(link, crew)
                self._link, self._reason = link, ""
                log.info("%s: connected to %s:%d", self.name, broker.host, broker.port)
                crew.start(self._outgoing.run(link), "deliver")
                crew.start(self._look_after(link), "look-after")
                raise BrokerError(await asyncio.shield(link.ended))
            except asyncio.CancelledError:
                self._outgoing.is_stopping = True
                with contextlib.suppress(BrokerError):
                    self._farewell(link)
                    await link.close(CLOSE_S)
                raise
            finally:
                self._over(link)
                self._link = None
                link.drop("we are done")

    async def _look_after(self, link: Connection) -> None:
        since_saved_s = 0.0
        while True:
            await asyncio.sleep(TICK_S)
            link.look_after()
            if link.oldest_wait_s() > ACK_TIMEOUT_S:
                link.drop(f"no acknowledgement for {ACK_TIMEOUT_S:g} s")
            await self._tick(link)
            since_saved_s += TICK_S
            if since_saved_s >= CURSOR_S:
                since_saved_s = 0.0
                self._save()

    def _acknowledged(self, token: int) -> None:
        if not self._is_heard:
            self._is_heard = True
            self._backoff.reset()
        self._outgoing.spool.acknowledged(token)
        self._outgoing.news.set()

    def _save(self) -> None:
        """Have the ledger keep how far we are, if anything was acknowledged since."""
        saved = self._outgoing.spool.saved
        if saved > self._saved:
            self._saved = saved
            self._keep(self.name, saved, self._stream.incarnation)

    def _granted(self, refused: list[str]) -> None:
        if refused and refused != self._refused:
            topics = ", ".join(refused)
            log.warning("%s: the broker grants no subscription to %s; what is said there is lost", self.name, topics)
        self._refused = refused

    def _tell_reason(self, reason: str) -> None:
        if reason != self._reason:
            log.warning("%s: %s; what is not acknowledged waits in the ledger", self.name, reason)
        self._reason = reason
