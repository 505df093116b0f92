"""What the runtime's tests share: small profiles, devices on scripted ports, a whole runtime on fake time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from gateway.framing.cobs import stuff
from gateway.port import Port
from gateway.profile.build import CompiledProfile
from gateway.profile.validate import examine
from gateway.runtime.device import Device
from gateway.runtime.parcel import Parcel
from gateway.runtime.pipeline import Pipeline, PortCounts
from gateway.runtime.scheduler import Scheduler
from gateway.runtime.supervisor import Keeper, Supervisor
from gateway.testing import FakeClock, ScriptedPort, run_on_fake_clock
from gateway.testing.ports import Session

T = TypeVar("T")

COBS = """
[profile]
id     = "test/node@1.0.0"
family = "climate"
[link]
bus = "uart"
[framing]
kind = "cobs"
[lifecycle]
stale_after = "2s"
{extra}
[message.reading]
when   = {{ bytes = {{ 0 = 1 }} }}
fields = [
  {{ type = "u8", const = 1 }},
  {{ name = "temperature", type = "s16be", scale = 0.5, units = "Cel" }},
]
[message.state]
when   = {{ bytes = {{ 0 = 2 }} }}
family = "health"
{state}
fields = [
  {{ type = "u8" }},
  {{ type = "u8", const = 7 }},
  {{ name = "load", type = "u8", units = "%", maximum = 100 }},
]
"""

CAN = """
[profile]
id = "test/motor@1.0.0"
[link]
bus = "can"
[message.speed]
when   = {{ can_id = {id} }}
fields = [{{ name = "speed", type = "u16be", units = "/min" }}]
"""

BEACON = """
[profile]
id     = "test/beacon@1.0.0"
family = "climate"
[link]
bus  = "ble"
mode = "advertisement"
[message.a]
when   = { manufacturer = 0x0499 }
fields = [{ name = "a", type = "u8" }]
[message.b]
when   = { service = "181a" }
fields = [{ name = "b", type = "u8" }]
"""


def compiled(text: str) -> CompiledProfile:
    examined = examine("test.toml", text.encode(), {}, lambda name: b"")
    assert examined.profile is not None, examined.problems
    return CompiledProfile(examined.profile)


def cobs_profile(extra: str = "", state: str = "") -> CompiledProfile:
    return compiled(COBS.format(extra=extra, state=state))


def can_profile(can_id: int = 0x123) -> CompiledProfile:
    return compiled(CAN.format(id=can_id))


def reading(raw: int) -> bytes:
    return bytes([1]) + raw.to_bytes(2, "big", signed=True)


def state(load: int, const: int = 7) -> bytes:
    return bytes([2, const, load])


def wire_bytes(bodies: Iterable[bytes]) -> bytes:
    return b"".join(stuff(body) + b"\0" for body in bodies)


class Rig:
    """One port with its devices, supervised, on fake time."""

    def __init__(self, devices: list[Device], sessions: list[Session], clock: FakeClock, **options: object) -> None:
        self.clock = clock
        self.devices = devices
        self.is_stream = devices[0].profile.profile.link.bus == "uart"
        self.port = ScriptedPort("wire", sessions, is_stream=self.is_stream, clock=clock)
        self.scheduler = Scheduler(clock)
        self.options = options
        self.keeper = Keeper("wire", self.port, devices, self._pipeline, clock, rand=lambda: 0.5)
        self.supervisor = Supervisor(self.scheduler, [self.keeper])

    def _pipeline(self, port: Port, counts: PortCounts) -> Pipeline:
        framer = self.devices[0].profile.framer() if self.is_stream else None
        return Pipeline(port, self.devices, self.clock, counts, framer=framer, **self.options)

    def play(self, scenario: Callable[[], Awaitable[T]]) -> T:
        """Run the rig while `scenario` runs."""

        async def run() -> T:
            running = asyncio.get_running_loop().create_task(self.supervisor.run())
            try:
                return await scenario()
            finally:
                running.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await running

        return run_on_fake_clock(run(), self.clock)

    def play_for(self, seconds: float) -> None:
        self.play(lambda: asyncio.sleep(seconds))


def rig(
    profile: CompiledProfile,
    sessions: list[Session],
    *,
    device_options: dict[str, object] | None = None,
    **options: object,
) -> tuple[Rig, Device]:
    clock = FakeClock()
    device = Device("node", profile, clock, **(device_options or {}))
    return Rig([device], sessions, clock, **options), device


def conserves(device: Device) -> bool:
    frames = device.frames()
    return frames.frames_in == sum(frames[1:])


def parcel(*items: object, keys: str | None = None, producer: str = "", priority: int = 0, at: int = 0) -> Parcel:
    """Return frames as a mailbox takes them: one key letter per item."""
    return Parcel(
        list(items),
        None if keys is None else list(keys),
        received_ns=at,
        producer=producer,
        priority=priority,
    )
