from __future__ import annotations

import asyncio

import pytest

from gateway.testing import check_driver
from hil.hosts import host_rig
from hil.hosts.canbus import KINDS, rig


@pytest.mark.parametrize("kind", KINDS)
def test_the_driver_keeps_the_contract_at_every_far_end(kind):
    async def scenario():
        async with rig(kind) as (make, wire):
            return await check_driver(make, wire)

    assert asyncio.run(scenario()) == []


def test_the_rig_named_canbus_is_the_kernel_s_stand_in():
    async def scenario():
        async with host_rig("canbus") as (make, wire):
            return make().name, callable(wire.unplug)

    assert asyncio.run(scenario()) == ("stand-in", True)


def test_a_kind_that_does_not_exist_is_refused_with_those_that_do():
    with pytest.raises(ValueError, match="socket, virtual, slcan"):
        rig("radio")
