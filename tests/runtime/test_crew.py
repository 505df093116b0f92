"""Tasks that belong together: how their block ends."""

from __future__ import annotations

import asyncio

import pytest

from gateway.runtime.crew import Crew


async def fail() -> None:
    raise ValueError("broken")


def test_the_first_task_that_fails_ends_the_block_with_its_error() -> None:
    async def run() -> None:
        async with Crew("crew", 0) as crew:
            crew.start(fail(), "fail")
            await asyncio.Event().wait()

    with pytest.raises(ValueError, match="broken"):
        asyncio.run(run())


def test_a_block_that_is_cancelled_while_a_task_fails_is_cancelled() -> None:
    """A sink that is told to stop in the moment in which its connection is lost must stop, not connect again."""

    async def fail_late(go: asyncio.Event) -> None:
        await go.wait()
        raise ValueError("broken")

    async def work(go: asyncio.Event) -> None:
        async with Crew("crew", 0) as crew:
            crew.start(fail_late(go), "fail")
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                go.set()
                await asyncio.sleep(0)  # says goodbye
                raise

    async def run() -> bool:
        task = asyncio.get_running_loop().create_task(work(asyncio.Event()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert asyncio.run(run())
