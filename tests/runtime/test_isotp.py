"""Our side of ISO-TP through the whole runtime: asking and answering in segments, quiet behind another tester."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.frame import CAN_FD, Address
from gateway.framing.isotp import segments
from gateway.profile.load import shipped_profiles
from gateway.testing import AnsweringPort
from tests.runtime.test_connect import Bench, sleep

UNIT, TESTER = 0x7E8, 0x7E0
GO_ON = bytes.fromhex("300000cccccccccc")
CAR = """
[profile]
id = "test/unit@1.0.0"
[link]
bus = "can"
[framing]
kind = "isotp"
tx = 0x7e0
rx = 0x7e8
max = 64
{ask}
"""
LISTENS = CAR.format(
    ask='[message.vin]\nfields = [{ type = "u8" }, { name = "vin", type = "text", length = "rest" }]\n'
)
SHORT = """[message.vin]
when = { bytes = { 0 = 0x49 } }
ask = { send = "09 02" }
every = "10s"
fields = [{ type = "u8", const = 0x49 }, { name = "vin", type = "text", length = "rest" }]
"""
ASKS = CAR.format(ask=SHORT)
ASKS_LONG = CAR.format(ask=SHORT.replace("09 02", "31 01 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f"))
ANSWER = b"\x49" + b"WDB1234567890ABCD"


class Ecu(AnsweringPort):
    """A node on a bus: what the gateway writes is given to `script`, which says what the node sends."""

    ask = None  # type: ignore[assignment]  # a CAN bus knows no answers, only frames

    def __init__(self, script: Callable[[Ecu, bytes, int], None], clock: object) -> None:
        super().__init__("can0", lambda _request, _address: [], clock)  # type: ignore[arg-type]
        self.script = script
        self.whole = bytearray()

    async def write(self, data: bytes, address: Address = None) -> None:
        await super().write(data, address)
        assert isinstance(address, int)
        self.script(self, data, address)

    def send(self, *frames: bytes) -> None:
        for frame in frames:
            self.say(frame, UNIT)


def answers(ecu: Ecu, data: bytes, _address: int) -> None:
    """Answer as ISO 15765-2 says: the first frame to a request, the others to flow control."""
    first, *others = segments(ANSWER)
    if data[0] >> 4 == 3:
        ecu.send(*others)
    elif data[0] >> 4 == 1:
        ecu.whole = bytearray(data[2:])
        ecu.send(GO_ON)
    elif data[0] >> 4 == 2:
        ecu.whole += data[1:]
        if len(ecu.whole) >= 18:
            ecu.send(first)
    else:
        ecu.send(first)


def car(folder: Path, profile: str, script: Callable[[Ecu, bytes, int], None] = answers) -> Bench:
    return Bench(folder, profile, "can0", lambda clock: Ecu(script, clock))


def test_a_short_request_brings_a_long_answer(tmp_path: Path) -> None:
    bench = car(tmp_path, ASKS)
    bench.play(sleep(5))
    assert bench.values("vin") == "WDB1234567890ABCD"
    assert bench.port.writes == [(bytes.fromhex("020902cccccccccc"), TESTER), (GO_ON, TESTER)]
    assert bench.device.polls.answered == 1


def test_a_long_request_goes_out_by_the_flow_control_of_its_receiver(tmp_path: Path) -> None:
    bench = car(tmp_path, ASKS_LONG)
    bench.play(sleep(5))
    assert bench.values("vin") == "WDB1234567890ABCD"
    sent = [data for data, _ in bench.port.writes]
    assert [data[0] for data in sent] == [0x10, 0x21, 0x22, 0x30]


def test_a_receiver_without_flow_control_is_a_silence_and_the_device_is_asked_again(tmp_path: Path) -> None:
    bench = car(tmp_path, ASKS_LONG, lambda _ecu, _data, _address: None)
    bench.play(sleep(5))
    assert bench.device.polls.timeouts >= 1
    assert {data[0] for data, _ in bench.port.writes} == {0x10}


def test_a_receiver_that_has_no_room_refuses(tmp_path: Path) -> None:
    bench = car(tmp_path, ASKS_LONG, lambda ecu, _data, _address: ecu.send(bytes.fromhex("3200000000000000")))
    bench.play(sleep(5))
    assert any("overflow" in reason for reason in bench.device.polls.exceptions)


def test_who_speaks_to_us_unasked_is_told_to_go_on(tmp_path: Path) -> None:
    bench = car(tmp_path, LISTENS)

    async def speak() -> None:
        assert isinstance(bench.port, Ecu)
        bench.port.send(segments(ANSWER)[0])
        await asyncio.sleep(0.1)

    bench.play(sleep(0.1), speak, sleep(0.5))
    assert bench.values("vin") == "WDB1234567890ABCD"
    assert bench.port.writes == [(GO_ON, TESTER)]


def test_behind_another_tester_we_only_listen(tmp_path: Path) -> None:
    bench = car(tmp_path, LISTENS)

    async def speak() -> None:
        assert isinstance(bench.port, Ecu)
        first, *others = segments(ANSWER)
        bench.port.say(bytes.fromhex("020902cccccccccc"), TESTER)
        bench.port.send(first)
        bench.port.say(GO_ON, TESTER)
        bench.port.send(*others)
        await asyncio.sleep(0.1)

    bench.play(sleep(0.1), speak, sleep(0.5))
    assert bench.values("vin") == "WDB1234567890ABCD"
    assert bench.port.writes == []


def test_a_message_longer_than_we_take_is_refused_at_its_first_frame(tmp_path: Path) -> None:
    bench = car(tmp_path, LISTENS)

    async def speak() -> None:
        assert isinstance(bench.port, Ecu)
        bench.port.send(segments(bytes(100))[0])
        await asyncio.sleep(0.1)

    bench.play(sleep(0.1), speak, sleep(0.1))
    assert bench.port.writes == [(bytes.fromhex("320000cccccccccc"), TESTER)]
    assert bench.keepers[0].counts.reasons == {"too long": 1}


@pytest.mark.parametrize("lost", [1, 2])
def test_a_lost_segment_is_one_piece_of_garbage_and_the_next_answer_is_whole(tmp_path: Path, lost: int) -> None:
    rounds = 0

    def script(ecu: Ecu, data: bytes, address: int) -> None:
        nonlocal rounds
        if data[0] >> 4 == 3 and rounds == 0:
            rounds += 1
            frames = segments(ANSWER + bytes(8))[1:]
            ecu.send(*(frame for number, frame in enumerate(frames, 1) if number != lost))
            return
        if data[0] >> 4 == 0 and rounds == 0:
            ecu.send(segments(ANSWER + bytes(8))[0])
            return
        answers(ecu, data, address)

    bench = car(tmp_path, ASKS, script)
    bench.play(sleep(30))
    assert bench.values("vin") == "WDB1234567890ABCD"
    assert bench.keepers[0].counts.garbage == 1
    frames = bench.device.frames()
    assert frames.frames_in == sum(frames[1:])


def test_on_a_bus_with_fd_every_frame_of_ours_is_fd(tmp_path: Path) -> None:
    bench = car(tmp_path, ASKS.replace('bus = "can"', 'bus = "can"\nfd = true'))
    bench.play(sleep(5))
    assert [address for _, address in bench.port.writes] == [TESTER | CAN_FD] * 2


def test_a_car_is_asked_for_its_common_values_and_its_identity(tmp_path: Path) -> None:
    said = {
        bytes.fromhex("010c0d0504110f"): bytes.fromhex("41 0c 1a f8 0d 32 05 7b 04 80 11 40 0f 46"),
        bytes.fromhex("0902"): bytes.fromhex("490201") + b"WDB12345678901234",
        bytes.fromhex("03"): bytes.fromhex("43 01 01 33"),
    }
    left: list[bytes] = []

    def script(ecu: Ecu, data: bytes, address: int) -> None:
        if data[0] >> 4 == 3:
            assert address == TESTER
            ecu.send(*left)
            left.clear()
        elif (answer := said.get(data[1 : 1 + data[0]])) is not None:
            assert address == 0x7DF
            first, *others = segments(answer)
            left[:] = others
            ecu.send(first)

    bench = car(tmp_path, shipped_profiles()["obd2"].read_text(), script)
    bench.play(sleep(5))
    row = bench.device.messages["current_data"].row
    assert row is not None
    named = dict(zip(bench.device.messages["current_data"].plan.names, row, strict=False))
    assert (named["engine_speed"], named["vehicle_speed"], named["coolant_temperature"]) == (1726.0, 50, 83)
    assert "WDB12345678901234" in (bench.device.messages["identity"].row or ())
