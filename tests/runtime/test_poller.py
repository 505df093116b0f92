"""A polled wire on fake time: which frame answers which question, and what everything else becomes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.clock import Clock
from gateway.errors import PortLostError, PortTimeoutError
from gateway.frame import Address, Batch, PortName
from gateway.framing.modbus_pdu import sealed
from gateway.profile.build import CompiledProfile
from gateway.profile.validate import examine
from gateway.runtime.device import Device
from gateway.runtime.pipeline import Pipeline, PortCounts
from gateway.runtime.poller import Poller
from gateway.runtime.scheduler import Scheduler
from gateway.testing import FakeClock, run_on_fake_clock

MODBUS = """
[profile]
id = "test/meter@1.0.0"
[params]
unit = { type = "u8", default = 1 }
[link]
bus = "uart"
[framing]
kind = "modbus-rtu"
[message.bought]
ask = { input = 0x4c, count = 2 }
every = "10s"
fields = [{ name = "bought", register = 0x4c, type = "u32be" }]
[message.sold]
ask = { input = 0x156, count = 2 }
every = "10s"
fields = [{ name = "sold", register = 0x156, type = "u32be" }]
"""
RAW = """
[profile]
id = "test/sensor@1.0.0"
[link]
bus = "uart"
[framing]
kind = "fixed"
start = "ff"
size = 4
check = { kind = "lrc", from = 1 }
[lifecycle]
connect = [{ send = "01 55" }, { wait = "100ms" }, { send = "aa bb cc", framed = false }, { ask = "name" }]
[message.level]
when = { bytes = { 0 = 0x86 } }
ask = { send = "01 86" }
every = "1s"
fields = [{ type = "u8" }, { name = "level", type = "u8" }]
[message.name]
when = { bytes = { 0 = 0x87 } }
ask = { send = "01 87" }
every = "never"
fields = [{ type = "u8" }, { name = "name", type = "u8" }]
"""
BOUGHT, SOLD = 111, 222
Script = Callable[[bytes, int], list[tuple[float, bytes]]]  # request and its number -> answers after so many seconds


def answer(value: int, unit: int = 1, function: int = 4) -> bytes:
    return sealed(bytes([unit, function, 4]) + value.to_bytes(4))


def right(request: bytes) -> bytes:
    return answer(SOLD if request[2] else BOUGHT, unit=request[0])


class Line:
    """A port whose far end answers as a script says, in the order it was asked: no byte on a wire overtakes another."""

    is_stream = True

    def __init__(self, script: Script, clock: Clock) -> None:
        self.name = PortName("line")
        self.requests: list[tuple[float, bytes]] = []
        self._script = script
        self._clock = clock
        self._heard: asyncio.Queue[bytes | Exception] = asyncio.Queue()
        self._last_due_s = 0.0

    async def open(self) -> None:
        """It is open from the start."""

    async def read(self) -> Batch:
        data = await self._heard.get()
        if isinstance(data, Exception):
            raise data
        return Batch([data], self._clock.monotonic_ns(), self._clock.wall_ns())

    async def write(self, data: bytes, address: Address = None) -> None:
        assert address is None
        self.requests.append((self._clock.monotonic_ns() / 1e9, data))
        loop = asyncio.get_running_loop()
        for delay_s, reply in self._script(data, len(self.requests)):
            self._last_due_s = max(loop.time() + delay_s, self._last_due_s + 0.001)
            loop.call_at(self._last_due_s, self._heard.put_nowait, reply)

    async def close(self) -> None:
        self._heard.put_nowait(PortLostError(self.name, "closed"))

    def say(self, data: bytes | Exception) -> None:
        self._heard.put_nowait(data)


class Wire:
    """Devices on a line, polled for some seconds."""

    def __init__(self, text: str, script: Script, *units: int) -> None:
        self.clock = FakeClock()
        self.devices = [self._device(text, {"unit": unit} if "unit =" in text else {}, unit) for unit in units or (1,)]
        self.line = Line(script, self.clock)
        self.counts = PortCounts()
        self.lock = asyncio.Lock()
        self.seen: list[tuple[str, Any]] = []

    def _device(self, text: str, params: dict[str, object], unit: int) -> Device:
        examined = examine("test.toml", text.encode(), params, lambda _name: b"")
        assert examined.profile is not None, examined.problems
        return Device(f"device-{unit}", CompiledProfile(examined.profile), self.clock)

    def play(self, seconds: float, meanwhile: Callable[[], Awaitable[None]] | None = None) -> list[tuple[str, Any]]:
        """Return (message, first value) of everything that became a value, in order."""
        framer = self.devices[0].profile.framer()
        poller = Poller(self.devices, framer, self.lock, self.clock, baud=9600, gap_s=0.004)
        options: dict[str, Any] = {"framer": self.devices[0].profile.framer(), "poller": poller, "coalesce_s": 0.0}
        pipeline = Pipeline(self.line, self.devices, self.clock, self.counts, gap_s=0.05, **options)

        async def run() -> None:
            scheduler = Scheduler(self.clock)
            for device in self.devices:
                for mailbox in device.mailboxes.values():
                    scheduler.attach(mailbox, self._serve(device))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
                    group.create_task(scheduler.run())
                    group.create_task(pipeline.run())
                    if meanwhile is not None:
                        group.create_task(meanwhile())  # type: ignore[arg-type] # they are coroutines

        run_on_fake_clock(run(), self.clock)
        for device in self.devices:
            frames = device.frames()
            assert frames.frames_in == sum(frames[1:])
        return self.seen

    def _serve(self, device: Device) -> Callable[[Any], None]:
        def serve(parcel: Any) -> None:
            device.serve(parcel)
            message = device.messages[parcel.keys[-1]]
            if message.row is not None:  # else it was refused
                self.seen.append((message.name, message.row[0]))

        return serve


def test_an_answer_goes_to_the_message_that_was_asked_for():
    wire = Wire(MODBUS, lambda request, _number: [(0.05, right(request))])
    assert wire.play(25) == [("bought", BOUGHT), ("sold", SOLD)] * 3
    polls = wire.devices[0].polls
    assert (polls.asked, polls.answered, polls.timeouts, polls.late) == (6, 6, 0, 0)


@pytest.mark.parametrize("delay_s", [0.6, 0.8, 0.99])
def test_a_late_answer_is_never_taken_for_the_answer_to_the_next_request(delay_s):
    def script(request: bytes, number: int) -> list[tuple[float, bytes]]:
        return [(delay_s if number == 1 else 0.05, right(request))]

    wire = Wire(MODBUS, script)
    assert {("bought", BOUGHT), ("sold", SOLD)} == set(wire.play(25))
    assert (wire.devices[0].polls.timeouts, wire.devices[0].polls.late) == (1, 1)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.none(), st.floats(0.01, 4.0)), min_size=1, max_size=30))
@example([1.0, 1.25, 4.0])
@example([None, 1.25, 4.0, 1.0, 1.0])
def test_however_late_or_lost_answers_are_no_value_is_another_message_s(delays):
    def script(request: bytes, number: int) -> list[tuple[float, bytes]]:
        delay_s = delays[number % len(delays)]
        return [] if delay_s is None else [(delay_s, right(request))]

    assert set(Wire(MODBUS.replace('"10s"', '"1s"'), script).play(60)) <= {("bought", BOUGHT), ("sold", SOLD)}


def test_a_single_lost_answer_costs_little():
    wire = Wire(MODBUS, lambda request, number: [(0.05, right(request))] if number != 3 else [])
    wire.play(100)
    assert wire.devices[0].polls.answered == 20


def test_a_device_that_is_always_late_gives_no_value_at_all():
    wire = Wire(MODBUS, lambda request, _number: [(0.7, right(request))])
    assert wire.play(60) == []
    assert wire.devices[0].polls.late == wire.devices[0].polls.timeouts > 1


@pytest.mark.parametrize(
    "wrong",
    [
        answer(9, unit=2),
        answer(9, function=3),
        sealed(bytes.fromhex("010408") + bytes(8)),
        sealed(bytes.fromhex("018302")),
        answer(9)[:-1] + b"\x00",
        b"\x00\xff\x01\x04",
    ],
)
def test_what_does_not_answer_is_passed_over_and_the_answer_behind_it_is_taken(wrong):
    wire = Wire(MODBUS, lambda request, _number: [(0.05, wrong), (0.15, right(request))])
    assert wire.play(9) == [("bought", BOUGHT), ("sold", SOLD)]


def test_a_transceiver_that_hears_itself_disturbs_nothing():
    wire = Wire(MODBUS, lambda request, _number: [(0.01, request), (0.05, right(request))])
    assert wire.play(9) == [("bought", BOUGHT), ("sold", SOLD)]
    assert wire.devices[0].polls.late == 0


def test_an_answer_that_comes_in_pieces_is_put_together():
    wire = Wire(MODBUS, lambda request, _number: [(0.02, right(request)[:4]), (0.036, right(request)[4:])])
    assert wire.play(9) == [("bought", BOUGHT), ("sold", SOLD)]


def test_an_exception_is_counted_by_its_name_and_is_no_silence():
    wire = Wire(MODBUS, lambda request, _number: [(0.05, sealed(bytes([request[0], 0x84, 2])))])
    assert wire.play(9) == []
    polls = wire.devices[0].polls
    assert polls.exceptions == {"exception 2 (illegal data address)": 2}
    assert polls.timeouts == 0
    assert set(polls.failing) == {"bought", "sold"}


def test_a_silent_device_holds_up_its_neighbour_only_for_its_time_outs():
    wire = Wire(MODBUS, lambda request, _number: [(0.05, right(request))] if request[0] == 2 else [], 1, 2)
    wire.play(100)
    assert wire.devices[1].polls.answered == 20
    assert wire.devices[0].polls.answered == 0
    assert wire.devices[0].polls.asked < 10


def test_a_wire_that_takes_no_request_is_a_silence_and_not_the_end():
    class Stuck(Line):
        async def write(self, data: bytes, address: Address = None) -> None:
            await super().write(data, address)
            raise PortTimeoutError(self.name, "nobody takes it")

    wire = Wire(MODBUS, lambda _request, _number: [])
    wire.line = Stuck(lambda _request, _number: [], wire.clock)
    assert wire.play(5) == []
    assert wire.devices[0].polls.failing["bought"] == "the wire did not take the request"


def test_a_port_that_is_lost_ends_the_asking_with_its_own_error():
    wire = Wire(MODBUS, lambda request, _number: [(0.05, right(request))])

    async def pull() -> None:
        await asyncio.sleep(3)
        wire.line.say(PortLostError(wire.line.name, "pulled"))

    with pytest.raises(BaseExceptionGroup) as caught:
        wire.play(9, pull)
    assert [PortLostError] == [type(error) for error in caught.value.exceptions]


def test_a_writer_waits_for_one_answer_at_most_however_busy_the_wire_is():
    busy = MODBUS.replace('"10s"', '"10ms"')
    wire = Wire(busy, lambda request, _number: [(0.1, right(request))])
    waited: list[float] = []

    async def write() -> None:
        for _ in range(10):
            await asyncio.sleep(0.333)
            start_ns = wire.clock.monotonic_ns()
            async with wire.lock:
                waited.append((wire.clock.monotonic_ns() - start_ns) / 1e9)
                assert wire.line.requests[-1][0] < wire.clock.monotonic_ns() / 1e9
                await asyncio.sleep(0.05)

    wire.play(9, write)
    assert len(waited) == 10
    assert max(waited) < 0.12


def raw(body: str) -> bytes:
    data = bytes.fromhex(body)
    return b"\xff" + data + bytes([-sum(data) & 0xFF])


def test_a_raw_sensor_is_prepared_and_asked_in_its_framing():
    answers = {raw("0186"): raw("8607"), raw("0187"): raw("8709")}
    wire = Wire(RAW, lambda request, _number: [(0.05, answers[request])] if request in answers else [])
    seen = wire.play(3.5)
    sent = [data for _, data in wire.line.requests]
    assert sent[:2] == [raw("0155"), bytes.fromhex("aabbcc")]
    assert wire.line.requests[1][0] == pytest.approx(0.1, abs=0.01)
    assert sent[2:] == [raw("0187"), raw("0186"), raw("0186"), raw("0186"), raw("0186")]
    assert seen == [("name", 9), ("level", 7), ("level", 7), ("level", 7), ("level", 7)]


def test_a_raw_answer_that_comes_too_late_never_becomes_a_value():
    def script(request: bytes, _number: int) -> list[tuple[float, bytes]]:
        return [(0.7, raw("8607"))] if request == raw("0186") else []

    wire = Wire(RAW.replace(', { ask = "name" }', ""), script)
    assert wire.play(20) == []
    assert wire.devices[0].polls.late >= 2


def test_what_a_sensor_says_unasked_is_a_value_as_on_any_wire():
    wire = Wire(RAW, lambda _request, _number: [])

    async def speak() -> None:
        await asyncio.sleep(30.7)  # long after any question could still be answered
        wire.line.say(raw("8742"))

    assert wire.play(31, speak) == [("name", 0x42)]


MODBUS_STEPS = MODBUS.replace(
    "[message.bought]",
    """[lifecycle]
