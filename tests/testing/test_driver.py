from __future__ import annotations

import asyncio
import json
import socket
import struct
import time

import can
import pytest

import drivers.canbus
import drivers.replay
import drivers.uart
from drivers._can_socket import SocketCanPort
from gateway.clock import SystemClock
from gateway.errors import PortClosedError, PortLostError, PortNotFoundError, PortTimeoutError
from gateway.frame import Batch
from gateway.profile.model import LinkSpec
from gateway.testing import check_driver
from hil.sim.pty import Cable
from tests.waiting import first_met

CLOCK = SystemClock()


class CableWire:
    """A pty: plain methods."""

    def __init__(self, cable):
        self._cable = cable
        self._is_stalled = False
        cable.plug()
        self.send, self.plug, self.unplug = cable.send, cable.plug, cable.unplug

    def receive(self):
        return b"" if self._is_stalled else self._cable.receive()

    def stall(self):
        self._is_stalled = True

    def resume(self):
        self._is_stalled = False
        while self._cable.receive():
            pass


class TcpWire:
    """A serial server on TCP, in the listening end's place."""

    def __init__(self):
        self._listening = None
        self._far = None
        self.port = 0
        self._is_stalled = False
        self.plug()

    def plug(self):
        self._listening = socket.create_server(("127.0.0.1", self.port), reuse_port=False)
        self.port = self._listening.getsockname()[1]

    def unplug(self):
        self._accept()
        self._far.close()
        self._far = None
        self._listening.close()

    def _accept(self):
        self._listening.settimeout(0.0)
        while True:
            try:
                self._far, _ = self._listening.accept()
            except BlockingIOError:
                return
            self._far.setblocking(False)

    def send(self, data):
        self._accept()
        self._far.sendall(data)

    def receive(self):
        self._accept()
        try:
            return b"" if self._is_stalled else self._far.recv(65536)
        except BlockingIOError:
            return b""

    def stall(self):
        self._is_stalled = True

    def resume(self):
        self._is_stalled = False
        until = time.monotonic() + 0.3
        while self.receive() or time.monotonic() < until:
            pass


class PairWire:
    """A message socket pair in the kernel's place: async methods."""

    address = 0x123

    def __init__(self):
        self._far = None
        self._is_plugged = True

    def connect(self):
        if not self._is_plugged:
            raise PortNotFoundError("pair", "unplugged")
        near, self._far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._far.setblocking(False)
        return near

    async def send(self, data):
        self._far.send(struct.pack("=IB3x8s", self.address, len(data), data))

    async def receive(self):
        try:
            record = self._far.recv(72)
        except BlockingIOError:
            return b""
        return record[8 : 8 + record[4]]

    async def unplug(self):
        self._is_plugged = False
        self._far.close()

    async def plug(self):
        self._is_plugged = True

    async def stall(self):
        pass

    async def resume(self):
        while await self.receive():
            pass


class VirtualWire:
    address = 0x123

    def __init__(self, channel):
        self._bus = can.Bus(interface="virtual", channel=channel)
        self.shutdown = self._bus.shutdown

    def send(self, data):
        self._bus.send(can.Message(arbitration_id=self.address, data=data, is_extended_id=False))

    def receive(self):
        message = self._bus.recv(0.5)
        return bytes(message.data) if message else b""


class NoWire:
    pass


def violations_of(make, wire):
    start = time.monotonic()
    found = asyncio.run(check_driver(make, wire))
    assert time.monotonic() - start < 30
    return found


def test_the_serial_driver_keeps_the_contract(tmp_path):
    with Cable(tmp_path / "device") as cable:
        link = LinkSpec(bus="uart", baud=115200)
        make = lambda: drivers.uart.DRIVER.make(str(cable.path), link, CLOCK)  # noqa: E731
        assert violations_of(make, CableWire(cable)) == []


def test_the_serial_driver_behind_a_url_keeps_the_contract():
    wire = TcpWire()
    link = LinkSpec(bus="uart", baud=4_000_000)
    make = lambda: drivers.uart.DRIVER.make(f"socket://127.0.0.1:{wire.port}", link, CLOCK)  # noqa: E731
    assert violations_of(make, wire) == []


def test_the_socket_reader_keeps_the_contract():
    wire = PairWire()
    assert violations_of(lambda: SocketCanPort("pair", wire.connect, CLOCK), wire) == []


