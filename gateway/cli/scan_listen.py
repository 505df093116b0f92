"""Layer 9: what `scan` does with ports: listen for some time, and ask a chip who it is. Nothing else is ever sent."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Final, NamedTuple

from gateway.cli.wire import make_port
from gateway.errors import DriverError, PortError
from gateway.frame import Element, Garbage
from gateway.port import AskingPort, Port
from gateway.profile.build import CompiledProfile
from gateway.profile.model import LinkSpec
from gateway.profile.recognise import Heard, identity_asks

MAX_STREAM_BYTES: Final = 65_536  # of one port at one rate: seconds of the fastest device
MAX_FRAMES: Final = 20_000  # of one bus
MAX_FRAMES_PER_ID: Final = 64
MAX_IDS: Final = 4096
OPEN_TIMEOUT_S: Final = 15.0
ANSWER_TIMEOUT_S: Final = 1.0
_USUAL_BAUDS: Final = (9600, 115200, 38400, 19200, 4800, 2400, 57600)


class Setting(NamedTuple):
    """How a serial line may be set: profiles that agree in it can listen together."""

    baud: int
    data_bits: int
    parity: str
    stop_bits: float

    def __str__(self) -> str:
        """Return `9600 8N1`."""
        return f"{self.baud} {self.data_bits}{self.parity[0].upper()}{self.stop_bits:g}"


def settings_of(profiles: Iterable[CompiledProfile]) -> dict[Setting, list[LinkSpec]]:
    """Return the settings that profiles speak at, the usual ones first."""
    found: dict[Setting, list[LinkSpec]] = {}
    for compiled in profiles:
        link = compiled.profile.link
        if link.bus == "uart" and compiled.profile.framing is not None:
            setting = Setting(link.baud, link.data_bits, link.parity, link.stop_bits)
            found.setdefault(setting, []).append(link)

    def rank(setting: Setting) -> tuple[int, int]:
        usual = _USUAL_BAUDS.index(setting.baud) if setting.baud in _USUAL_BAUDS else len(_USUAL_BAUDS)
        return usual, -len(found[setting])

    return {setting: found[setting] for setting in sorted(found, key=rank)}


async def stream_of(target: str, setting: Setting, seconds: float) -> bytes:
    """Return what a serial line says in so many seconds. Raises: PortError, DriverError."""
    link = LinkSpec(
        bus="uart",
        baud=setting.baud,
        data_bits=setting.data_bits,  # type: ignore[arg-type]  # as a profile has it
        parity=setting.parity,  # type: ignore[arg-type]
        stop_bits=setting.stop_bits,
    )
    heard = bytearray()
    async with _opened(make_port(target, link)) as port:
        with contextlib.suppress(TimeoutError, EOFError):
            async with asyncio.timeout(seconds):
                while len(heard) < MAX_STREAM_BYTES:
                    heard += b"".join((await port.read()).payloads)
    return bytes(heard[:MAX_STREAM_BYTES])


async def frames_of(target: str, link: LinkSpec, seconds: float) -> list[Heard]:
    """Return frames of a bus, a bounded number of each address. Raises: PortError, DriverError."""
    found: list[Heard] = []
    counts: dict[object, int] = {}
    async with _opened(make_port(target, link)) as port:
        with contextlib.suppress(TimeoutError, EOFError):
            async with asyncio.timeout(seconds):
                while len(found) < MAX_FRAMES:
                    batch = await port.read()
                    for payload, address in zip(batch.payloads, batch.addresses or [], strict=False):
                        kind = (
                            (address.address, address.manufacturer, address.service)
                            if isinstance(address, Element)
                            else address
                        )
                        if counts.get(kind, 0) < MAX_FRAMES_PER_ID and (kind in counts or len(counts) < MAX_IDS):
                            counts[kind] = counts.get(kind, 0) + 1
                            found.append(Heard(payload, address))
    return found


async def identity_of(target: str, compiled: CompiledProfile) -> dict[str, bytes]:
    """Return what a chip answers to what its profile asks first when it connects; only registers are read.

    Raises: PortError, DriverError.
    """
    asked = identity_asks(compiled.profile)
    transfers = compiled.transfers()
    answers: dict[str, bytes] = {}
    async with _opened(make_port(target, compiled.profile.link)) as port:
        if not isinstance(port, AskingPort):
            return answers
        for name in asked:
            spec = compiled.profile.message[name].ask
            request = transfers.request(spec) if spec is not None else b""
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await port.ask(request)
                batch = await port.read()
            body = transfers.read(request, batch.payloads[-1])
            if not isinstance(body, Garbage) and body[0] == name:
                length = spec.length if spec is not None and spec.length is not None else len(body[1])
                answers[name] = body[1][:length]
    return answers


def cause_of(error: PortError | DriverError | TimeoutError) -> str:
    """Return why a port could not be listened to, in one line."""
    return str(error) or "it did not answer in time"


def is_silent_line(heard: bytes) -> bool:
    """Return whether a line said so little that another rate would say no more: a wrong rate garbles, not silences."""
    return not heard.strip(b"\0\xff")


@contextlib.asynccontextmanager
async def _opened(port: Port) -> AsyncIterator[Port]:
    async with asyncio.timeout(OPEN_TIMEOUT_S):
        await port.open()
    try:
        yield port
    finally:
        await port.close()
