"""An event loop that lives in a simulated world: its time is the world's, and passes only when the world lets it.

Single-threaded: what is sent to an executor is done at once, so that no thread decides in which order things happen.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Executor
from typing import Any, Final, TypeVar

from hil.rigs.simulated.world import World

_NS: Final = 1_000_000_000
RESOLUTION_S: Final = 0.5e-9  # a timer is due in the nanosecond that is nearest, and never before that
NUDGE_TURNS: Final = 500
MOST_TURNS: Final = 10_000  # of the loop without time passing: more, and something in it never rests

T = TypeVar("T")


class WorldLoop(asyncio.SelectorEventLoop):
    """`settle` runs it until it has nothing to do now; `step`, in place of the world's own, lets both get on."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rest = _RestingSelector(self)
        self._is_dirty = True
        self.due_ns: int | None = None  # its next timer, as it was when it came to rest
        super().__init__(self._rest)
        self._clock_resolution = RESOLUTION_S  # asyncio serves what is due within it

    def time(self) -> float:
        """Return the world's time in seconds."""
        return self._world.now_ns / _NS

    def call_soon(  # type: ignore[override]  # typeshed ties the arguments to the callback's
        self, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> asyncio.Handle:
        """Do something before time passes."""
        self._is_dirty = True
        return super().call_soon(callback, *args, context=context)

    def call_soon_threadsafe(  # type: ignore[override]  # as above
        self, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> asyncio.Handle:
        """Do the same; nothing else is in this world but its own thread."""
        return self.call_soon(callback, *args, context=context)

    def call_at(  # type: ignore[override]  # as above
        self, when: float, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        """Do something at a time of the world."""
        self._is_dirty = True
        return super().call_at(when, callback, *args, context=context)

    def run_in_executor(  # type: ignore[override]  # typeshed ties it to the type of the executor
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Do it now: for the loop it takes no time."""
        del executor
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - it is the caller's
            done.set_exception(error)
        return done

    def settle(self) -> None:
        """Run until there is nothing to do at this instant. Raises: RuntimeError where that does not come.

        A test that is a coroutine has a loop of its own in this thread, which stands still as for any call.
        """
        self._rest.turns = 0
        if not self._is_dirty:
            return
        around = asyncio._get_running_loop()  # noqa: SLF001 - these two are what loops are made with
        asyncio._set_running_loop(None)  # noqa: SLF001
        try:
            while self._is_dirty:
                self.run_forever()
        finally:
            asyncio._set_running_loop(around)  # noqa: SLF001

    def step(self, limit_ns: int) -> bool:
        """Do the world's next event or the loop's next timer, whichever is due first; as `World.step_events`."""
        self.settle()
        world, due_ns = self._world, self.due_ns
        next_ns = world.next_ns()
        if due_ns is None or (next_ns is not None and next_ns <= due_ns):
            went_on = world.step_events(limit_ns)
        elif due_ns > limit_ns:
            world.now_ns = max(world.now_ns, limit_ns)
            return False
        else:
            world.now_ns = max(world.now_ns, due_ns)
            self._is_dirty = went_on = True
        self.settle()
        return went_on

    def finish(self, work: Coroutine[Any, Any, T], limit_ns: int) -> T:
        """Let time pass until work is done; return its result. Raises: TimeoutError at `limit_ns`, and what it does."""
        task = self.create_task(work)
        world = self._world
        self.settle()
        while not task.done():
            if not world.step(limit_ns) and not task.done():
                task.cancel()
                self.settle()
                raise TimeoutError
        return task.result()

    def end(self) -> None:
        """Cancel what is left, and close."""
        for task in asyncio.all_tasks(self):
            task.cancel()
        self._is_dirty = True
        self.settle()
        self.close()

    def nudge(self) -> None:
        """Let a nanosecond pass: who waits for less, in doubles, would wait for ever at one instant."""
        self._world.now_ns += 1

    def came_to_rest(self, timeout: float | None) -> None:
        """Take note when the next timer is due, and stop. Called by the selector."""
        self.due_ns = None if timeout is None else self._world.now_ns + max(1, round(timeout * _NS))
        self._is_dirty = False  # until something that is done in this turn still makes it so
        self.stop()


class _RestingSelector(selectors.DefaultSelector):
    """Where nothing is ready, the loop has come to rest."""

    def __init__(self, loop: WorldLoop) -> None:
        super().__init__()
        self._loop = loop
        self.turns = 0  # since it rested last

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready now, all that can be waited for; the kernel is asked only where the loop would rest."""
        ready = super().select(0) if timeout is None or timeout > 0 else []
        self.turns += 1
        if self.turns % NUDGE_TURNS == 0:
            self._loop.nudge()
        if self.turns > MOST_TURNS:
            raise RuntimeError("the gateway never rests: it did 10,000 turns in no time")
        if not ready and (timeout is None or timeout >= RESOLUTION_S / 2):  # half: far from zero, floats are coarse
            self._loop.came_to_rest(timeout)
        return ready

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """Return what is registered."""
        return super().get_map()
