"""Layer 7: one connection to a broker, from CONNECT to its end. paho speaks MQTT over a wire that asyncio drives.

paho takes our wire for a socket that never blocks: what it sends is gathered and goes out once a turn of the loop, what
comes in waits there until paho reads it. So there is no thread, and name look-up and TLS are asyncio's.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import Any, Final

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

KEEPALIVE_S: Final = 15
CONNECT_TIMEOUT_S: Final = 10.0
MAX_PACKET_BYTES: Final = 256 << 10  # that a broker may send us
READ_AHEAD_BYTES: Final = 64 << 10  # in memory and not read by paho: then the broker waits
WRITE_MOST_BYTES: Final = 4 << 20  # that a broker does not take: then nothing more is offered


class BrokerError(ConnectionError):
    """The broker is not there, refuses us, or went away."""


class Wire(asyncio.Protocol):
    """asyncio's transport, as the socket that paho takes it for."""

    def __init__(self, on_news: Callable[[], None]) -> None:
        """Take who reads what came; told also when the connection is gone."""
        self._on_news = on_news
        self._transport: asyncio.Transport | None = None
        self._in = bytearray()
        self._at = 0
        self._out: list[bytes] = []
        self._is_gone = False
        self._loop = asyncio.get_running_loop()

    # ---- asyncio's

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Keep what came until it is read."""
        self._in += data
        if len(self._in) - self._at > READ_AHEAD_BYTES and self._transport is not None:
            self._transport.pause_reading()
        self._on_news()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Let the reader find the end."""
        self._is_gone = True
        self._on_news()

    @property
    def has_data(self) -> bool:
        """Return whether there is something to read, the end included."""
        return self._at < len(self._in) or self._is_gone

    @property
    def unsent_bytes(self) -> int:
        """Return how much the broker has not taken."""
        transport = self._transport
        return sum(map(len, self._out)) + (0 if transport is None else transport.get_write_buffer_size())

    # ---- paho's

    def recv(self, count: int) -> bytes:
        """Return up to `count` bytes; b"" at the end. Raises: BlockingIOError, ConnectionError for a huge packet."""
        if count > MAX_PACKET_BYTES:
            raise ConnectionError(f"a packet with {count:,} bytes; at most {MAX_PACKET_BYTES:,} are taken")
        data = bytes(self._in[self._at : self._at + count])
        self._at += len(data)
        if self._at == len(self._in):
            self._in.clear()
            self._at = 0
            if self._transport is not None and not self._is_gone:
                self._transport.resume_reading()
        if not data and not self._is_gone:
            raise BlockingIOError
        return data

    def send(self, data: bytes) -> int:
        """Take everything; it goes out when the loop turns."""
        if self._is_gone:
            raise ConnectionError("the connection is gone")
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(bytes(data))
        return len(data)

    def close(self) -> None:
        """Send what waits, and end it."""
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End it now."""
        if self._transport is not None:
            self._transport.abort()

    def setblocking(self, flag: bool) -> None:
        """Do nothing: it never blocks."""

    def fileno(self) -> int:
        """Return none: nobody may wait for it but the loop."""
        return -1

    def _flush(self) -> None:
        out, self._out = self._out, []
        if out and self._transport is not None and not self._is_gone:
            self._transport.write(out[0] if len(out) == 1 else b"".join(out))


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
        will: str,
        on_ack: Callable[[int], None],
        on_message: Callable[[MQTTMessage], None],
        on_granted: Callable[[list[str]], None],
    ) -> None:
        """Take who we are, the topic that says "offline" for us, and who hears of what comes.

        `on_granted` hears, when the broker has answered, which subscriptions it does not grant.
        """
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[str] = loop.create_future()
        self._welcome: asyncio.Future[str] = loop.create_future()  # "": we are in
        self._loop = loop
        self._client = client = _Paho(
            CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=True, protocol=MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )  # fmt: skip
        client.max_inflight_messages = 0  # who sends keeps a window of its own
        client.suppress_exceptions = True
        client.will_set(will, b"offline", qos=1, retain=True)
        if username is not None:
            client.username_pw_set(username, password)
        self._on_ack = on_ack
        self._topics: tuple[str, ...] = ()  # subscribed to
        self._idle: asyncio.Event | None = None  # who closes waits for everything to be acknowledged
        self.sent_s: dict[int, float] = {}  # message -> when it was sent, for those not acknowledged
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
        client.on_publish = self._published
        client.on_subscribe = self._subscribed
        self._on_granted = on_granted
        client.on_message = lambda _client, _data, message: on_message(message)
        self.wire = client.wire = Wire(self._read)

    async def open(self, host: str, port: int, context: ssl.SSLContext | None) -> None:
        """Connect and wait for the broker's word. Raises: BrokerError, with why."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                name = host if context is not None else None
                await self._loop.create_connection(lambda: self.wire, host, port, ssl=context, server_hostname=name)
                self._client.connect_async(host, port, keepalive=KEEPALIVE_S)
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
        done = self._client.publish(topic, payload, qos=1, retain=retain)
        if done.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise BrokerError(f"the connection is gone ({done.rc.name})")
        self.sent_s[done.mid] = self._loop.time()
        return done.mid

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

    def _published(self, _client: Client, _data: Any, mid: int, _reason: ReasonCode, _properties: Properties) -> None:
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
