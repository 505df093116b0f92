"""Layer 7: the MQTT sink: keeps a connection to one broker, says who is there, and takes requests from it.

What is sent, and in which order, is `delivery`'s. A broker or a network that fails costs a connection, never more.
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
from gateway.api.follow.values import json_bytes
from gateway.errors import LedgerError, UsageError
from gateway.runtime.backoff import Backoff
from gateway.runtime.crew import Crew
from gateway.sinks.homeassistant.announcer import Announcer
from gateway.sinks.mqtt.connection import BrokerError, Connection, Will
from gateway.sinks.mqtt.delivery import Delivery, Format
from gateway.sinks.mqtt.requests import Requests
from gateway.sinks.mqtt.topics import Topics
from gateway.sinks.surroundings import Surroundings

RETRY_FIRST_S: Final = 0.2
RETRY_MOST_S: Final = 30.0
TICK_S: Final = 1.0
CURSOR_S: Final = 5.0  # between two records of how far we are: as long as telemetry may wait for the medium
ACK_TIMEOUT_S: Final = 20.0  # a broker that owes an acknowledgement for so long is left
CLOSE_S: Final = 0.5
REQUESTS_MOST: Final = 64  # under way

Save = Callable[[str, int, int], None]  # into the ledger: consumer, its cursor, incarnation

log = logging.getLogger(__name__)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the broker is and who we are there."""

    host: str
    port: int
    client_id: str
    topics: Topics
    format: Format
    is_home_assistant: bool  # devices are announced to it
    username: str | None
    password: Callable[[], str | None]  # read at each connection: secrets change. Raises: UsageError
    context: Callable[[], ssl.SSLContext | None]  # None: without TLS. Raises: OSError, UsageError


class MqttSink:
    """One broker."""

    name: Final = "mqtt"

    def __init__(
        self, settings: Settings, gateway: Surroundings, save: Save, *, stream: Stream, history: History
    ) -> None:
        """Take what is followed, live and from the medium."""
        self._settings = settings
        self._topics = settings.topics
        self._gateway = gateway
        self._keep = save
        self._stream = stream
        self._history = history
        self._delivery = Delivery(
            self._topics, settings.format, stream=stream, history=history, devices=gateway.devices, clock=gateway.clock
        )
        self._announcer = Announcer(
            self._topics, gateway.name, is_wanted=settings.is_home_assistant, devices=gateway.devices,
            twins=lambda: gateway.commands.twins, discoveries=gateway.discoveries,
        )  # fmt: skip
        self._opening = 0  # of the ledger that the cursor is about
        self._link: Connection | None = None
        self._reason = ""  # why there is no connection
        self._refused: list[str] = []  # subscriptions that the broker does not grant
        self._connections = 0
        self._saved = 0
        self._is_heard = False  # a message was acknowledged in this connection
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

    def _tell_reason(self, reason: str) -> None:
        if reason != self._reason:
            log.warning("mqtt: %s; what is not acknowledged waits in the ledger", reason)
        self._reason = reason

    def _granted(self, refused: list[str]) -> None:
        if refused and refused != self._refused:
            log.warning("mqtt: the broker grants no subscription to %s; what is said there is lost", ", ".join(refused))
        self._refused = refused

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
        self._opening = stream.openings
        self._saved = cursor
        spool.move(cursor)

    # ---- one connection

    async def _connection(self) -> None:
        """Be connected as long as it lasts. Raises: BrokerError with why it ended, UsageError, LedgerError, OSError."""
        settings = self._settings
        async with Crew(self.name, REQUESTS_MOST) as crew:
            link = Connection(
                client_id=settings.client_id,
                username=settings.username,
                password=settings.password(),
                will=Will(self._topics.availability),
                on_ack=self._acknowledged,
                on_message=lambda message: _take(self._announcer, requests, message),
                on_granted=self._granted,
            )
            requests = Requests(
                self._topics, does=self._gateway.does, knows=self._gateway.knows, commands=self._gateway.commands,
                publish=lambda topic, told: _answer(link, topic, told), spawn=crew.spawn,
            )  # fmt: skip
            try:
                await link.open(settings.host, settings.port, settings.context())
                self._greet(link)
                crew.start(self._announcer.run(link), "announce")
                crew.start(self._delivery.run(link), "deliver")
                crew.start(self._look_after(link), "look-after")
                raise BrokerError(await asyncio.shield(link.ended))
            except asyncio.CancelledError:
                await self._say_goodbye(link)
                raise
            finally:
                self._link = None
                link.drop("we are done")

    def _greet(self, link: Connection) -> None:
        stream, gateway = self._stream, self._gateway
        self._connections += 1
        self._is_heard = False
        link.subscribe((*self._topics.subscriptions, *self._announcer.subscriptions))
        link.publish(self._topics.availability, b"online", retain=True)
        birth = {
            "name": gateway.name, "version": version("tidegate"), "log": stream.log_id,
            "incarnation": stream.incarnation, "boot": gateway.boot,
        }  # fmt: skip
        link.publish(self._topics.birth, json_bytes(birth), retain=True)
        self._delivery.begin()
        self._tell_presence(link)
        self._link, self._reason = link, ""
        log.info("mqtt: connected to %s:%d", self._settings.host, self._settings.port)

    async def _say_goodbye(self, link: Connection) -> None:
        """Say that we go, and wait a moment for what is under way."""
        self._delivery.is_stopping = True
        with contextlib.suppress(BrokerError):
            link.publish(self._topics.availability, b"offline", retain=True)
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
            self._tell_presence(link)
            await self._delivery.refresh(link)
            since_saved_s += TICK_S
            if since_saved_s >= CURSOR_S:
                since_saved_s = 0.0
                self._save()

    def _tell_presence(self, link: Connection) -> None:
        presence = self._delivery.presence
        for device, is_up in presence.online(self._gateway.devices()):
            link.publish(self._topics.device(device), b"online" if is_up else b"offline", retain=True)
        for device, delta in presence.deltas(self._gateway.commands.twins):
            link.publish(self._topics.shadow(device, "delta"), json_bytes(delta))

    def _save(self) -> None:
        """Have the ledger keep how far we are, if anything was acknowledged since."""
        saved = self._delivery.spool.saved
        if saved > self._saved:
            self._saved = saved
            self._keep(self.name, saved, self._stream.incarnation)


def _take(announcer: Announcer, requests: Requests, message: MQTTMessage) -> None:
    with contextlib.suppress(UnicodeDecodeError):  # of a topic that no subscription of ours can be meant by
        topic, payload = message.topic, bytes(message.payload)
        if not announcer.take(topic, payload, is_retained=message.retain):
            requests.take(topic, payload, is_retained=message.retain, is_again=message.dup)


def _answer(link: Connection, topic: str, told: Any) -> None:
    if link.is_choked or link.ended.done():
        log.debug("mqtt: an answer has nobody to take it: %s", topic)
        return
    with contextlib.suppress(BrokerError):
        link.publish(topic, json_bytes(told))
