"""A port with a COBS node at its end, and what the shipped profile makes of what comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from gateway.frame import Garbage
from gateway.port import Port
from gateway.profile.build import CompiledProfile
from gateway.profile.load import find_profile, load_profile
from gateway.profile.model import LinkSpec
from gateway.schema.plan import values_of

LIMIT_S = 30.0  # for what is only a matter of time
PROFILE = CompiledProfile(load_profile(find_profile("cobs-node")))
LINK = LinkSpec(bus="uart", baud=115200)


def set_valve(counter: int, percent: float) -> bytes:
    """Return the wire of a command, after a 00 that cuts off whatever was left of a frame before (PROTOCOL 2)."""
    body = PROFILE.messages["set_valve"].encode({"counter": counter, "position": percent, "ramp": 0})
    return b"\0" + PROFILE.framer().encode(body)


class NodeLine:
    """Reads messages by name; what else comes is passed over, garbage is kept."""

    def __init__(self, port: Port) -> None:
        self.port = port
        self.garbage: list[Garbage] = []
        self._framer = PROFILE.framer()
        self._pending: list[bytes | Garbage] = []

    async def next(self, message: str, wanted: Callable[[dict[str, Any]], bool] = lambda _: True) -> dict[str, Any]:
        """Return the values of the next such message."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                while self._pending:
                    body = self._pending.pop(0)
                    if isinstance(body, Garbage):
                        self.garbage.append(body)
                    elif (name := PROFILE.match(body, None)) == message:
                        values = values_of(PROFILE.messages[name], PROFILE.messages[name].decode(body))
                        if wanted(values):
                            return values
                for chunk in (await self.port.read()).payloads:
                    self._pending += self._framer.feed(chunk)

    async def silence(self, seconds: float) -> dict[str, Any] | None:
        """Return the last measurement before none came for so long, None where there was none."""
        last = None
        while True:
            try:
                async with asyncio.timeout(seconds):
                    last = await self.next("measurement")
            except TimeoutError:
                return last
