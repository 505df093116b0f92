from __future__ import annotations

import asyncio
import os

import pytest

from gateway.testing import check_driver
from hil.hosts import host_rig
from hil.hosts.wire import RigUnavailableError
from hil.sim.bluez.bus import VARIABLE


def test_the_bluetooth_driver_keeps_the_contract_of_a_port():
    async def scenario():
        async with host_rig("ble") as (make, wire):
            return await check_driver(make, wire)

    try:
        assert asyncio.run(scenario()) == []
    except RigUnavailableError as error:
        pytest.skip(str(error))


def test_a_host_without_a_bus_says_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")

    async def scenario():
        async with host_rig("ble"):
            pass

    with pytest.raises(RigUnavailableError, match="apt install"):
        asyncio.run(scenario())


def test_the_system_bus_is_the_system_s_again_afterwards(monkeypatch):
    monkeypatch.setenv(VARIABLE, "unix:path=/somewhere/else")

    async def scenario():
        async with host_rig("ble"):
            return os.environ[VARIABLE]

    try:
        during = asyncio.run(scenario())
    except RigUnavailableError as error:
        pytest.skip(str(error))
    assert during != os.environ[VARIABLE] == "unix:path=/somewhere/else"
