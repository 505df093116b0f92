"""The firmware in an emulated Cortex-M3, through our serial driver and the shipped profile."""

from __future__ import annotations

import asyncio
import os
import termios

import pytest

from drivers.uart import DRIVER
from gateway.clock import SystemClock
from gateway.errors import PortLostError
from hil.kernel.firmware import Microcontroller, build, missing_tools
from tests.hil.node_line import LIMIT_S, LINK, NodeLine, set_valve

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        bool(missing_tools()),
        reason=f"missing: {', '.join(missing_tools())}; sudo apt install qemu-system-arm gcc-arm-none-eabi make",
    ),
]


@pytest.fixture(scope="module")
def elf():
    return build()


@pytest.fixture
def board(elf):
    with Microcontroller(elf) as microcontroller:
        yield microcontroller


def talk(board, scenario):
    """Run `scenario(line)` on an open port, from a reset on: nothing that was said before is on the line."""

    async def run():
        port = DRIVER.make(str(board.tty), LINK, SystemClock())
        await port.open()
        try:
            board.halt()
            board.reset()
            with board.tty.open("rb", buffering=0) as tty:
                termios.tcflush(tty, termios.TCIFLUSH)
            board.go_on()
            line = NodeLine(port)
            await line.next("identity")
            return await scenario(line)
        finally:
            await port.close()

    return asyncio.run(run())


def test_the_firmware_says_who_it_is_and_measures_ten_times_a_second(board):
    async def scenario(line):
        return [await line.next("measurement") for _ in range(10)], line.garbage

    measurements, garbage = talk(board, scenario)
    assert garbage == []
    tenths = [values["uptime"] // 100 for values in measurements]
    assert tenths == sorted(set(tenths))  # a busy host may make it late, and then it skips
    assert {values["mode"] for values in measurements} == {"holding"}
    assert all(18 < values["temperature"] < 26 for values in measurements)


def test_the_valve_goes_where_a_command_sends_it(board):
    async def scenario(line):
        await line.port.write(set_valve(7, 30))
        ack = await line.next("ack")
        return ack, await line.next("measurement", lambda values: values["valve_position"] == 30)

    ack, arrived = talk(board, scenario)
    assert (ack["counter"], ack["result"], ack["position"]) == (7, "accepted", 30)
    assert arrived["mode"] == "holding"


def test_a_hundred_commands_in_bursts_of_ten_are_all_answered(board):
    async def scenario(line):
        acks = []
        for start in range(0, 100, 10):  # ten at a time are on the line: 70 bytes of the 256 that may wait in it
            for number in range(start, start + 10):
                await line.port.write(set_valve(number, 40))
            acks += [(await line.next("ack"))["counter"] for _ in range(10)]
        return acks

    assert talk(board, scenario) == list(range(100))


def test_a_frame_with_a_wrong_check_is_counted_and_not_answered(board):
    async def scenario(line):
        good = set_valve(1, 50)
        await line.port.write(good[:-3] + bytes([good[-3] ^ 1]) + good[-2:])
        await line.port.write(set_valve(2, 50))
        first = await line.next("ack")
        return first["counter"], await line.next("status", lambda values: values["uptime"] > 0)

    counter, status = talk(board, scenario)
    assert counter == 2
    assert status["frames_refused"] == 1
    assert status["free_memory"] > 1024


def test_a_pulled_reset_pin_is_told_in_the_next_status(board):
    async def scenario(line):
        before = await line.next("status")
        await line.next("measurement")
        board.reset()
        await line.next("identity")
        return before["restarts"], await line.next("status")

    restarts, after = talk(board, scenario)
    assert after["restarts"] == restarts + 1
    assert (after["restart_cause"], after["uptime"]) == ("reset_pin", 0)


def test_a_halted_device_is_silent_and_goes_on_where_it_was(board):
    async def scenario(line):
        before = await line.next("measurement")
        board.halt()
        said = await asyncio.wait_for(line.silence(0.5), LIMIT_S)
        board.go_on()
        return said or before, await line.next("measurement")

    before, after = talk(board, scenario)
    assert after["uptime"] - before["uptime"] <= 200


def test_a_device_that_loses_its_power_takes_its_port_with_it(board):
    async def scenario(line):
        board.kill()
        with pytest.raises(PortLostError):
            await line.next("nothing that there is")

    talk(board, scenario)


def test_no_emulator_is_left_when_the_block_ends(elf):
    with Microcontroller(elf) as microcontroller:
        child = microcontroller._child.pid
        os.kill(child, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
