"""What agent and runner say to each other. Pure.

One connection is one port. Each message is `[length:4, big endian][msgpack]`, an array that begins with its kind. The
runner says Hello, the agent Welcome or No; then both speak when they have something to say, and a Beat at least every
second. A message that is none ends the connection.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from gateway.frame import Address
from hil.agent.errors import AgentProtocolError

VERSION: Final = 1
MOST_BYTES: Final = 256 << 10  # of one message
MOST_HELLO_BYTES: Final = 4 << 10  # of a message from somebody unknown
MOST_WRITE_BYTES: Final = 64 << 10
BEAT_S: Final = 1.0
SILENCE_S: Final = 3.5  # nothing for so long: the other end is gone, whatever TCP believes

_LENGTH: Final = struct.Struct(">I")


class _Message(msgspec.Struct, frozen=True, array_like=True):
    pass


class Hello(_Message, frozen=True, tag="hello"):
    """The runner's first."""

    version: int
    resource: str
    session: str  # of the runner's stream: the same when it comes back after an interruption
    secret: str = ""
    token: int = 0  # of the lease under which it runs
    instance: str = ""  # whose records it has, ...
    next_sequence: int = 0  # ... up to this one


class Welcome(_Message, frozen=True, tag="welcome"):
    """The agent's first."""

    version: int
    instance: str  # of the opened port: with another one the sequence begins anew
    next_sequence: int  # of the first record that may come
    protocol: str
    is_stream: bool
    monotonic_ns: int
    wall_ns: int
    port: str = ""  # as the agent's rig file calls it: "can0", "slcan:/dev/ttyACM0"


class Data(_Message, frozen=True, tag="data"):
    """What one read of the port gave: consecutive records."""

    sequence: int  # of the first
    stamp_ns: int  # the agent's monotonic clock
    wall_ns: int
    payloads: list[bytes]
    addresses: list[Address] | None = None  # of each payload, on a port that has them
    stamps_ns: list[int] | None = None  # monotonic, of each payload, where the port knows more than `stamp_ns`


class Gap(_Message, frozen=True, tag="gap"):
    """Records that will not come; 0: nobody knows how many."""

    count: int
    why: str


class Write(_Message, frozen=True, tag="write"):
    """Something for the port; `asks` where the answer belongs to it (SPI, GATT)."""

    number: int
    data: bytes
    address: Address = None
    asks: bool = False


class Wrote(_Message, frozen=True, tag="wrote"):
    """The port has taken it."""

    number: int
    stamp_ns: int = 0  # the agent's monotonic clock, when the port was given it


class Failed(_Message, frozen=True, tag="failed"):
    """The port has not taken it, or the whole stream is over (`number` 0): a PortError or LeaseLostError, in parts."""

    number: int
    kind: str
    about: str  # the port's name, the target's
    cause: str
    token: int = 0


class No(_Message, frozen=True, tag="no"):
    """Not welcome."""

    why: str
    is_passing: bool = False  # what is in the way may go by itself: somebody else has the port, or it is not there


class Beat(_Message, frozen=True, tag="beat"):
    """A sign of life. The agent answers a runner's with its clocks, and gives the runner's back."""

    runner_ns: int = 0
    monotonic_ns: int = 0
    wall_ns: int = 0


FromRunner = Hello | Write | Beat
FromAgent = Welcome | Data | Gap | Wrote | Failed | No | Beat
Message = FromRunner | FromAgent

_encoder: Final = msgspec.msgpack.Encoder()
_from_runner: Final = msgspec.msgpack.Decoder(FromRunner)
_from_agent: Final = msgspec.msgpack.Decoder(FromAgent)


def encoded(message: Message) -> bytes:
    """Return a message as it travels."""
    body = _encoder.encode(message)
    return _LENGTH.pack(len(body)) + body


class Incoming:
    """Cuts what comes into messages, wherever it was cut on the way."""

    def __init__(self, *, from_agent: bool) -> None:
        self._decode: Callable[[bytes], Message] = _from_agent.decode if from_agent else _from_runner.decode
        self._buffer = bytearray()
        self.most_bytes = MOST_BYTES if from_agent else MOST_HELLO_BYTES  # raised when the runner is known

    def feed(self, data: bytes) -> Iterator[Message]:
        """Give the messages that are whole now. Raises: AgentProtocolError, after which nothing more is understood."""
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > self.most_bytes:
                raise AgentProtocolError(f"a message of {length} bytes; at most {self.most_bytes} are taken")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[_LENGTH.size : end])
            del self._buffer[:end]
            try:
                yield self._decode(body)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise AgentProtocolError(f"no message of version {VERSION}: {error}") from error
