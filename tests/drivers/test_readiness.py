from __future__ import annotations

import asyncio
import os

import pytest

from drivers._readiness import UNWAITED_READS, Fairness, Readiness
from gateway.testing import FakeClock


@pytest.fixture
def pipe():
    read, write = os.pipe()
    os.set_blocking(read, False)
    yield read, write
    os.close(read)
    os.close(write)


def armed(loop):
    return len(loop._selector.get_map())


def test_it_stays_armed_between_waits_and_disarms_on_bytes_nobody_waits_for(pipe):
    read, write = pipe

    async def scenario():
        loop = asyncio.get_running_loop()
        before = armed(loop)
        ready = Readiness(read)
        for _ in range(3):
            loop.call_soon(os.write, write, b"x")
            await ready.wait()
            assert os.read(read, 10) == b"x"
            assert armed(loop) == before + 1
        os.write(write, b"x")
        for _ in range(3):
            await asyncio.sleep(0)
        after = armed(loop)
        await ready.wait()  # what came meanwhile is still seen
        ready.close()
        return after - before, armed(loop) - before

    assert asyncio.run(scenario()) == (0, 0)


def test_closing_or_waking_ends_a_wait(pipe):
    read, _ = pipe

    async def scenario():
        ready = Readiness(read)
        for end in (ready.wake, ready.close):
            async with asyncio.timeout(30):
                asyncio.get_running_loop().call_soon(end)
                await ready.wait()
        assert not ready.is_waited_for

    asyncio.run(scenario())


async def turns_of(fairness):
    """Return whether giving way let the loop turn."""
    turned = []
    asyncio.get_running_loop().call_soon(turned.append, True)
    await fairness.give_way()
    return bool(turned)


def test_who_comes_back_at_once_gives_way_and_who_waited_does_not():
    async def scenario():
        clock = FakeClock()
        fairness = Fairness(clock)
        seen = [await turns_of(fairness)]
        fairness.read_at(clock.monotonic_ns(), waited=False)
        seen.append(await turns_of(fairness))
        fairness.read_at(clock.monotonic_ns(), waited=True)
        seen.append(await turns_of(fairness))
        fairness.read_at(clock.monotonic_ns(), waited=False)
        clock.advance(0.002)
        seen.append(await turns_of(fairness))
        return seen

    assert asyncio.run(scenario()) == [False, True, False, False]


def test_a_slow_caller_that_never_waits_gives_way_now_and_then():
    async def scenario():
        clock = FakeClock()
        fairness = Fairness(clock)
        seen = []
        for _ in range(3 * UNWAITED_READS):
            seen.append(await turns_of(fairness))
            fairness.read_at(clock.monotonic_ns(), waited=False)
            clock.advance(0.01)
        return sum(seen)

    assert asyncio.run(scenario()) == 2
