"""What the CAN tests of the kernel rig stand on: interfaces of the guest's kernel, and ways to speak on them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import socket
import struct
import subprocess
import time
import tty
from pathlib import Path

import pytest

from drivers.canbus import DRIVER
from gateway.clock import SystemClock
from gateway.profile.model import LinkSpec

APPEARS_S = 10.0  # a guest without hardware help is slow


def run(*command):
    subprocess.run(command, check=True, capture_output=True)


class Vcan:
    """One virtual CAN interface, with room for FD frames."""

    name = "vcan0"

    def add(self):
        run("ip", "link", "add", self.name, "type", "vcan")
        run("ip", "link", "set", self.name, "mtu", "72")
        self.up()

    def up(self):
        run("ip", "link", "set", self.name, "up")

    def down(self):
        run("ip", "link", "set", self.name, "down")

    def make_classic(self):
        self.down()
        run("ip", "link", "set", self.name, "mtu", "16")
        self.up()

    def remove(self):
        subprocess.run(["ip", "link", "del", self.name], check=False, capture_output=True)

    def socket(self):
        """Another node on the bus."""
        node = socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW)
        node.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FD_FRAMES, 1)
        node.bind((self.name,))
        node.setblocking(False)
        return node

    def port(self, *, fd=True):
        return DRIVER.make(self.name, LinkSpec(bus="can", fd=fd), SystemClock())


class Slcan:
    """The kernel's own slcan driver, its adapter played by us: the one source of bus states without hardware."""

    name = "slcan0"
    _node = Path("/sys/class/net/slcan0")

    def __init__(self):
        self._adapter, self._tty = pty.openpty()
        tty.setraw(self._tty)
        os.set_blocking(self._adapter, False)
        self._daemon = subprocess.Popen(
            ["slcand", "-F", "-o", "-c", "-s6", os.ttyname(self._tty), self.name],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait(exists=True)
        run("ip", "link", "set", self.name, "up")

    def says(self, *lines):
        """Tell the kernel something as the adapter: frames, states (`sw096000`), errors (`e1a`)."""
        for line in lines:
            os.write(self._adapter, line.encode() + b"\r")

    def heard(self):
        """Return what the kernel wrote to the adapter since last asked."""
        try:
            return os.read(self._adapter, 65536)
        except OSError:
            return b""

    @contextlib.contextmanager
    def taking_all(self):
        """Take what the kernel writes as soon as it is there."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._adapter, self.heard)
        try:
            yield
        finally:
            loop.remove_reader(self._adapter)

    def set_up_again(self):
        """Do what an operator does to a bus that is off."""
        for state in ("down", "up"):
            run("ip", "link", "set", self.name, state)

    def unplug(self):
        """Pull the adapter: the kernel removes the interface."""
        for number in (self._adapter, self._tty):
            if number >= 0:
                os.close(number)
        self._adapter = self._tty = -1

    def end(self):
        self.unplug()
        self._daemon.terminate()
        self._daemon.wait(timeout=APPEARS_S)
        self._wait(exists=False)

    def port(self):
        return DRIVER.make(self.name, LinkSpec(bus="can"), SystemClock())

    def _wait(self, *, exists):
        until_s = time.monotonic() + APPEARS_S
        while self._node.exists() != exists:
            assert time.monotonic() < until_s, f"slcan0 does not {'appear' if exists else 'go away'}"
            time.sleep(0.02)


class Bus:
    """Helpers that every test uses."""

    @staticmethod
    def classic(can_id, data=b""):
        return struct.pack("=IB3x8s", can_id, len(data), data)

    @staticmethod
    def flexible(can_id, data, flags=0x05):
        return struct.pack("=IBB2x64s", can_id, len(data), flags, data)

    @staticmethod
    async def read(port, count, limit_s=10.0):
        """Return so many frames as (address, payload, stamp)."""
        frames = []
        async with asyncio.timeout(limit_s):
            while len(frames) < count:
                batch = await port.read()
                frames += zip(batch.addresses, batch.payloads, batch.stamps_ns or [], strict=True)
        return frames

    @staticmethod
    async def read_all(port, quiet_s=0.5):
        """Return ids that came and how many were dropped, until nothing comes any more."""
        addresses, dropped = [], 0
        while True:
            try:
                async with asyncio.timeout(quiet_s):
                    batch = await port.read()
            except TimeoutError:
                return addresses, dropped
            addresses += batch.addresses
            dropped += batch.dropped

    @staticmethod
    async def until(fact, port, limit_s=10.0):
        """Read until `fact()` holds; what comes meanwhile is returned."""
        addresses, until_s = [], time.monotonic() + limit_s
        while not fact():
            assert time.monotonic() < until_s, f"not so within {limit_s} s: {port.health()}"
            addresses += (await Bus.read_all(port, 0.05))[0]
        return addresses


@pytest.fixture(scope="session")
def modules():
    run("modprobe", "-a", "vcan", "can_raw", "can_isotp", "slcan")


@pytest.fixture
def vcan(modules):
    link = Vcan()
    link.remove()
    link.add()
    yield link
    link.remove()


@pytest.fixture
def slcan(modules):
    link = Slcan()
    yield link
    link.end()


@pytest.fixture
def bus():
    return Bus
