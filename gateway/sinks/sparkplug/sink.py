"""Layer 7: the Sparkplug sink: a connection of its own to the broker of `[mqtt]`, whose will is the death of the node.

Each CONNECT has a number of its own, `bdSeq`, by which hosts tell which death belongs to which birth. It is kept in the
ledger, and durable before the CONNECT that names it goes out: no restart gives it twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import ssl
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, Final

import msgspec
from paho.mqtt.client import MQTTMessage

from gateway.api.follow.history import History
from gateway.api.follow.stream import Stream
from gateway.errors import LedgerError, UsageError
from gateway.ledger.fold import State
from gateway.runtime.backoff import Backoff
from gateway.runtime.crew import Crew
from gateway.sinks.mqtt.connection import BrokerError, Connection, Will
from gateway.sinks.mqtt.sink import (
    ACK_TIMEOUT_S,
    CLOSE_S,
    CURSOR_S,
    REQUESTS_MOST,
    RETRY_FIRST_S,
    RETRY_MOST_S,
    TICK_S,
    Save,
)
from gateway.sinks.sparkplug.commands import IGNORED, REFUSAL, REFUSED, Commands
from gateway.sinks.sparkplug.delivery import GAP, Delivery
from gateway.sinks.sparkplug.payloads import Fact
from gateway.sinks.sparkplug.topics import Topics
from gateway.sinks.sparkplug.values import DataType
from gateway.sinks.surroundings import Surroundings

BDSEQ_ROUTE: Final = "sparkplug/node/bdseq@state"  # in the ledger, of kind `state`
DURABLE_S: Final = 5.0  # that a connection waits for its number to be on the medium

SaveState = Callable[[str, dict[str, Any], Callable[[range | None], None]], None]  # route, body, who hears it is kept

log = logging.getLogger(__name__)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the broker is and who we are there."""

    host: str
    port: int
    client_id: str
    topics: Topics
    username: str | None
    password: Callable[[], str | None]  # read at each connection: secrets change. Raises: UsageError
    context: Callable[[], ssl.SSLContext | None]  # None: without TLS. Raises: OSError, UsageError


