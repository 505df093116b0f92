"""USB serial adapters that the rig plugs in and pulls out as the tests ask."""

from __future__ import annotations

import asyncio
import contextlib
import os

import pytest

from drivers.uart import DRIVER
from gateway.clock import SystemClock
from hil.kernel.usb import WIRE
from tests.hil.node_line import LINK
from tests.kernel.usb.hands import PORTS, FarEnd, Hands


@pytest.fixture(scope="session")
def channel():
    port = os.open(PORTS / "tidegate.hands", os.O_RDWR)
    yield Hands(port)
    os.close(port)


@pytest.fixture
def hands(channel):
    yield channel
    channel.pull_everything()


@pytest.fixture
def far_end(hands):
    port = os.open(PORTS / "tidegate.wire", os.O_RDWR | os.O_NONBLOCK)
    hands.plug(WIRE)
    yield FarEnd(port, hands)
    os.close(port)


@contextlib.asynccontextmanager
async def opened(target, link=LINK):
    """Give an open port of our driver."""
    port = DRIVER.make(str(target), link, SystemClock())
    await port.open()
    try:
        yield port
    finally:
        await port.close()


@pytest.fixture
def on_port():
    """Run `scenario(port)` on an open port."""

    def run(target, scenario, link=LINK):
        async def session():
            async with opened(target, link) as port:
                return await scenario(port)

        return asyncio.run(session())

    return run