def test_the_python_can_driver_keeps_the_contract():
    make = lambda: drivers.canbus.DRIVER.make("virtual:check", LinkSpec(bus="can"), CLOCK)  # noqa: E731
    wire = VirtualWire("check")
    assert violations_of(make, wire) == []
    wire.shutdown()


def test_the_replay_driver_keeps_the_contract(tmp_path):
    path = tmp_path / "tags.jsonl"
    line = json.dumps({"address": "AA:BB:CC:DD:EE:FF", "manufacturer_data": {"1": "00"}})
    path.write_text(f"{line}\n" * 100)
    link = LinkSpec(bus="ble", mode="advertisement")
    make = lambda: drivers.replay.DRIVER.make(f"replay:{path}?loop=1", link, CLOCK)  # noqa: E731
    assert violations_of(make, NoWire()) == []


def swallowing_replay(path):
    port = drivers.replay.DRIVER.make(f"replay:{path}?loop=1", LinkSpec(bus="can"), CLOCK)
    read = port.read

    async def stubborn():
        while True:
            try:
                return await read()
            except asyncio.CancelledError:
                pass

    port.read = stubborn
    return port


def test_a_read_that_swallows_cancellation_is_caught_on_a_wire_that_only_speaks(tmp_path):
    path = tmp_path / "drive.log"
    path.write_text("".join(f"({number / 50:.6f}) can0 123#00\n" for number in range(9)))
    found = violations_of(lambda: swallowing_replay(path), NoWire())
    assert any("a cancelled read did not end as cancelled" in violation for violation in found)


class MemoryPort:
    """A correct port on lists; each subclass below breaks one promise."""

    name = "memory"
    is_stream = True

    def __init__(self, wire):
        self.wire = wire
        self.is_open = False
        self.waiter = None

    async def open(self):
        if not self.wire.plugged:
            raise PortNotFoundError(self.name, "unplugged")
        self.is_open = True
        self.wire.port = self
        self.wire.to_port.clear()

    def look(self):
        if not self.is_open:
            raise PortClosedError(self.name, "by us")
        if not self.wire.plugged:
            raise PortLostError(self.name, "unplugged")

    async def wait(self):
        self.waiter = asyncio.get_running_loop().create_future()
        try:
            await self.waiter
        finally:
            self.waiter = None

    async def read(self):
        self.look()
        while not self.wire.to_port:
            await self.wait()
            self.look()
        return self.batch()

    def batch(self):
        payloads = list(self.wire.to_port)
        self.wire.to_port.clear()
        return Batch(payloads, CLOCK.monotonic_ns(), CLOCK.wall_ns())

    async def write(self, data, address=None):
        self.look()
        if self.wire.stalled:
            raise PortTimeoutError(self.name, "stalled")
        self.wire.from_port += data

    async def close(self):
        self.is_open = False
        self.wake()

    def wake(self):
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)


class MemoryWire:
    def __init__(self):
        self.to_port, self.from_port = [], bytearray()
        self.port, self.plugged, self.stalled = None, True, False

    def wake(self):
        if self.port is not None:
            self.port.wake()

    async def send(self, data):
        self.to_port.append(data)
        self.wake()

    def receive(self):
        taken = bytes(self.from_port)
        self.from_port.clear()
        return taken

    def unplug(self):
        self.plugged = False
        self.wake()

    def plug(self):
        self.plugged = True

    def stall(self):
        self.stalled = True

    def resume(self):
        self.stalled = False
        self.from_port.clear()


def findings(port_class):
    wire = MemoryWire()
    return violations_of(lambda: port_class(wire), wire)


def test_a_correct_port_has_no_violations():
    assert findings(MemoryPort) == []


class SwallowsCancellation(MemoryPort):
    async def read(self):
        while True:
            try:
                return await super().read()
            except asyncio.CancelledError:
                pass


class BlocksTheLoop(MemoryPort):
    async def read(self):
        self.look()
        while not self.wire.to_port:
            time.sleep(0.05)  # noqa: ASYNC251 - the fault under test
        return self.batch()


class SpinsWhileIdle(MemoryPort):
    async def wait(self):
        await asyncio.sleep(0)


class LosesBytesWhenCancelled(MemoryPort):
    async def read(self):
        batch = await super().read()
        await asyncio.sleep(0)
        return batch


