from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import sys
import termios
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from drivers import _plug
from drivers._serial import stable_name, warning_for
from drivers.uart import DRIVER
from gateway.clock import SystemClock
from gateway.errors import (
    PortBusyError,
    PortClosedError,
    PortLostError,
    PortNotFoundError,
    PortOptionError,
    PortPermissionError,
    PortTimeoutError,
)
from gateway.profile.model import LinkSpec
from hil.sim.pty import Cable
from tests.waiting import WITHIN_S, first_met, heard, until

LINK = LinkSpec(bus="uart", baud=115200)


def make(target, link=LINK):
    return DRIVER.make(str(target), link, SystemClock())


@pytest.fixture
def cable(tmp_path):
    with Cable(tmp_path / "device") as cable:
        yield cable


def test_bytes_of_the_device_come_as_one_stamped_chunk(cable):
    async def scenario():
        port = make(cable.path)
        await port.open()
        before = time.monotonic_ns()
        cable.send(b"\x00\x01\xff hello \r\n\x03\x11\x13")
        batch = await port.read()
        await port.close()
        return batch, before

    batch, before = asyncio.run(scenario())
    assert batch.payloads == [b"\x00\x01\xff hello \r\n\x03\x11\x13"]
    assert batch.addresses is None
    assert before <= batch.received_ns <= time.monotonic_ns()


def test_what_is_written_reaches_the_device_unchanged(cable):
    async def scenario():
        port = make(cable.path)
        await port.open()
        await port.write(bytes(range(256)))
        await port.close()
        return heard(cable.receive, 256)

    assert asyncio.run(scenario()) == bytes(range(256))


def test_a_burst_is_read_in_chunks_and_not_per_byte(cable):
    async def scenario():
        port = make(cable.path)
        await port.open()
        cable.send(b"x" * 3000)
        with cable.path.open("rb", buffering=0) as tty:  # the kernel hands it on in its own time
            until(lambda: fcntl.ioctl(tty, termios.FIONREAD, bytes(4)) == (3000).to_bytes(4, sys.byteorder))
        batch = await port.read()
        await port.close()
        return batch

    batch = asyncio.run(scenario())
    assert sum(map(len, batch.payloads)) == 3000
    assert len(batch) <= 3


def test_a_pulled_cable_is_seen_within_half_a_second_by_an_idle_read(cable):
    async def scenario():
        cable.plug()
        port = make(cable.path)
        await port.open()
        loop = asyncio.get_running_loop()
        loop.call_later(0.05, cable.unplug)
        start = time.monotonic()
        with pytest.raises(PortLostError):
            await port.read()
        took = time.monotonic() - start
        with pytest.raises(PortLostError):
            await port.write(b"x")
        with pytest.raises(PortLostError):
            await port.read()
        await port.close()
        return took

    assert first_met(lambda: asyncio.run(scenario()), lambda took_s: took_s < 0.55) < 0.55


class Told:
    """What pyudev would tell: a pipe that is readable while there are events."""

    def __init__(self):
        self._reading, self._writing = os.pipe()
        self._events = []

    def tell(self, action, name):
        self._events.append(SimpleNamespace(action=action, subsystem="tty", sys_name=name))
        os.write(self._writing, b"x")

    def fileno(self):
        return self._reading

    def poll(self, _timeout):
        if not self._events:
            return None
        os.read(self._reading, 1)
        return self._events.pop(0)

    def close(self):
        os.close(self._reading)
        os.close(self._writing)


@pytest.fixture
def told(monkeypatch):
    told = Told()
    monkeypatch.setattr(_plug, "open_monitor", lambda: told)
    yield told
    told.close()


def test_an_unplugging_that_is_told_ends_an_idle_read_at_once_though_the_node_stays(tmp_path, told):
    with Cable(tmp_path / "device") as cable:

        async def scenario():
            port = make(cable.path)
            await port.open()
            port._node = "/dev/ttyUSB7"
            asyncio.get_running_loop().call_soon(told.tell, "remove", "ttyUSB7")
            with pytest.raises(PortLostError, match="unplugged"):
                await port.read()
            await port.close()

        asyncio.run(scenario())


