"""Layer 6: what runs beside the gateway and must never stop it: doors and sinks. One that breaks begins again."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Final

from gateway.runtime.backoff import Backoff

FIRST_S: Final = 1.0
MOST_S: Final = 60.0

log = logging.getLogger(__name__)


async def standing(name: str, run: Callable[[], Awaitable[None]]) -> None:
    """Run something until cancelled; a fault of ours ends it for a while, which is logged."""
    backoff = Backoff(FIRST_S, MOST_S, random.random)
    while True:
        try:
            await run()
        except Exception:  # supervisor: whatever breaks there costs a door, not the gateway
            log.exception("fault: %s", name)
        await asyncio.sleep(backoff.delay_s())