class GivesEmptyBatches(MemoryPort):
    async def read(self):
        self.look()
        await asyncio.sleep(0.01)
        return self.batch()


class LeaksForeignErrors(MemoryPort):
    def look(self):
        if not self.wire.plugged:
            raise OSError(5, "Input/output error")
        super().look()


class NeverSeesUnplugging(MemoryPort):
    def look(self):
        if not self.is_open:
            raise PortClosedError(self.name, "by us")


class OpensWhatIsNotThere(MemoryPort):
    async def open(self):
        self.is_open = True
        self.wire.port = self


class ReadsAfterClose(MemoryPort):
    def look(self):
        if not self.wire.plugged:
            raise PortLostError(self.name, "unplugged")


class LeavesReadersWaiting(MemoryPort):
    async def close(self):
        self.is_open = False


class BuffersWithoutBound(MemoryPort):
    async def write(self, data, address=None):
        self.look()
        if not self.wire.stalled:
            self.wire.from_port += data


class HangsInWrite(MemoryPort):
    async def write(self, data, address=None):
        self.look()
        while self.wire.stalled:  # noqa: ASYNC110 - the fault under test
            await asyncio.sleep(0.05)
        self.wire.from_port += data


class FailsSecondClose(MemoryPort):
    async def close(self):
        if not self.is_open:
            raise PortClosedError(self.name, "twice")
        await super().close()


class LeaksDescriptors(MemoryPort):
    leaked: list = []  # noqa: RUF012 - the fault under test

    async def open(self):
        await super().open()
        self.leaked.append(socket.socket())


class SleepsInClose(MemoryPort):
    async def close(self):
        await asyncio.sleep(5)


class ReordersPayloads(MemoryPort):
    def batch(self):
        self.wire.to_port.reverse()
        return super().batch()


class GivesTextInsteadOfBytes(MemoryPort):
    def batch(self):
        return Batch([payload.decode() for payload in super().batch().payloads], 1, 1)


class HangsInOpen(MemoryPort):
    async def open(self):
        await asyncio.Event().wait()


class RaisesFromEverything:
    name = "broken"
    is_stream = True

    async def open(self):
        raise RuntimeError("no")

    async def close(self):
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("port_class", "expected"),
    [
        (SwallowsCancellation, "swallows cancellation"),
        (SpinsWhileIdle, "burns the processor"),
        (LosesBytesWhenCancelled, "lost or reordered by cancelled reads"),
        (GivesEmptyBatches, "although nothing was sent"),
        (LeaksForeignErrors, "OSError, which is no PortError"),
        (NeverSeesUnplugging, "unplugging was not seen"),
        (OpensWhatIsNotThere, "open while unplugged succeeded"),
        (ReadsAfterClose, "after close"),
        (LeavesReadersWaiting, "still waits"),
        (BuffersWithoutBound, "nothing limits them"),
        (HangsInWrite, "did not end within"),
        (FailsSecondClose, "a second close raised PortClosedError"),
        (LeaksDescriptors, "left 5 descriptors or threads behind"),
        (SleepsInClose, "close did not return within"),
        (ReordersPayloads, "the order changed"),
        (GivesTextInsteadOfBytes, "not all bytes"),
        (HangsInOpen, "open did not return within"),
    ],
)
def test_a_broken_driver_is_caught(port_class, expected):
    def is_caught(found):
        return any(expected in violation for violation in found)

    # a check that measures lets one pass where the machine is too busy to tell
    assert is_caught(first_met(lambda: findings(port_class), is_caught))


def test_a_driver_that_blocks_the_loop_is_caught():
    assert any("blocks the event loop" in violation for violation in findings(BlocksTheLoop))


def test_a_driver_that_raises_from_everything_is_caught():
    assert any("RuntimeError" in v for v in violations_of(RaisesFromEverything, NoWire()))


def test_a_factory_or_a_wire_that_raises_is_a_finding():
    def broken():
        raise ZeroDivisionError("factory")

    assert any("factory" in violation for violation in violations_of(broken, NoWire()))

    class BrokenWire(MemoryWire):
        async def send(self, data):
            raise KeyError("wire")

    wire = BrokenWire()
    assert any("wire" in violation for violation in violations_of(lambda: MemoryPort(wire), wire))
