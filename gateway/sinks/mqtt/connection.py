"""Layer 7: one connection to a broker, from CONNECT to its end. paho speaks MQTT over a wire that asyncio drives.

paho takes our wire (`wire`) for a socket that never blocks. So there is no thread, and name look-up and TLS are
asyncio's. Only what comes by the ten thousand, PUBLISH and acknowledgements, is packed and read here (MQTT 3.1.1, 3.3,
3.4, 3.10, 3.11): paho takes twice as long for them as everything else together.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from gateway.sinks.mqtt.wire import Wire

KEEPALIVE_S: Final = 15
CONNECT_TIMEOUT_S: Final = 10.0
WRITE_MOST_BYTES: Final = 4 << 20  # that a broker does not take: then nothing more is offered
FIRST_MID: Final = 1 << 10  # packet identifiers below are paho's: it needs a few, for SUBSCRIBE
LAST_MID: Final = 0xFFFF
_PUBLISH: Final = 0x30  # the lowest bit says that it is retained
_ONCE_AT_LEAST: Final = 0x02
_UNSUBSCRIBE: Final = 0xA2


class BrokerError(ConnectionError):
    """The broker is not there, refuses us, or went away."""


class Will(NamedTuple):
    """What a broker tells for somebody whose connection ends without a word."""

    topic: str
    payload: bytes = b"offline"
    is_retained: bool = True


class _Paho(Client):
    """paho over a wire that is open already."""

    wire: Wire

    def _create_socket(self) -> Any:
        return self.wire

    def _handle_publish(self) -> MQTTErrorCode:
        """Take nothing with QoS 2, which nobody asked for: it would be kept here until the broker says more."""
        is_twice: bool = self._in_packet["command"] & 0x06 == 0x04
        return MQTTErrorCode.MQTT_ERR_PROTOCOL if is_twice else super()._handle_publish()


class Connection:
    """One connection. Ends once; `ended` says why."""

    def __init__(
        self,
        *,
        client_id: str,
        username: str | None,
        password: str | None,
        will: Will,
        on_ack: Callable[[int], None],
        on_message: Callable[[MQTTMessage], None],
        on_granted: Callable[[list[str]], None],
    ) -> None:
        """Take who we are, what the broker says for us when we are gone, and who hears of what comes.

        `on_granted` hears, when the broker has answered, which subscriptions it does not grant.
        """
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[str] = loop.create_future()
        self._welcome: asyncio.Future[str] = loop.create_future()  # "": we are in
        self.is_introduced = False  # CONNECT went out
        self._loop = loop
        self._client = client = _Paho(
            CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=True, protocol=MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )  # fmt: skip
        client.suppress_exceptions = True
        client.will_set(will.topic, will.payload, qos=1, retain=will.is_retained)
        if username is not None:
            client.username_pw_set(username, password)
        self._on_ack = on_ack
        self._topics: tuple[str, ...] = ()  # subscribed to
        self._idle: asyncio.Event | None = None  # who closes waits for everything to be acknowledged
        self.sent_s: dict[int, float] = {}  # message -> when it was sent, for those not acknowledged
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
        client.on_subscribe = self._subscribed
        self._on_granted = on_granted
        client.on_message = lambda _client, _data, message: on_message(message)
        self.wire = client.wire = Wire(self._read, self._published)
        self._mid = FIRST_MID

    async def open(self, host: str, port: int, context: ssl.SSLContext | None) -> None:
        """Connect and wait for the broker's word. Raises: BrokerError, with why."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                name = host if context is not None else None
                await self._loop.create_connection(lambda: self.wire, host, port, ssl=context, server_hostname=name)
                self._client.connect_async(host, port, keepalive=KEEPALIVE_S)
                self.is_introduced = True
                self._client.reconnect()
                refused = await self._welcome
        except TimeoutError:
            self.wire.abort()
            raise BrokerError(f"{host}:{port} does not answer within {CONNECT_TIMEOUT_S:g} s") from None
        except OSError as error:
            self.wire.abort()
            raise BrokerError(f"{host}:{port}: {error.strerror or error}") from error
        if refused:
            self.wire.abort()
            raise BrokerError(f"{host}:{port} {refused}")

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int:
        """Send at least once; return the number that its acknowledgement will name. Raises: BrokerError."""
        mid = self._next_mid()
        self._pack(_PUBLISH | _ONCE_AT_LEAST | retain, _field(topic) + mid.to_bytes(2, "big"), payload)
        return mid

    def send(self, topic: str, payload: bytes) -> None:
        """Send at most once: nobody acknowledges it. Raises: BrokerError."""
        self._check()
        self._pack(_PUBLISH, _field(topic), payload)

    def fence(self, never_subscribed: str) -> int:
        """Ask what the broker must answer behind all that was sent before; return the number that the answer will name.

        Unsubscribes from a topic that was never subscribed to. Raises: BrokerError.
        """
        mid = self._next_mid()
        self._pack(_UNSUBSCRIBE, mid.to_bytes(2, "big"), _field(never_subscribed))
        return mid

    def _next_mid(self) -> int:
        """Return a number that nothing under way has, and take it that it is sent now."""
        self._check()
        mid = self._mid
        while mid in self.sent_s:
            mid = mid + 1 if mid < LAST_MID else FIRST_MID
        self._mid = mid + 1 if mid < LAST_MID else FIRST_MID
        self.sent_s[mid] = self._loop.time()
        return mid

    def _check(self) -> None:
        if self.ended.done():
            raise BrokerError(self.ended.result())

    def _pack(self, first: int, head: bytes, rest: bytes) -> None:
        self.wire.send(b"".join((_fixed(first, len(head) + len(rest)), head, rest)))

    def subscribe(self, topics: tuple[str, ...]) -> None:
        """Ask for messages, at least once each."""
        self._topics = topics
        self._client.subscribe([(topic, 1) for topic in topics])

    @property
    def waiting(self) -> int:
        """Return how many messages are not acknowledged."""
        return len(self.sent_s)

    @property
    def is_choked(self) -> bool:
        """Return whether the broker does not take what it is sent."""
        return self.wire.unsent_bytes > WRITE_MOST_BYTES

    def oldest_wait_s(self) -> float:
        """Return for how long the oldest message has not been acknowledged."""
        return self._loop.time() - next(iter(self.sent_s.values())) if self.sent_s else 0.0

    def look_after(self) -> None:
        """Ping when nothing was said, and notice that nobody answers; to be called every second."""
        self._client.loop_misc()

    def drop(self, reason: str) -> None:
        """End it because it is of no use any more."""
        self._end(reason)
        self.wire.abort()

    async def close(self, within_s: float) -> None:
        """Wait until everything is acknowledged, as long as may be, and say goodbye: no will is sent then."""
        self._idle = asyncio.Event()
        if self.sent_s and not self.ended.done():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await self._idle.wait()
        self._client.disconnect()
        self.wire.close()

    # ---- paho's

    def _read(self) -> None:
        """Let paho take what came, a slice at a time."""
        if not self.wire.has_data or self._client.socket() is None:
            return
        self._client.loop_read()
        if self._client.want_write():
            self._client.loop_write()
        if self.wire.has_data:
            self._loop.call_soon(self._read)

    def _connected(
        self, _client: Client, _data: Any, _flags: ConnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if not self._welcome.done():
            self._welcome.set_result(f"refuses us: {reason}" if reason.is_failure else "")

    def _disconnected(
        self, _client: Client, _data: Any, _flags: DisconnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        self._end(f"the connection ended: {reason}")

    def _subscribed(
        self, _client: Client, _data: Any, _mid: int, reasons: list[ReasonCode], _properties: Properties | None
    ) -> None:
        answered = zip(self._topics, reasons, strict=False)
        self._on_granted([topic for topic, reason in answered if reason.is_failure])

    def _published(self, mids: list[int]) -> None:
        for mid in mids:
            if self.sent_s.pop(mid, None) is not None:
                self._on_ack(mid)
        if self._idle is not None and not self.sent_s:
            self._idle.set()

    def _end(self, reason: str) -> None:
        if not self._welcome.done():
            self._welcome.set_result(f"closes at once: {reason}")
        if not self.ended.done():
            self.ended.set_result(reason)
            if self._idle is not None:
                self._idle.set()


@lru_cache(4_096)
def _field(text: str) -> bytes:
    """Return text as a packet has it: its length first (MQTT 3.1.1, 1.5.3)."""
    data = text.encode()
    return len(data).to_bytes(2, "big") + data


def _fixed(first: int, length: int) -> bytes:
    """Return a packet's fixed header: its first byte and how much follows (MQTT 3.1.1, 2.2.3)."""
    if length < 128:
        return bytes((first, length))
    head = bytearray((first,))
    while length > 127:
        head.append(length & 127 | 128)
        length >>= 7
    head.append(length)
    return bytes(head)
