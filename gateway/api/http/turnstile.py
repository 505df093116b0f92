"""Layer 7: how many requests one turn of the loop begins: the bus is served between any two turns, whoever asks."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

AT_A_TURN: Final = 1  # request, which takes some hundred microseconds; a reading goes through several turns


class Turnstile:
    """One per door. Who came first goes first."""

    def __init__(self, at_a_turn: int = AT_A_TURN) -> None:
        """Take how many go through in one turn of the loop."""
        self._at_a_turn = at_a_turn
        self._left = at_a_turn
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_due = False

    async def enter(self) -> None:
        """Go through, in this turn of the loop or a later one."""
        loop = asyncio.get_running_loop()
        if not self._is_due:
            self._is_due = True
            loop.call_soon(self._turn, loop)
        if self._left > 0 and not self._waiting:
            self._left -= 1
            return
        place = loop.create_future()
        self._waiting.append(place)
        await place

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._left = self._at_a_turn
        while self._waiting and self._left > 0:
            place = self._waiting.popleft()
            if not place.done():  # else who waited has left
                place.set_result(None)
                self._left -= 1
        self._is_due = bool(self._waiting)
        if self._is_due:
            loop.call_soon(self._turn, loop)