class SparkplugSink:
    """One edge node."""

    name: Final = "sparkplug"

    def __init__(
        self,
        settings: Settings,
        gateway: Surroundings,
        save: Save,
        save_state: SaveState,
        *,
        stream: Stream,
        history: History,
    ) -> None:
        """Take what is followed, live and from the medium, and how cursor and state are kept."""
        self._settings = settings
        self._topics = settings.topics
        self._gateway = gateway
        self._keep = save
        self._keep_state = save_state
        self._stream = stream
        self._history = history
        self._facts: dict[str, Fact] = {}
        self._delivery = Delivery(self._topics, stream=stream, history=history, gateway=gateway, facts=self._facts)
        self._bdseq: int | None = None  # of the last CONNECT, or the next; None: there was none in any life
        self._is_bdseq_used = True  # a CONNECT with it went out
        self._opening = 0  # of the ledger that the cursor is about
        self._link: Connection | None = None
        self._reason = ""  # why there is no connection
        self._connections = 0
        self._saved = 0
        self._is_heard = False  # something was acknowledged in this connection
        self._backoff = Backoff(RETRY_FIRST_S, RETRY_MOST_S, random.random)

    def status(self) -> dict[str, Any]:
        """Return its entry of `sinks` in `status --json`."""
        spool = self._delivery.spool
        return {
            "name": self.name,
            "state": self._state,
            "cursor": spool.cursor,
            "lag": max(0, self._stream.numbered_seq - spool.cursor),
            "set_aside": spool.set_aside + self._delivery.set_aside,
            "reconnects": max(0, self._connections - 1),
        }

    @property
    def _state(self) -> str:
        if not self._opening:
            return "no ledger"
        if self._link is None:
            return "disconnected" if self._reason else "connecting"
        return "draining" if self._delivery.is_draining else "connected"

    async def run(self) -> None:
        """Connect, send, and connect again, until cancelled. Raises: nothing that a broker or a network does."""
        self._stream.watch(self._delivery.news)
        try:
            while True:
                await self._follow_ledger()
                try:
                    await self._connection()
                except (BrokerError, UsageError, LedgerError, OSError, ValueError) as error:
                    self._tell_reason(str(error))
                self._delivery.spool.lost()
                await asyncio.sleep(self._backoff.delay_s())
        finally:
            self._stream.unwatch(self._delivery.news)
            self._save()
            self._history.close()

    def _granted(self, refused: list[str]) -> None:
        if refused:
            log.warning("sparkplug: the broker grants no subscription to %s; commands are lost", ", ".join(refused))

    def _tell_reason(self, reason: str) -> None:
        if reason != self._reason:
            log.warning("sparkplug: %s; what is not acknowledged waits in the ledger", reason)
        self._reason = reason

    async def _follow_ledger(self) -> None:
        """Take the place where the ledger knows us to be; a sink that is new begins with what comes from now on."""
        stream, spool = self._stream, self._delivery.spool
        await stream.is_open.wait()
        if self._opening == stream.openings:
            return
        self._history.restart()
        known = spool.saved if self._opening else stream.cursors.get(self.name)
        cursor = stream.opened_seq if known is None else min(known, stream.opened_seq)
        if known is None:
            self._keep(self.name, cursor, stream.incarnation)
        if not self._opening:
            self._bdseq = last_bdseq(stream.state)
        self._opening = stream.openings
        self._saved = cursor
        self._tell_facts()
        spool.move(cursor)

    def _tell_facts(self) -> None:
        """Let the edge node's own metrics say which log this is; what was counted stays."""
        counted = {IGNORED: 0, REFUSED: 0}
        kinds: dict[str, tuple[DataType, Any]] = {
            "Ledger/Log": (DataType.STRING, self._stream.log_id),
            "Ledger/Incarnation": (DataType.UINT64, self._stream.incarnation),
            GAP: (DataType.STRING, None),
            **{name: (DataType.UINT64, count) for name, count in counted.items()},
            REFUSAL: (DataType.STRING, None),
            "Properties/Version": (DataType.STRING, version("tidegate")),
            "Properties/Boot": (DataType.STRING, self._gateway.boot),
        }
        for name, (kind, value) in kinds.items():
            if name not in self._facts or name.startswith("Ledger/"):
                self._facts[name] = Fact(name, self._delivery.catalogue.alias(name), kind, value)

    # ---- one connection

    async def _connection(self) -> None:
        """Be connected as long as it lasts. Raises: BrokerError with why it ended, UsageError, LedgerError, OSError."""
        settings = self._settings
        password, context = settings.password(), settings.context()
        bdseq = await self._next_bdseq()
        death = Will(self._topics.node("NDEATH"), self._delivery.payloads.ndeath(bdseq), is_retained=False)
        async with Crew(self.name, REQUESTS_MOST) as crew:
            link = Connection(
                client_id=settings.client_id, username=settings.username, password=password, will=death,
                on_ack=self._acknowledged, on_message=lambda message: _take(commands, message),
                on_granted=self._granted,
            )  # fmt: skip
            commands = Commands(
                self._topics, self._delivery.catalogue, self._facts, does=self._gateway.does,
                rebirth=self._delivery.ask_rebirth, spawn=crew.spawn,
            )  # fmt: skip
            try:
                await link.open(settings.host, settings.port, context)
                await self._greet(link, bdseq)
                crew.start(self._delivery.run(link), "deliver")
                crew.start(self._look_after(link), "look-after")
                raise BrokerError(await asyncio.shield(link.ended))
            except asyncio.CancelledError:
                await self._say_goodbye(link, death)
                raise
            finally:
                self._is_bdseq_used = link.is_introduced
                self._link = None
                link.drop("we are done")

    async def _next_bdseq(self) -> int:
        """Return the number of the next CONNECT, once the ledger has it; that may take so long that we go without."""
        if not self._is_bdseq_used and self._bdseq is not None:
            return self._bdseq
        bdseq = self._bdseq = 0 if self._bdseq is None else (self._bdseq + 1) % 256
        kept: asyncio.Future[range | None] = asyncio.get_running_loop().create_future()
        self._keep_state(BDSEQ_ROUTE, {"bdseq": bdseq}, lambda seqs: None if kept.done() else kept.set_result(seqs))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DURABLE_S):
                await kept
        return bdseq

    async def _greet(self, link: Connection, bdseq: int) -> None:
        self._connections += 1
        self._is_heard = False
        link.subscribe(self._topics.subscriptions)
        await self._delivery.begin(link, bdseq)
        self._link, self._reason = link, ""
        log.info("sparkplug: connected to %s:%d", self._settings.host, self._settings.port)

    async def _say_goodbye(self, link: Connection, death: Will) -> None:
        """Die in order: who sends DISCONNECT has no will any more, so the death goes out before it."""
        self._delivery.is_stopping = True
        with contextlib.suppress(BrokerError):
            link.publish(death.topic, death.payload)
            await link.close(CLOSE_S)

    def _acknowledged(self, token: int) -> None:
        if not self._is_heard:
            self._is_heard = True
            self._backoff.reset()
        self._delivery.spool.acknowledged(token)
        self._delivery.news.set()

    async def _look_after(self, link: Connection) -> None:
        """Do what is due once a second."""
        since_saved_s = 0.0
        while True:
            await asyncio.sleep(TICK_S)
            link.look_after()
            if link.oldest_wait_s() > ACK_TIMEOUT_S:
                link.drop(f"no acknowledgement for {ACK_TIMEOUT_S:g} s")
            since_saved_s += TICK_S
            if since_saved_s >= CURSOR_S:
                since_saved_s = 0.0
                self._save()

    def _save(self) -> None:
        """Have the ledger keep how far we are, if anything was acknowledged since."""
        saved = self._delivery.spool.saved
        if saved > self._saved:
            self._saved = saved
            self._keep(self.name, saved, self._stream.incarnation)


def last_bdseq(state: State) -> int | None:
    """Return the number of the last CONNECT that a ledger knows of; None: it knows of none."""
    latest = state.latest("state").get(BDSEQ_ROUTE)
    try:
        told = None if latest is None else latest.body["bdseq"]
    except (KeyError, TypeError, ValueError):
        return None
    return told if isinstance(told, int) and 0 <= told <= 255 else None


def _take(commands: Commands, message: MQTTMessage) -> None:
    with contextlib.suppress(UnicodeDecodeError):  # of a topic that no subscription of ours can be meant by
        commands.take(message.topic, bytes(message.payload), is_retained=message.retain, is_again=message.dup)
