from __future__ import annotations

import asyncio

import pytest

from gateway.errors import PortClosedError, PortLostError, PortNotFoundError
from gateway.frame import Batch
from gateway.testing import FakeClock, ScriptedPort, run_on_fake_clock


def test_sessions_play_their_steps_in_order_and_then_the_port_is_gone() -> None:
    clock = FakeClock()
    lost = PortLostError("p", "unplugged")
    port = ScriptedPort("p", [[b"a", 2.0, Batch([b"b"], 1, 2), lost], PortNotFoundError("p", "x")], clock=clock)

    async def scenario() -> None:
        await port.open()
        assert (await port.read()).payloads == [b"a"]
        assert (await port.read()).payloads == [b"b"]
        assert clock.monotonic_ns() >= 2_000_000_000
        with pytest.raises(PortLostError):
            await port.read()
        await port.close()
        for _ in range(2):
            with pytest.raises(PortNotFoundError):
                await port.open()

    run_on_fake_clock(scenario(), clock)


def test_closing_wakes_a_waiting_read_and_writes_are_kept() -> None:
    async def scenario() -> None:
        port = ScriptedPort("p", [[]])
        await port.open()
        await port.write(b"x", 5)
        reading = asyncio.get_running_loop().create_task(port.read())
        await asyncio.sleep(1)
        await port.close()
        with pytest.raises(PortClosedError):
            await reading
        with pytest.raises(PortClosedError):
            await port.write(b"y")
        assert port.writes == [(b"x", 5)]

    run_on_fake_clock(scenario())
