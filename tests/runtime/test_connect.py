"""Devices that are set up before they are CONNECTED: SPI transfers and GATT reads through the whole runtime."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.clock import Clock
from gateway.config import read_site
from gateway.errors import PortRefusedError, PortTimeoutError
from gateway.frame import Address, Element
from gateway.port import Port
from gateway.profile.model import LinkSpec
from gateway.route import Route, Variant
from gateway.runtime.device import Device
from gateway.runtime.looks import DeviceLooks
from gateway.runtime.scheduler import Scheduler
from gateway.runtime.supervisor import Keeper, Supervisor
from gateway.testing import AnsweringPort, FakeClock, SampledPort, run_on_fake_clock
from tests.runtime.wired import wired as fitted

SENSOR = """
[profile]
id = "test/sensor@1.0.0"
[link]
bus = "spi"
[lifecycle]
reconnect = "1s..4s"
connect = [
  { ask = "identity" }, { write = { register = 0xe0, data = "b6" } }, { wait = "10ms" }, { ask = "trim" },
]
[message.identity]
ask = { register = 0xd0, length = 1 }
every = "never"
fields = [{ type = "u8", const = 0x58 }]
[message.trim]
ask = { register = 0x88, length = 2 }
every = "never"
fields = [{ name = "trim", type = "u16le" }]
[message.sample]
ask = { register = 0xf7, length = 2 }
every = "100ms"
fields = [{ name = "level", type = "u16be" }]
"""
MONITOR = """
[profile]
id = "test/monitor@1.0.0"
[link]
bus = "ble"
mode = "gatt"
match = { service = "180d" }
[message.rate]
when = { characteristic = "2a37" }
fields = [{ name = "rate", type = "u8" }]
[message.battery]
ask = { characteristic = "2a19" }
every = "10s"
fields = [{ name = "battery", type = "u8" }]
"""


class Chip:
    """Registers behind an SPI bus; the first byte of a transfer is the address."""

    def __init__(self) -> None:
        self.registers = {0xD0: b"\x58", 0x88: b"\x34\x12", 0xF7: b"\x01\x02"}

    def __call__(self, request: bytes, _address: Address) -> list[bytes | Exception]:
        return [b"\0" + self.registers[request[0]]]


class OneDriver:
    """Gives one port for whatever is asked."""

    name = "one"

    def __init__(self, port: AnsweringPort) -> None:
        self.port = port
        self.wanted: object = None

    def __call__(self, _target: str, _bus: str) -> OneDriver:
        return self

    def make(self, _target: str, _link: LinkSpec, _clock: Clock) -> Port:
        return self.port

    def claims(self, _target: str, _bus: str) -> bool:
        return True


class Bench:
    """One device on one port, wired as a site wires it, on fake time."""

    def __init__(self, folder: Path, profile: str, port_text: str, make: Callable[[Clock], AnsweringPort]) -> None:
        (folder / "p.toml").write_text(profile)
        self.clock = FakeClock()
        self.port = make(self.clock)
        site = read_site("site.toml", f'[device.it]\nprofile = "p.toml"\nport = "{port_text}"\n'.encode())
        self.keepers: list[Keeper] = fitted(site, folder, self.clock, OneDriver(self.port))
        self.device: Device = self.keepers[0].devices[0]
        self.states: list[tuple[str, str]] = []

    def play(self, *scenes: Callable[[], Awaitable[Any]]) -> None:
        scheduler = Scheduler(self.clock)
        supervisor = Supervisor(scheduler, self.keepers)

        async def run() -> None:
            running = asyncio.get_running_loop().create_task(supervisor.run())
            try:
                for scene in scenes:
                    await scene()
            finally:
                running.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await running

        run_on_fake_clock(run(), self.clock)

    def note(self) -> None:
        self.states.append((str(self.device.lifecycle.state), self.device.lifecycle.reason))

    def values(self, message: str) -> object:
        row = self.device.messages[message].row
        return None if row is None else row[0]


def sleep(seconds: float) -> Callable[[], Awaitable[None]]:
    return lambda: asyncio.sleep(seconds)


def spi(folder: Path, chip: Callable[[bytes, Address], Any], kind: type[AnsweringPort] = SampledPort) -> Bench:
    return Bench(folder, SENSOR, "/dev/spidev0.0", lambda clock: kind("/dev/spidev0.0", chip, clock))


def test_a_chip_is_identified_set_up_and_read_in_the_order_of_its_steps(tmp_path: Path) -> None:
    bench = spi(tmp_path, Chip())
    bench.play(sleep(1.0))
    assert bench.device.lifecycle.state == "CONNECTED"
    assert [request[0] for request, _ in bench.port.asked] == [0xD0, 0x88]
    assert bench.port.writes == [(b"\x60\xb6", None)]
    assert (bench.values("trim"), bench.values("sample")) == (0x1234, 0x0102)
    assert bench.device.messages["sample"].sequence == pytest.approx(10, abs=1)


def test_a_chip_is_polled_in_turns_where_the_port_keeps_no_time_itself(tmp_path: Path) -> None:
    bench = spi(tmp_path, Chip(), AnsweringPort)
    bench.play(sleep(1.0))
    assert bench.device.messages["sample"].sequence == pytest.approx(10, abs=1)


def test_a_wrong_identity_is_told_and_nothing_is_written_or_sampled(tmp_path: Path) -> None:
    chip = Chip()
    chip.registers[0xD0] = b"\x60"
    bench = spi(tmp_path, chip)
    bench.play(sleep(0.5))
    assert bench.device.lifecycle.state == "BACKING_OFF"
    assert "ask 'identity': wrong identity: 0x60, expected 0x58" in bench.device.lifecycle.reason
    assert bench.port.writes == []
    assert bench.values("sample") is None


@pytest.mark.parametrize(("level", "word"), [(b"\xff", "line stuck high"), (b"\x00", "line stuck low")])
def test_a_line_that_nobody_drives_is_named(tmp_path: Path, level: bytes, word: str) -> None:
    bench = spi(tmp_path, lambda request, _address: [level * len(request)])
    bench.play(sleep(0.5))
    assert word in bench.device.lifecycle.reason


def test_a_chip_that_was_wrong_is_tried_again_and_connects_when_it_is_right(tmp_path: Path) -> None:
    chip = Chip()
    chip.registers[0xD0] = b"\x60"

    async def swap() -> None:
        chip.registers[0xD0] = b"\x58"

    bench = spi(tmp_path, chip)
    bench.play(sleep(2.0), swap, sleep(6.0))
    assert bench.device.lifecycle.state == "CONNECTED"
    assert bench.values("sample") == 0x0102


def test_a_line_that_breaks_while_sampling_gives_no_value_and_is_told(tmp_path: Path) -> None:
    chip = Chip()

    async def break_it() -> None:
        chip.registers.update({0xD0: b"\xff", 0x88: b"\xff\xff", 0xF7: b"\xff\xff"})

    bench = spi(tmp_path, chip)
    bench.play(sleep(1.0), break_it, sleep(0.3))
    assert bench.values("sample") == 0x0102
    assert bench.device.lifecycle.state == "DISCONNECTED"
    assert "stuck high" in bench.device.lifecycle.reason
    assert bench.keepers[0].counts.reasons["stuck high"] >= 1
    assert isinstance(bench.port, SampledPort)
    assert bench.port.plan == []


def test_equal_bits_from_a_chip_that_shows_itself_are_a_value(tmp_path: Path) -> None:
    chip = Chip()

    async def rest() -> None:
        chip.registers[0xF7] = b"\x00\x00"

    bench = spi(tmp_path, chip)
    bench.play(sleep(1.0), rest, sleep(1.0))
    assert bench.device.lifecycle.state == "CONNECTED"
    assert bench.values("sample") == 0
    assert bench.port.writes == [(b"\x60\xb6", None)]  # it was asked, not set up again


def test_a_bus_that_hangs_while_connecting_is_a_typed_reason(tmp_path: Path) -> None:
    bench = spi(tmp_path, lambda _request, _address: [PortTimeoutError("/dev/spidev0.0", "the transfer hangs")])
    bench.play(sleep(1.5))
    assert bench.device.lifecycle.state == "BACKING_OFF"
    assert "the wire did not take the request" in bench.device.lifecycle.reason


def gatt(folder: Path, answer: Callable[[bytes, Address], Any]) -> Bench:
    return Bench(folder, MONITOR, "hci0", lambda clock: AnsweringPort("hci0", answer, clock))


def test_a_characteristic_is_read_as_often_as_its_profile_says(tmp_path: Path) -> None:
    bench = gatt(tmp_path, lambda _request, _address: [b"\x57"])
    bench.play(sleep(25.0))
    assert bench.values("battery") == 0x57
    assert bench.port.asked == [(b"", Element("", characteristic="2a19"))] * 3
    assert bench.device.polls.answered == 3


def test_a_notification_is_a_value_and_no_answer(tmp_path: Path) -> None:
    bench = gatt(tmp_path, lambda _request, _address: [])

    async def notify() -> None:
        bench.port.say(b"\x48", Element("AA:BB:CC:DD:EE:FF", characteristic="2a37"))
        await asyncio.sleep(0.1)

    bench.play(sleep(0.1), notify, sleep(1.0))
    assert bench.values("rate") == 0x48
    assert bench.device.polls.answered == 0
    assert bench.device.polls.timeouts >= 1


def test_what_a_device_refuses_is_counted_by_its_reason(tmp_path: Path) -> None:
    bench = gatt(tmp_path, lambda _request, _address: [PortRefusedError("hci0", "read not permitted")])
    bench.play(sleep(5.0))
    assert bench.device.polls.exceptions["read not permitted"] >= 1
    assert bench.device.lifecycle.state == "CONNECTED"


def test_a_decode_that_breaks_while_connecting_fails_the_device_until_its_steps_succeed(tmp_path: Path) -> None:
    bench = spi(tmp_path, Chip())
    trim = bench.device.messages["trim"]
    real, broken = trim.decode, [True]

    def decode(body: bytes) -> Any:
        if broken[0]:
            raise ZeroDivisionError("bug")
        return real(body)

    trim.decode = decode

    async def look() -> None:
        bench.note()
        assert bench.values("sample") is None
        broken[0] = False

    bench.play(sleep(10.0), look, sleep(70.0))
    assert bench.states == [("FAILED", "ZeroDivisionError: bug")]
    assert bench.device.lifecycle.state == "CONNECTED"
    assert (bench.values("trim"), bench.values("sample")) == (0x1234, 0x0102)


def test_a_figure_of_health_is_read_by_its_route(tmp_path: Path) -> None:
    bench = spi(tmp_path, Chip())
    told: list[Any] = []

    async def look() -> None:
        looks = DeviceLooks(bench.keepers, bench.clock)
        streams = ("availability", "errors_per_min", "nonsense")
        told.extend(looks.value(Route("it", "health", stream, Variant.HEALTH)) for stream in streams)

    bench.play(sleep(1.0), look)
    assert (told[0]["value"], told[0]["units"]) == (pytest.approx(1.0, abs=0.05), "1")
    assert (told[1]["value"], told[1]["units"], told[2]) == (0.0, "/min", None)


class RestartingChip(Chip):
    """A chip that counts the seconds for which it runs, and which its own set-up resets."""

    def __init__(self, bench: list[Bench]) -> None:
        super().__init__()
        self.started_s = -1000
        self._bench = bench
        self._resets = 0

    def __call__(self, request: bytes, address: Address) -> list[bytes | Exception]:
        now_s = self._bench[0].clock.monotonic_ns() // 1_000_000_000
        if len(self._bench[0].port.writes) != self._resets:
            self._resets, self.started_s = len(self._bench[0].port.writes), now_s
        self.registers[0xF7] = (now_s - self.started_s).to_bytes(2, "big")
        return super().__call__(request, address)

    async def restart(self) -> None:
        self.started_s = self._bench[0].clock.monotonic_ns() // 1_000_000_000


def test_a_chip_that_restarts_by_itself_is_set_up_again_and_its_set_up_is_no_restart(tmp_path: Path) -> None:
    found: list[Bench] = []
    chip = RestartingChip(found)
    uptime = '{ name = "uptime", type = "u16be", units = "s", state = "total_increasing" }'
    profile = SENSOR.replace('{ name = "level", type = "u16be" }', uptime)
    bench = Bench(tmp_path, profile, "/dev/spidev0.0", lambda clock: AnsweringPort("/dev/spidev0.0", chip, clock))
    found.append(bench)

    async def note() -> None:
        bench.note()
        assert len(bench.port.writes) == len(bench.states)

    bench.play(sleep(5.0), note, chip.restart, sleep(5.0), note)
    assert bench.states == [("CONNECTED", "")] * 2
    assert str(bench.device.last_error).startswith("it restarted: sample.uptime went back from 4 s to ")
