"""Every far end of this machine holds its driver to the port contract."""

from __future__ import annotations

import asyncio

import pytest

from gateway.testing import check_driver
from hil.hosts import host_rig
from hil.hosts.wire import Wire


async def violations(name: str) -> list[str]:
    async with host_rig(name) as (make, wire):
        return await check_driver(make, wire)


@pytest.mark.parametrize("name", ["uart", "replay"])
def test_the_driver_keeps_the_contract_on_its_host_rig(name: str) -> None:
    assert asyncio.run(violations(name)) == []


def test_the_far_end_of_a_serial_port_can_do_all_that_the_contract_asks_of_a_wire() -> None:
    async def methods() -> set[str]:
        async with host_rig("uart") as (_make, wire):
            return {name for name in dir(wire) if not name.startswith("_")} - set(dir(Wire))

    assert asyncio.run(methods()) == {"send", "receive", "unplug", "plug", "stall", "resume"}


def test_a_rig_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(ValueError, match="no rig 'i2c'; one of uart, canbus, ble, spi, replay"):
        host_rig("i2c")