def test_what_came_before_an_unplugging_is_still_read(cable, told):
    async def scenario():
        port = make(cable.path)
        await port.open()
        cable.send(b"last words")
        port._vanish("unplugged")
        batch = await port.read()
        with pytest.raises(PortLostError):
            await port.read()
        await port.close()
        return batch.payloads

    assert asyncio.run(scenario()) == [b"last words"]


def test_an_unplugging_of_another_port_is_nothing_to_this_one(cable, told):
    async def scenario():
        port = make(cable.path)
        await port.open()
        told.tell("remove", "ttyUSB9")
        asyncio.get_running_loop().call_later(0.05, cable.send, b"still here")
        batch = await port.read()
        await port.close()
        return batch.payloads

    assert asyncio.run(scenario()) == [b"still here"]


def test_a_port_that_is_plugged_in_is_told_to_who_waits_for_one(told):
    async def scenario():
        waiting = asyncio.ensure_future(make("usb:0403:6001").plugged())  # noqa: TID251 - a test may start tasks
        await asyncio.sleep(0.01)
        before = waiting.done()
        told.tell("add", "ttyUSB3")
        await asyncio.wait({waiting}, timeout=WITHIN_S)
        return before, waiting.done()

    assert asyncio.run(scenario()) == (False, True)


def test_a_cable_put_back_under_another_node_is_found_by_its_link(cable):
    async def scenario():
        port = make(cable.path)
        await port.open()
        first = cable.node
        blocker = os.open(first, os.O_RDWR | os.O_NOCTTY)  # keeps the number taken, so that the next differs
        cable.unplug()
        with pytest.raises(PortLostError):
            await port.read()
        await port.close()
        with pytest.raises(PortNotFoundError):
            await port.open()
        cable.plug()
        os.close(blocker)
        await port.open()
        cable.send(b"back")
        batch = await port.read()
        await port.close()
        return batch.payloads

    assert asyncio.run(scenario()) == [b"back"]


def test_a_second_program_is_told_that_the_port_is_busy(cable):
    async def scenario():
        port, second = make(cable.path), make(cable.path)
        await port.open()
        with pytest.raises(PortBusyError):
            await second.open()
        await port.close()
        await second.open()
        await second.close()

    asyncio.run(scenario())


def test_a_port_locked_by_another_program_is_busy(cable):
    async def scenario():
        holder = os.open(cable.path, os.O_RDWR | os.O_NOCTTY)
        fcntl.flock(holder, fcntl.LOCK_EX)
        with pytest.raises(PortBusyError):
            await make(cable.path).open()
        os.close(holder)

    asyncio.run(scenario())


def test_what_is_missing_or_no_serial_port_is_typed(tmp_path):
    async def scenario():
        with pytest.raises(PortNotFoundError):
            await make(tmp_path / "nothing").open()
        with pytest.raises(PortOptionError, match="no serial port"):
            await make("/dev/null").open()
        with pytest.raises(PortOptionError):
            await make(tmp_path).open()

    asyncio.run(scenario())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open everything")
def test_permission_denied_names_the_group(cable):
    Path(cable.node).chmod(0)

    async def scenario():
        with pytest.raises(PortPermissionError, match="dialout"):
            await make(cable.path).open()

    asyncio.run(scenario())


def test_permission_denied_from_the_kernel_is_typed():
    from drivers._serial import port_error

    error = port_error("/dev/ttyUSB0", PermissionError(13, "Permission denied"))
    assert isinstance(error, PortPermissionError)
    assert "usermod -aG dialout" in str(error)


def test_a_parity_that_a_pty_cannot_do_is_a_warning_and_the_port_works(cable, caplog):
    async def scenario():
        plain = make(cable.path, LinkSpec(bus="uart", baud=9600))
        await plain.open()
        await plain.close()
        port = make(cable.path, LinkSpec(bus="uart", baud=9600, parity="even"))  # the one thing that differs
        await port.open()
        cable.send(b"ok")
        batch = await port.read()
        await port.close()
        return batch.payloads

    with caplog.at_level(logging.WARNING):
        assert asyncio.run(scenario()) == [b"ok"]
    assert "no such line settings" in caplog.text


