from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from drivers._blocking import HandOver, open_in_thread, start_reader


def test_items_come_in_order_and_none_is_lost_between_threads():
    async def scenario():
        hand_over = HandOver(asyncio.get_running_loop(), 1_000_000)

        def work():
            for number in range(0, 20_000, 4):
                hand_over.put(range(number, number + 4))

        start_reader("test", work)
        got = []
        while len(got) < 20_000:
            taken, dropped = await hand_over.take(256)
            assert dropped == 0
            got += taken
        return got

    assert asyncio.run(scenario()) == list(range(20_000))


def test_overflow_drops_the_oldest_and_counts_it_once():
    async def scenario():
        hand_over = HandOver(asyncio.get_running_loop(), 3)
        hand_over.put([1, 2, 3, 4, 5])
        first = await hand_over.take(10)
        hand_over.put([6])
        return first, await hand_over.take(10)

    assert asyncio.run(scenario()) == (([3, 4, 5], 2), ([6], 0))


def test_a_lossless_hand_over_makes_the_thread_wait():
    async def scenario():
        hand_over = HandOver(asyncio.get_running_loop(), 4, lossless=True)
        put = []

        def work():
            for number in range(100):
                hand_over.put([number])
                put.append(number)

        start_reader("test", work)
        got = []
        while len(got) < 100:
            taken, dropped = await hand_over.take(2)
            assert dropped == 0
            assert len(put) - len(got) <= 4 + 2 + 1
            got += taken
        return got

    assert asyncio.run(scenario()) == list(range(100))


def test_a_cancelled_take_loses_nothing():
    async def scenario():
        loop = asyncio.get_running_loop()
        hand_over = HandOver(loop, 10)
        taking = loop.create_task(hand_over.take(10))
        await asyncio.sleep(0)
        hand_over.put(["item"])
        taking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await taking
        return await hand_over.take(10)

    assert asyncio.run(scenario()) == (["item"], 0)


def test_what_was_put_before_the_end_is_given_before_the_error():
    async def scenario():
        hand_over = HandOver(asyncio.get_running_loop(), 10)
        hand_over.put([1])
        hand_over.fail(ConnectionError("gone"))
        hand_over.fail(ValueError("second"))
        taken = await hand_over.take(10)
        for _ in range(2):
            with pytest.raises(ConnectionError, match="gone"):
                await hand_over.take(10)
        return taken

    assert asyncio.run(scenario()) == ([1], 0)


def test_many_items_cost_one_wake():
    async def scenario():
        loop = asyncio.get_running_loop()
        hand_over = HandOver(loop, 1000)
        wakes = 0
        plain = loop.call_soon_threadsafe

        def counted(*arguments):
            nonlocal wakes
            wakes += 1
            return plain(*arguments)

        loop.call_soon_threadsafe = counted
        thread = threading.Thread(target=lambda: [hand_over.put([number]) for number in range(500)])
        thread.start()
        thread.join()
        taken, _ = await hand_over.take(1000)
        return wakes, len(taken)

    assert asyncio.run(scenario()) == (1, 500)


def test_a_thread_whose_loop_is_closed_is_told_to_end():
    async def made():
        return HandOver(asyncio.get_running_loop(), 10)

    hand_over = asyncio.run(made())
    assert hand_over.put([1]) is False


@pytest.mark.parametrize(("limit_s", "patience_s"), [(0.01, 60), (60, 0.01)], ids=["too late", "cancelled"])
def test_what_opens_when_nobody_waits_any_more_is_shut(limit_s, patience_s):
    async def scenario():
        may_open = threading.Event()
        shut = asyncio.get_running_loop().create_future()

        def make():
            may_open.wait(10)
            return "opened"

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(patience_s):
                await open_in_thread(make, limit_s, shut.set_result)
        may_open.set()
        return await asyncio.wait_for(shut, 10)

    assert asyncio.run(scenario()) == "opened"


def test_what_fails_to_open_says_so_and_is_not_shut():
    shut = []

    async def scenario():
        with pytest.raises(FileNotFoundError):
            await open_in_thread(Path("/nowhere/at/all").open, 10, shut.append)

    asyncio.run(scenario())
    assert shut == []
