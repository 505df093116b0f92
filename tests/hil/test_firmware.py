"""The firmware in an emulated Cortex-M3, through our serial driver and the shipped profile."""

from __future__ import annotations

import asyncio
import contextlib
import os
import termios

import pytest

from drivers.uart import DRIVER
from gateway.clock import SystemClock
from gateway.errors import PortLostError
from hil.kernel.firmware import Microcontroller, build, missing_tools
from hil.sim.board import BoardOnCable
from hil.sim.pty import Cable
from tests.hil.node_line import LIMIT_S, LINK, PROFILE, NodeLine, set_valve

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


@contextlib.asynccontextmanager
async def restarted(board):
    """Open a port on the board, from a reset on: nothing that was said before is on the line."""
    port = DRIVER.make(str(board.tty), LINK, SystemClock())
    await port.open()
    try:
        board.halt()
        board.reset()
        with board.tty.open("rb", buffering=0) as tty:
            termios.tcflush(tty, termios.TCIFLUSH)
        board.go_on()
        yield port
    finally:
        await port.close()


def talk(board, scenario):
    """Run `scenario(line)` from the identity on."""

    async def run():
        async with restarted(board) as port:
            line = NodeLine(port)
            await line.next("identity")
            return await scenario(line)

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


def test_it_starts_with_a_zero_that_cuts_off_what_a_reset_left_of_a_frame(board):
    identity = PROFILE.framer().encode(b"\x03\x00\x7d\x00\xc0\xb5\x00\x01\x03" + b"1.4.0-m3".ljust(12, b"\0"))

    async def scenario():
        said = b""
        async with restarted(board) as port, asyncio.timeout(LIMIT_S):
            while identity not in said:
                said += b"".join((await port.read()).payloads)
        return said

    assert asyncio.run(scenario()).partition(identity)[0].endswith(b"\0")


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


def test_a_reset_does_not_turn_the_valve(board):
    async def scenario(line):
        await line.port.write(set_valve(7, 30))
        await line.next("measurement", lambda values: values["valve_position"] == 30)
        board.reset()
        await line.next("identity")
        first = await line.next("measurement")
        await line.port.write(
            PROFILE.framer().encode(b"\x10\x08\xc9\x00")
        )  # refused: its ack tells the order that holds
        return first, await line.next("ack"), await line.next("measurement")

    first, ack, later = talk(board, scenario)
    assert [first["valve_position"], ack["position"], later["valve_position"]] == [30, 30, 30]
    assert first["mode"] == "holding"


def test_the_loss_of_power_forgets_where_the_valve_was_sent(elf):
    async def scenario(line):
        first = await line.next("measurement")
        await line.port.write(set_valve(7, 30))
        await line.next("measurement", lambda values: values["valve_position"] == 30)
        return first["valve_position"]

    for _ in range(2):
        with Microcontroller(elf) as microcontroller:
            assert talk(microcontroller, scenario) == 20


def test_a_reset_between_two_halves_of_a_command_loses_it_and_the_next_one_is_obeyed(board):
    async def scenario(line):
        command = set_valve(7, 70)
        await line.port.write(set_valve(6, 20) + command[:5])
        acked = await line.next("ack")  # so the half behind it is there, too, when the next measurement has been made
        since = (await line.next("measurement"))["uptime"]
        await line.next("measurement", lambda values: values["uptime"] > since)
        board.reset()
        await line.next("identity")
        await line.port.write(command[5:])
        await line.port.write(set_valve(8, 30))
        ack = await line.next("ack")
        arrived = await line.next("measurement", lambda values: values["mode"] == "holding")
        return acked, ack, arrived, await line.next("status", lambda values: values["uptime"] > 0)

    acked, ack, arrived, status = talk(board, scenario)
    assert (acked["counter"], ack["counter"], ack["result"]) == (6, 8, "accepted")
    assert arrived["valve_position"] == 30
    assert status["frames_refused"] == 1


def test_a_command_that_meets_a_reset_may_be_lost_and_is_done_when_it_is_repeated(board):
    async def scenario(line):
        board.halt()
        await line.port.write(set_valve(7, 70))
        board.reset()
        board.go_on()
        await line.next("identity")
        acks = []
        for _ in range(5):  # what identity came from may have been said before the reset: then that loses this one, too
            await line.port.write(set_valve(8, 70))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(5):
                    while not acks or acks[-1]["counter"] != 8:
                        acks.append(await line.next("ack"))
                break
        return acks, await line.next("measurement", lambda values: values["valve_position"] == 70)

    acks, _ = talk(board, scenario)
    assert [ack["counter"] for ack in acks] in ([8], [7, 8])
    assert {ack["result"] for ack in acks} == {"accepted"}


def test_a_command_is_obeyed_though_the_cable_is_pulled_before_its_ack(elf, tmp_path):
    """The cable comes back as another tty; the ack went nowhere, the valve tells."""

    async def carry(node):
        while True:
            node.tick()
            await asyncio.sleep(0.002)

    async def scenario(node):
        async with asyncio.TaskGroup() as group:
            carrying = group.create_task(carry(node))
            port = DRIVER.make(str(node.cable.path), LINK, SystemClock())
            await port.open()
            line = NodeLine(port)
            before = await line.next("measurement")
            carrying.cancel()
            await port.write(set_valve(7, 70))
            heard = node.cable.receive()
            node.vanish()
            await port.close()
            node._line.sendall(heard)
            node.come_back(elsewhere=True)
            port = DRIVER.make(str(node.cable.path), LINK, SystemClock())
            await port.open()
            carrying = group.create_task(carry(node))
            after = await NodeLine(port).next("measurement", lambda values: values["valve_position"] == 70)
            carrying.cancel()
            await port.close()
        return before, after

    uart = tmp_path / "uart"
    with (
        Microcontroller(elf, uart=uart) as microcontroller,
        Cable(tmp_path / "node") as cable,
        BoardOnCable(cable, microcontroller, uart) as node,
    ):
        before, after = asyncio.run(scenario(node))
    assert before["valve_position"] == 20
    assert after["uptime"] > before["uptime"]


def test_no_emulator_is_left_when_the_block_ends(elf):
    with Microcontroller(elf) as microcontroller:
        child = microcontroller._child.pid
        os.kill(child, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
