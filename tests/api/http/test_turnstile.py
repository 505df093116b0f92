from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from gateway.api.http.turnstile import Turnstile


async def passed(turnstile: Turnstile, count: int, leaving: set[int]) -> list[list[int]]:
    """Let so many come at once; return who goes through in each turn of the loop. Some leave before."""
    turns: list[list[int]] = [[]]

    async def one(number: int) -> None:
        await turnstile.enter()
        turns[-1].append(number)

    async with asyncio.TaskGroup() as group:
        coming = [group.create_task(one(number)) for number in range(count)]
        for turn in range(2 * count + 4):
            if turn == 1:
                for number in leaving:
                    coming[number].cancel()
            await asyncio.sleep(0)
            turns.append([])
    return [turn for turn in turns if turn]


@given(st.integers(1, 40), st.integers(1, 5), st.data())
def test_everybody_goes_through_in_order_and_few_at_a_turn(count: int, at_a_turn: int, data: st.DataObject) -> None:
    leaving = data.draw(st.sets(st.integers(0, count - 1)))
    turns = asyncio.run(passed(Turnstile(at_a_turn), count, leaving))
    assert max(map(len, turns), default=0) <= at_a_turn
    through = [number for turn in turns for number in turn]
    assert through == sorted(through)
    assert set(range(count)) - set(through) <= leaving


def test_one_who_comes_alone_does_not_wait() -> None:
    async def alone() -> bool:
        turnstile = Turnstile()
        async with asyncio.TaskGroup() as group:
            for _ in range(100):
                task = group.create_task(turnstile.enter())
                await asyncio.sleep(0)
                if not task.done():
                    return False
                await asyncio.sleep(0)
        return True

    assert asyncio.run(alone())
