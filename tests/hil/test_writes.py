"""The demo's write loop: what it sets is confirmed, and what somebody else sets is left to them."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import msgspec
import pytest

from gateway.app import Gateway
from gateway.authority.decision import Caller
from gateway.authority.settings import GrantConfig
from gateway.runtime.peer import own_principal
from hil.sim.rig import Rig
from hil.writes import write_to_and_fro
from tests.integration.test_ports import until


def test_the_demo_sets_valve_and_motor_until_somebody_else_does(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caller = Caller(principal=own_principal(), is_local=True)
    grants = {"me": GrantConfig(principal=own_principal(), routes="**", verbs=["read", "write"])}

    async def play(gateway: Gateway) -> None:
        await until(lambda: caplog.text.count(": reported") >= 4, 40)
        await gateway.asks.answer("set", {"route": "node/node/valve", "value": 50}, caller)
        await until(lambda: "node/node/valve is yours now" in caplog.text, 20)

    async def run(rig: Rig) -> None:
        gateway = Gateway(msgspec.structs.replace(rig.site(), grants=grants), tmp_path / "data")
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            running = group.create_task(gateway.run(stop))
            beside = [group.create_task(rig.run()), group.create_task(write_to_and_fro(gateway, 0.3))]
            try:
                await play(gateway)
            finally:
                for task in beside:
                    task.cancel()
                stop.set()
                await running

    caplog.set_level(logging.INFO, "hil.writes")
    with Rig(tmp_path / "devices") as rig:
        asyncio.run(run(rig))
    assert "set pump/motor/speed 900: reported" in caplog.text