reconnect = "1s..2s"
connect = [
  { ask = "kind" }, { write = { register = 0x10, data = "00 05" } },
  { write = { register = 0x20, data = "00 01 00 02" } },
]
[message.kind]
ask = { holding = 0, count = 1 }
every = "never"
fields = [{ register = 0, type = "u16be", const = 7 }]
[message.bought]""",
    1,
)


def set_up(request: bytes) -> bytes:
    """Answer as a meter of kind 7 that takes every write."""
    if request[1] == 3:
        return sealed(bytes([request[0], 3, 2, 0, 7]))
    return sealed(request[:6]) if request[1] in {6, 16} else right(request)


def test_a_meter_is_identified_and_set_up_before_it_is_asked():
    wire = Wire(MODBUS_STEPS, lambda request, _number: [(0.05, set_up(request))])
    assert wire.play(5)[-2:] == [("bought", BOUGHT), ("sold", SOLD)]
    assert [data for _, data in wire.line.requests[:3]] == [
        sealed(bytes.fromhex("010300000001")),
        sealed(bytes.fromhex("010600100005")),
        sealed(bytes.fromhex("0110002000020400010002")),
    ]
    assert wire.devices[0].lifecycle.state == "CONNECTED"


def test_a_meter_that_refuses_a_write_is_not_connected_and_says_why():
    def script(request: bytes, _number: int) -> list[tuple[float, bytes]]:
        return [(0.05, sealed(bytes([request[0], 0x86, 2])) if request[1] == 6 else set_up(request))]

    wire = Wire(MODBUS_STEPS, script)
    wire.play(0.5)
    assert wire.devices[0].lifecycle.state == "BACKING_OFF"
    assert wire.devices[0].lifecycle.reason == "connect step 2, write: exception 2 (illegal data address)"


def test_another_kind_of_meter_is_never_asked_for_values():
    def script(request: bytes, _number: int) -> list[tuple[float, bytes]]:
        return [(0.05, sealed(bytes([request[0], 3, 2, 0, 8])) if request[1] == 3 else set_up(request))]

    wire = Wire(MODBUS_STEPS, script)
    assert wire.play(20) == []
    assert {data[1] for _, data in wire.line.requests} == {3}


def test_a_meter_that_falls_silent_is_set_up_again_before_it_is_asked_again():
    dead = [False]

    def script(request: bytes, _number: int) -> list[tuple[float, bytes]]:
        return [] if dead[0] else [(0.05, set_up(request))]

    wire = Wire(MODBUS_STEPS, script)

    async def power_cut() -> None:
        await asyncio.sleep(12)
        dead[0] = True
        await asyncio.sleep(60)
        assert wire.devices[0].lifecycle.state in {"DISCONNECTED", "BACKING_OFF", "CONNECTING"}
        dead[0] = False
        wire.line.requests.clear()

    wire.play(100, power_cut)
    assert wire.devices[0].lifecycle.state == "CONNECTED"
    assert [data[1] for _, data in wire.line.requests][:5] == [3, 6, 16, 4, 4]
