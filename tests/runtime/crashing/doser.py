"""A device on a bus with four setpoints, and how it takes what it is told: it obeys, clamps, lies, breaks off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple

from gateway.errors import PortLostError, PortOptionError
from gateway.frame import Address, PortName
from gateway.profile.setpoint import compile_setpoints
from tests.runtime.kit import compiled

PROFILE: Final = compiled("""
[profile]
id     = "test/doser@1.0.0"
family = "doser"
[link]
bus   = "can"
match = { can_ids = [0x201, 0x202] }
[lifecycle]
stale_after = "5s"
[message.status]
when   = { can_id = 0x201 }
fields = [
  { name = "speed", type = "u16be" }, { name = "dose", type = "u16be" },
  { name = "gate",  type = "u16be" }, { name = "tone", type = "u16be" },
]
[message.answer]
when   = { can_id = 0x202 }
fields = [{ name = "counter", type = "u8" }, { name = "result", type = "u8" }]
[message.run]
when      = { can_id = 0x101 }
direction = "out"
fields    = [{ name = "speed", type = "u16be" }, { name = "counter", type = "u8" }]
[message.give]
when      = { can_id = 0x102 }
direction = "out"
fields    = [{ name = "dose", type = "u16be" }]
[message.open]
when      = { can_id = 0x103 }
direction = "out"
fields    = [{ name = "gate", type = "u16be" }]
[message.sing]
when      = { can_id = 0x104 }
direction = "out"
fields    = [{ name = "tone", type = "u16be" }]
[setpoint.speed]
write      = "run.speed"
report     = "status.speed"
ack        = { message = "answer", same = { counter = "counter" }, accept = { result = 0 } }
fill       = { counter = "counter" }
tolerance  = 2
timeout    = "300ms"
attempts   = 3
idempotent = true
[setpoint.dose]
write     = "give.dose"
report    = "status.dose"
tolerance = 2
timeout   = "300ms"
[setpoint.gate]
write     = "open.gate"
report    = "status.gate"
confirm   = "operator"
tolerance = 2
timeout   = "300ms"
[setpoint.tone]
write   = "sing.tone"
report  = "status.tone"
confirm = "none"
""")
SETPOINTS: Final = compile_setpoints(PROFILE)
NAMES: Final = ("speed", "dose", "gate", "tone")
BY_CAN_ID: Final = dict(zip((0x101, 0x102, 0x103, 0x104), NAMES, strict=True))
MANNERS: Final = (
    "obeys", "clamps", "ignores", "refuses", "lies", "acks late", "is mute", "breaks off", "is busy", "takes its time",
)  # fmt: skip
ACCEPTED, REFUSED = 0, 3
SOON_S, LATE_S, SLOW_S = 0.02, 0.7, 0.25


class Frame(NamedTuple):
    """What the device says."""

    key: str  # of the message
    body: bytes


class Doser:
    """The far end of the wire. `say` takes its frames to whichever gateway listens."""

    def __init__(self, say: Callable[[Frame], None]) -> None:
        self.values = dict.fromkeys(NAMES, 5)
        self.manner = "obeys"
        self._say = say

    def take(self, name: str, value: int, counter: int) -> None:
        """Make something of what came over the wire."""
        if self.manner in {"obeys", "acks late", "is mute", "breaks off", "takes its time"}:
            self.values[name] = value
        elif self.manner == "clamps":
            self.values[name] = min(value, 7)
        later = asyncio.get_running_loop().call_later
        if self.manner in {"obeys", "clamps", "refuses", "lies", "takes its time", "acks late"}:
            result = REFUSED if self.manner == "refuses" else ACCEPTED
            after_s = LATE_S if self.manner == "acks late" else SOON_S
            later(after_s, self._say, Frame("answer", bytes([counter, result])))
        if self.manner in {"obeys", "clamps", "lies", "takes its time"}:
            later(2 * SOON_S, self.report)

    def report(self) -> None:
        """Say where everything stands."""
        self._say(Frame("status", b"".join(self.values[name].to_bytes(2, "big") for name in NAMES)))


class Wire:
    """Our end: a port that is open until it is lost. `on_write` is told of every byte before the device is."""

    def __init__(self, doser: Doser, on_write: Callable[[str, int], None], lose: Callable[[], None]) -> None:
        self.name = PortName("wire")
        self.is_stream = False
        self.is_dead = False
        self._doser = doser
        self._on_write = on_write
        self._lose = lose

    async def write(self, data: bytes, address: Address = None) -> None:
        """Take one frame. Raises: PortOptionError before anything went out, PortLostError after it did."""
        assert isinstance(address, int)
        name = BY_CAN_ID[address & 0x7FF]
        if self.is_dead or self._doser.manner == "is busy":
            raise PortOptionError(self.name, "busy")
        value, counter = int.from_bytes(data[:2], "big"), data[2] if len(data) > 2 else 0
        self._on_write(name, value)
        self._doser.take(name, value, counter)
        if self._doser.manner == "takes its time":
            await asyncio.sleep(SLOW_S)
        if self._doser.manner == "breaks off":
            self._lose()
            raise PortLostError(self.name, "unplugged")
