"""Serial ports behind pyserial URLs: loop, TCP, RFC 2217."""

from __future__ import annotations

import asyncio
import select
import socket
import termios
import threading
import time

import pytest
import serial
import serial.rfc2217

from drivers.uart import DRIVER
from gateway.clock import SystemClock
from gateway.errors import (
    PortClosedError,
    PortLostError,
    PortNotFoundError,
    PortOptionError,
)
from gateway.profile.model import LinkSpec
from hil.sim.pty import Cable
from tests.waiting import WITHIN_S, first_met

LINK = LinkSpec(bus="uart", baud=115200)


def make(target, link=LINK):
    return DRIVER.make(str(target), link, SystemClock())


@pytest.fixture
def cable(tmp_path):
    with Cable(tmp_path / "device") as cable:
        yield cable


def test_a_loop_url_echoes():
    async def scenario():
        port = make("loop://")
        await port.open()
        await port.write(b"round")
        got = b""
        while len(got) < 5:
            got += b"".join((await port.read()).payloads)
        await port.close()
        with pytest.raises(PortClosedError):
            await port.read()
        return got

    assert asyncio.run(scenario()) == b"round"


def test_a_socket_url_reads_writes_and_loses():
    async def scenario():
        server = socket.create_server(("127.0.0.1", 0))
        port = make(f"socket://127.0.0.1:{server.getsockname()[1]}")
        await port.open()
        far, _ = server.accept()
        far.sendall(b"from far" * 100)
        got = b""
        while len(got) < 800:
            got += b"".join((await port.read()).payloads)
        await port.write(b"to far")
        answer = far.recv(100)
        far.close()
        with pytest.raises(PortLostError):
            await port.read()
        await port.close()
        server.close()
        with pytest.raises(PortNotFoundError):
            await port.open()
        return got, answer

    assert asyncio.run(scenario()) == (b"from far" * 100, b"to far")


def test_what_a_socket_says_at_once_is_not_thrown_away():
    """Many times over: whether it comes before or while the port is set up is a race."""

    def greet(server, greeted):
        for _ in range(20):
            far, _ = server.accept()
            far.sendall(b"hello")
            greeted.append(far)

    async def scenario():
        server, greeted = socket.create_server(("127.0.0.1", 0)), []
        greeter = threading.Thread(target=greet, args=(server, greeted), daemon=True)
        greeter.start()
        port = make(f"socket://127.0.0.1:{server.getsockname()[1]}")
        heard = []
        for _ in range(20):
            await port.open()
            async with asyncio.timeout(WITHIN_S):
                heard += (await port.read()).payloads
            await port.close()
        greeter.join()
        for far in greeted:
            far.close()
        server.close()
        return heard

    assert asyncio.run(scenario()) == [b"hello"] * 20


@pytest.mark.parametrize("target", ["socket://127.0.0.1:1", "rfc2217://127.0.0.1:1"])
def test_a_url_that_nobody_serves_is_not_found(target):
    async def scenario():
        with pytest.raises(PortNotFoundError):
            await make(target).open()

    asyncio.run(scenario())


@pytest.mark.parametrize("target", ["socket://nohost", "nonsense://x", "socket://127.0.0.1:99999999"])
def test_a_url_that_is_none_is_typed(target):
    async def scenario():
        with pytest.raises((PortOptionError, PortNotFoundError)):
            await make(target).open()

    asyncio.run(scenario())


class WithoutModemLines(serial.Serial):
    """A pty has none, and pyserial's server asks for them."""

    cts = dsr = ri = cd = dtr = rts = False


class Rfc2217Server:
    """A serial port behind TCP as RFC 2217 has it, by pyserial's own protocol engine."""

    def __init__(self, path):
        self._serial = WithoutModemLines(str(path), timeout=0)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"rfc2217://127.0.0.1:{self._server.getsockname()[1]}"
        self._ends = threading.Event()
        self._far = None
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def write(self, data):
        self._far.sendall(data)

    def _serve(self):
        self._far, _ = self._server.accept()
        manager = serial.rfc2217.PortManager(self._serial, self)
        while not self._ends.is_set():
            if select.select([self._far], [], [], 0.02)[0]:
                data = self._far.recv(1024)
                if not data:
                    return
                self._serial.write(b"".join(manager.filter(data)))
            if waiting := self._serial.read(4096):
                self._far.sendall(b"".join(manager.escape(waiting)))

    def close(self):
        self._ends.set()
        self._thread.join()
        for each in (self._far, self._server):
            each.close()
        self._serial.close()


@pytest.mark.filterwarnings("ignore:set(Daemon|Name):DeprecationWarning")  # pyserial's own
def test_an_rfc2217_url_reads_writes_sets_the_line_and_loses(cable):
    async def scenario():
        server = Rfc2217Server(cable.path)
        port = make(server.url, LinkSpec(bus="uart", baud=19200))
        await port.open()
        speed = termios.tcgetattr(cable.fileno())[4]
        await port.write(b"to \xff far")
        cable.send(b"from \xff far")
        got = b""
        while len(got) < 10:
            got += b"".join((await port.read()).payloads)
        written = await arrived(cable, 8)
        server.close()
        with pytest.raises(PortLostError):
            await port.read()
        start = time.monotonic()
        await port.close()
        return got, written, speed, time.monotonic() - start

    got, written, speed, took = first_met(lambda: asyncio.run(scenario()), lambda result: result[3] < 1.2)
    assert got == b"from \xff far"
    assert written == b"to \xff far"
    assert speed == termios.B19200
    assert took < 1.2


async def arrived(cable, count):
    got = b""
    while len(got) < count:
        await asyncio.sleep(0.01)
        got += cable.receive()
    return got
