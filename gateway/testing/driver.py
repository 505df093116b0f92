"""Layer 9: holds any driver to the contract of `gateway.port.Port`; ships for plugin authors.

The port is driven on an event loop of its own, in a thread of its own, so that a driver that blocks its loop or
swallows cancellation is reported like any other fault instead of hanging the caller.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final

from gateway.port import Port
from gateway.testing._driver_bench import Bench, StoppedError
from gateway.testing._driver_checks import CHECKS

LIMIT_S: Final = 24.0  # after which no check is begun; none takes longer than the rest
GIVE_UP_S: Final = 28.0  # after which the thread is left behind
BLOCKED_S: Final = 5.0  # the loop showed no sign of life for so long
BEAT_S: Final = 0.1


async def check_driver(make: Callable[[], Port], wire: object) -> list[str]:
    """Return the violations of the port contract that `make()` shows, empty when there are none. Never raises.

    `wire` is the far end: methods `send(data)`, `receive() -> data`, `unplug()`, `plug()`, `stall()` (take nothing any
    more), `resume()` (throw away what waits, take again), each plain or async. A method that is missing leaves out the
    checks that need it. Optional attributes: `address` for writes, `payload_bytes` (default 8) of a packet port.
    `make` and `wire` are used on another thread's loop: neither may be bound to the caller's. Takes at most 30 s.
    """
    bench = Bench(make, wire, deadline_s=time.monotonic() + LIMIT_S)
    ended: Future[None] = Future()
    threading.Thread(target=_work, args=(bench, ended), name="check_driver", daemon=True).start()
    give_up_s = time.monotonic() + GIVE_UP_S
    while not ended.done() and time.monotonic() < min(give_up_s, bench.beat_s + BLOCKED_S):
        await asyncio.wait({asyncio.wrap_future(ended)}, timeout=BEAT_S)
    violations = list(bench.violations)
    if not ended.done():
        violations.append(f"{bench.step}: the driver blocks the event loop; nothing else can run")
    return violations


def _work(bench: Bench, ended: Future[None]) -> None:
    loop = asyncio.new_event_loop()
    try:
        asyncio.set_event_loop(loop)
        loop.set_exception_handler(lambda _loop, context: _note(bench, context))
        loop.run_until_complete(_run(bench))
        _bury(loop)
    except BaseException as error:  # noqa: BLE001 - whatever a driver throws is a finding, never an exception of ours
        bench.note(f"{bench.step}: {type(error).__name__}: {error}")
    finally:
        ended.set_result(None)


async def _run(bench: Bench) -> None:
    _beat(bench, asyncio.get_running_loop())
    for name, check in CHECKS:
        bench.step = name
        try:
            await check(bench)
        except StoppedError:
            pass
        except Exception as error:  # noqa: BLE001 - a wire or a driver may fail in any way
            bench.note(f"{name}: {type(error).__name__}: {error}")
        await bench.clean_up()
        if bench.is_hopeless or bench.is_over:
            bench.note(f"{name}: the checks after this one did not run")
            return


def _beat(bench: Bench, loop: asyncio.AbstractEventLoop) -> None:
    bench.beat_s = time.monotonic()
    loop.call_later(BEAT_S, _beat, bench, loop)


def _note(bench: Bench, context: dict[str, Any]) -> None:
    error = context.get("exception")
    if error is not None:
        bench.note(f"{bench.step}: an exception nobody waits for: {type(error).__name__}: {error}")


def _bury(loop: asyncio.AbstractEventLoop) -> None:
    """End what ignored its cancellation: closing its coroutine cannot be ignored."""
    loop.set_exception_handler(lambda _loop, _context: None)
    left = asyncio.all_tasks(loop)
    for task in left:
        coroutine = task.get_coro()
        try:
            coroutine.close()
        except (RuntimeError, ValueError):
            return  # it runs or refuses to go: leave the loop unclosed behind
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.wait(left, timeout=1))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
