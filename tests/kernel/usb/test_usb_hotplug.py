"""Adapters that are pulled out and put back: seen within half a second, followed to whatever name they get."""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import subprocess
import sys
import threading
import time

import pytest
import pyudev

from drivers.uart import DRIVER
from gateway.cli.client import ask
from gateway.clock import SystemClock
from gateway.errors import PortLostError, PortNotFoundError
from hil.kernel.usb import NODE, WIRE
from tests.hil.node_line import LIMIT_S, LINK, NodeLine, set_valve
from tests.kernel.usb.hands import link_of, wait_until

SEEN_S = 0.5  # unplugging is seen within
ROUNDS = 2
START_S = 60.0  # of a gateway, on an emulated processor
TARGETS = [str(link_of(NODE)), f"usb:0403:6001:{NODE}"]


@pytest.mark.parametrize("target", TARGETS, ids=["link", "usb_id"])
def test_unplugging_is_seen_within_half_a_second_and_the_port_opens_again_twice(hands, target):
    async def scenario():
        port = DRIVER.make(target, LINK, SystemClock())
        seen = []
        for _ in range(ROUNDS):
            hands.plug(NODE)
            await port.open()
            await NodeLine(port).next("measurement")
            reading = asyncio.ensure_future(lost(port))  # noqa: TID251 - a test may start tasks
            await asyncio.sleep(0)
            pulled_s = time.monotonic()
            await asyncio.to_thread(hands.unplug, NODE)
            seen.append(await reading - pulled_s)
            await port.close()
            with pytest.raises(PortNotFoundError):
                await port.open()
        return seen

    seen = asyncio.run(scenario())
    assert max(seen) < SEEN_S, seen


async def lost(port):
    """Return when reading said that the port is lost."""
    async with asyncio.timeout(LIMIT_S):
        with contextlib.suppress(PortLostError):
            while True:
                await port.read()
        return time.monotonic()


def test_a_write_to_an_adapter_that_was_pulled_out_says_so(hands, on_port):
    async def scenario(port):
        hands.unplug(NODE)
        with pytest.raises(PortLostError):
            await write_on(port)

    async def write_on(port):
        async with asyncio.timeout(LIMIT_S):
            while True:  # the kernel may still take some
                await port.write(set_valve(1, 50))
                await asyncio.sleep(0.01)

    on_port(hands.plug(NODE), scenario)


def test_an_adapter_that_comes_back_under_another_name_is_followed(hands):
    async def scenario():
        port = DRIVER.make(str(link), LINK, SystemClock())
        await port.open()
        names = [link.resolve().name]
        hands.unplug(NODE)
        await lost(port)
        await port.close()
        hands.plug(WIRE)  # takes the name that has become free
        hands.plug(NODE)
        await port.open()
        names.append(link.resolve().name)
        await NodeLine(port).next("measurement")
        await port.close()
        return names

    link = hands.plug(NODE)
    assert asyncio.run(scenario()) == ["ttyUSB0", "ttyUSB1"]


def test_udev_tells_of_the_adapter_and_of_its_going_with_our_link(hands):
    monitor = pyudev.Monitor.from_netlink(pyudev.Context())
    monitor.filter_by("tty")
    monitor.start()
    hands.plug(NODE)
    added = monitor.poll(timeout=LIMIT_S)
    hands.unplug(NODE)
    removed = monitor.poll(timeout=LIMIT_S)
    assert (added.action, added.properties["ID_SERIAL_SHORT"]) == ("add", NODE)
    assert str(link_of(NODE)) in set(added.device_links)
    assert (removed.action, removed.device_node) == ("remove", added.device_node)


def test_a_running_gateway_is_disconnected_within_half_a_second_and_comes_back(hands, tmp_path):
    site = tmp_path / "site.toml"
    site.write_text(
        f'[gateway]\nname = "bench"\ndata = "{tmp_path / "data"}"\n'
        f'[device.node]\nprofile = "cobs-node"\nport = "{link_of(NODE)}"\n'
    )
    hands.plug(NODE)
    seen = []
    with Gateway(site) as gateway:
        for _ in range(ROUNDS):
            gateway.is_told("node: CONNECTED")
            frames = gateway.node["frames"]["delivered"]
            wait_until(lambda frames=frames: gateway.node["frames"]["delivered"] > frames, "no measurement comes")
            pulled_s = time.monotonic()
            hands.unplug(NODE)
            seen.append(gateway.is_told("node: DISCONNECTED") - pulled_s)
            assert gateway.node["state"] != "CONNECTED"
            hands.plug(NODE)
        gateway.is_told("node: CONNECTED")
        assert gateway.node["state"] == "CONNECTED"
    assert max(seen) < SEEN_S, seen


class Gateway:
    """A `tidegate run` of its own: what it says, when, and what its socket answers."""

    def __init__(self, site):
        self._data = os.fspath(site.parent / "data")
        self._said = queue.Queue()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "run", os.fspath(site)], stderr=subprocess.PIPE, text=True
        )
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self._process.terminate()
        self._process.wait(LIMIT_S)
        self._listener.join(LIMIT_S)

    def _listen(self):
        for line in self._process.stderr:
            self._said.put((time.monotonic(), line))

    def is_told(self, text):
        """Return when the next line with `text` was said, passing over others."""
        while True:
            said_s, line = self._said.get(timeout=START_S)
            if text in line:
                return said_s

    @property
    def node(self):
        """The device, as the socket tells it now."""
        return ask(self._data, None, "status")["devices"][0]
