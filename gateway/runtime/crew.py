"""Layer 6: tasks for who stands above the runtime: several that belong together, and a bounded number beside them."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, Self

from gateway.errors import GatewayError
from gateway.runtime.backoff import Backoff

RESTART_FIRST_S: Final = 1.0
RESTART_MOST_S: Final = 60.0

log = logging.getLogger(__name__)

Work = Coroutine[Any, Any, None]


class Crew:
    """An `async with` block in which tasks run; all end with it, and the first that fails ends it with its error."""

    def __init__(self, name: str, most: int) -> None:
        """Take a name for the tasks and how many may run beside those of `start`."""
        self.name = name
        self._most = most
        self._group = asyncio.TaskGroup()
        self._beside: set[asyncio.Task[None]] = set()
        self._cancelled_before = 0

    async def __aenter__(self) -> Self:
        """Begin."""
        self._cancelled_before = _cancellations()
        await self._group.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        """Wait for all. Raises: what the first task failed with, by itself; a cancellation from outside goes before."""
        try:
            await self._group.__aexit__(*error)  # type: ignore[arg-type]
        except BaseExceptionGroup as failed:
            if _cancellations() > self._cancelled_before:  # the group forgets it where a task failed meanwhile
                raise asyncio.CancelledError from None
            raise failed.exceptions[0] from None

    def start(self, work: Work, name: str) -> None:
        """Run something as long as the block lasts."""
        self._group.create_task(work, name=f"{self.name}/{name}")

    def spawn(self, work: Work, name: str) -> bool:
        """Run something beside; False where as many run already as may."""
        if len(self._beside) >= self._most:
            work.close()
            return False
        task = self._group.create_task(work, name=f"{self.name}/{name}")
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)
        return True


def _cancellations() -> int:
    """Return how often somebody wanted the current task to end."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


async def keep(name: str, run: Callable[[], Awaitable[None]], rand: Callable[[], float] = random.random) -> None:
    """Run a door or a sink, again after a pause where it fails: it never stops the gateway."""
    backoff = Backoff(RESTART_FIRST_S, RESTART_MOST_S, rand)
    while True:
        try:
            await run()
        except (GatewayError, OSError) as error:
            log.warning("%s: %s", name, error)
        except Exception:  # supervisor: a fault of ours there costs that door, not the gateway
            log.exception("fault: %s", name)
        await asyncio.sleep(backoff.delay_s())