def test_rs485_without_direction_control_is_a_warning_and_an_idle_port_stays_open(cable, caplog):
    async def scenario():
        port = make(cable.path, LinkSpec(bus="uart", baud=9600, rs485=True))
        await port.open()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.4):
                await port.read()
        cable.send(b"ok")
        batch = await port.read()
        await port.close()
        return batch.payloads

    with caplog.at_level(logging.WARNING):
        assert asyncio.run(scenario()) == [b"ok"]
    assert "no RS-485 direction control" in caplog.text


def test_the_baud_rate_is_the_link_s(cable):
    async def scenario():
        port = make(cable.path, LinkSpec(bus="uart", baud=57600))
        await port.open()
        speed = termios.tcgetattr(cable.fileno())[4]
        await port.close()
        return speed

    assert asyncio.run(scenario()) == termios.B57600


def test_a_stuck_wire_times_out_and_what_was_not_sent_is_dropped(cable):
    async def scenario():
        port = make(cable.path)
        await port.open()
        start = time.monotonic()
        with pytest.raises(PortTimeoutError, match="bytes in 1 s"):
            await port.write(b"z" * 1_000_000)
        took = time.monotonic() - start
        received = b""

        def hear():
            nonlocal received
            received += cable.receive()
            return received.endswith(b"after")

        while piece := cable.receive():  # room for more
            received += piece
        await port.write(b"after")
        until(hear)
        await port.close()
        return took, received

    took, received = first_met(lambda: asyncio.run(scenario()), lambda result: result[0] < 2.5)
    assert 0.9 < took < 2.5
    assert received.lstrip(b"z") == b"after"
    assert len(received) < 1_000_000


def test_closing_wakes_a_waiting_write(cable):
    async def scenario():
        port = make(cable.path)
        await port.open()
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(_outcome(port.write(b"z" * 1_000_000)))
            await asyncio.sleep(0)
            await port.close()
        return writing.result()

    assert isinstance(asyncio.run(scenario()), PortClosedError)


async def _outcome(call):
    try:
        await call
    except PortClosedError as error:
        return error


def test_a_busy_line_leaves_the_loop_to_others(cable):
    async def scenario():
        port = make(cable.path)
        await port.open()
        turns = 0

        async def count():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            counting = group.create_task(count())
            for _ in range(20):
                cable.send(b"x")
                await port.read()
            counting.cancel()
        await port.close()
        return turns

    assert asyncio.run(scenario()) >= 10


def test_a_bare_tty_name_is_warned_about_with_the_name_to_use(tmp_path):
    by_id = tmp_path / "by-id"
    by_id.mkdir()
    (by_id / "usb-FTDI_A50285BI-if00").symlink_to("/dev/ttyUSB7")
    assert stable_name("/dev/ttyUSB7", by_id) == str(by_id / "usb-FTDI_A50285BI-if00")
    assert "use " + str(by_id / "usb-FTDI_A50285BI-if00") in warning_for("/dev/ttyUSB7", by_id)
    assert "by-id" in warning_for("/dev/ttyACM0", tmp_path / "none")
    assert warning_for("/dev/serial/by-id/usb-FTDI_A50285BI-if00", by_id) is None
    assert warning_for("/dev/ttyS0", by_id) is None


def test_the_warning_is_given_once(caplog):
    async def scenario():
        port = make("/dev/ttyUSB99")
        for _ in range(3):
            with pytest.raises(PortNotFoundError):
                await port.open()

    with caplog.at_level(logging.WARNING):
        asyncio.run(scenario())
    assert caplog.text.count("/dev/ttyUSB99 may name another device") == 1


def test_a_usb_adapter_that_is_not_plugged_in_is_not_found():
    async def scenario():
        with pytest.raises(PortNotFoundError):
            await make("usb:ffff:fffe:nothing").open()

    asyncio.run(scenario())


@pytest.mark.parametrize("target", ["usb:403:6001", "usb:zzzz:6001", "", "usb:", "/dev/a\0b"])
def test_text_that_names_no_serial_port_is_refused_when_made(target):
    with pytest.raises(PortOptionError):
        make(target)
