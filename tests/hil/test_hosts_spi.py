"""The SPI rig that needs no hardware, and the contract on it."""

from __future__ import annotations

import asyncio

from gateway.testing import check_driver
from hil.hosts import host_rig


def on_rig(scenario):
    async def whole():
        async with host_rig("spi") as (make, wire):
            return await scenario(make, wire)

    return asyncio.run(whole())


def test_the_spi_driver_keeps_the_contract_of_a_port():
    assert on_rig(check_driver) == []


def test_what_the_far_end_sends_is_what_the_port_reads():
    async def scenario(make, wire):
        port = make()
        await port.open()
        wire.send(b"twelve bytes")
        wire.send(b"and more")
        got = b""
        while len(got) < 20:
            got += b"".join((await port.read()).payloads)
        await port.close()
        return got

    assert on_rig(scenario) == b"twelve bytesand more"


def test_the_far_end_may_speak_from_another_thread():
    async def scenario(make, wire):
        port = make()
        await port.open()
        await asyncio.to_thread(wire.send, b"from afar")
        batch = await port.read()
        await port.close()
        return batch.payloads

    assert on_rig(scenario) == [b"from afar"]


def test_what_the_port_writes_is_what_the_far_end_receives():
    async def scenario(make, wire):
        port = make()
        await port.open()
        await port.write(b"\x01\x02")
        await port.write(b"\x03")
        await port.close()
        return wire.receive(), wire.receive()

    assert on_rig(scenario) == (b"\x01\x02\x03", b"")
