from __future__ import annotations

import asyncio
import time

import pytest

from gateway.errors import PortLostError, PortNotFoundError

pytestmark = pytest.mark.kernel

SEEN_S = 0.5  # the figure


async def lost_s(port):
    """Return when a waiting read ended."""
    with pytest.raises(PortLostError):
        await port.read()
    return time.monotonic()


async def lost_after_s(port, cause):
    """Return how long after `cause` has acted a waiting read ended."""
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(lost_s(port))
        await asyncio.sleep(0.05)
        await asyncio.to_thread(cause)
        acted_s = time.monotonic()
    return reading.result() - acted_s


def test_can_an_interface_that_goes_down_ends_a_waiting_read_at_once(vcan):
    async def scenario():
        port = vcan.port()
        await port.open()
        took_s = await lost_after_s(port, vcan.down)
        with pytest.raises(PortLostError):
            await port.write(b"", 0x1)
        await port.close()
        return took_s

    assert asyncio.run(scenario()) < SEEN_S


def test_can_an_interface_that_is_removed_ends_a_waiting_read_at_once(vcan):
    async def scenario():
        port = vcan.port()
        await port.open()
        took_s = await lost_after_s(port, vcan.remove)
        await port.close()
        return took_s

    assert asyncio.run(scenario()) < SEEN_S


def test_can_what_came_before_the_interface_went_away_is_still_given(vcan, bus):
    async def scenario():
        port, node = vcan.port(), vcan.socket()
        await port.open()
        for number in range(600):
            node.send(bus.classic(number))
        vcan.down()
        frames = await bus.read(port, 600)
        with pytest.raises(PortLostError, match="is down: sudo ip link set vcan0 up"):
            await port.read()
        await port.close()
        node.close()
        return [address for address, _, _ in frames]

    assert asyncio.run(scenario()) == list(range(600))


def test_can_a_write_to_an_interface_that_is_down_is_a_lost_port(vcan):
    async def scenario():
        port = vcan.port()
        await port.open()
        vcan.down()
        with pytest.raises(PortLostError, match="down"):
            await port.write(b"", 0x1)
        await port.close()

    asyncio.run(scenario())


def test_can_an_interface_that_is_down_is_not_there_until_it_is_up_again(vcan, bus):
    async def scenario():
        port = vcan.port()
        vcan.down()
        with pytest.raises(PortNotFoundError, match="sudo ip link set vcan0 up"):
            await port.open()
        vcan.up()
        await port.open()
        node = vcan.socket()
        node.send(bus.classic(0x1, b"back"))
        frames = await bus.read(port, 1)
        await port.close()
        node.close()
        return frames[0][1]

    assert asyncio.run(scenario()) == b"back"


def test_can_the_same_port_opens_again_on_an_interface_made_anew(vcan, bus):
    async def scenario():
        port = vcan.port()
        await port.open()
        vcan.remove()
        with pytest.raises(PortLostError):
            await port.read()
        with pytest.raises(PortNotFoundError):
            await port.open()
        vcan.add()
        await port.open()
        node = vcan.socket()
        node.send(bus.classic(0x1, b"new"))
        frames = await bus.read(port, 1)
        await port.close()
        node.close()
        return frames[0][1]

    assert asyncio.run(scenario()) == b"new"
