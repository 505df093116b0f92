"""The checks of `gateway.testing.check_driver`, in the order they run: each needs less to work than the next."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from gateway.errors import PortClosedError, PortError, PortLostError, PortTimeoutError
from gateway.port import Port
from gateway.testing._driver_bench import CLOSE_S, FIRST_WORD_S, OPEN_S, REPLY_S, Bench

IDLE_S: Final = 0.3
BUSY_SHARE: Final = 0.2  # of the processor; waiting costs a hundredth, spinning what a loaded machine gives
LOST_S: Final = 0.75  # unplugging shows within half a second, plus slack
CYCLES: Final = 5
ROUNDS: Final = 3  # a fault of the driver shows in each, a machine that is busy with something else does not
FLOOD_PAYLOADS: Final = 100
STALL_LIMIT_S: Final = 5.0
STALL_BYTES: Final = 16 << 20  # nothing between us and a stalled wire may hold more

_DESCRIPTORS: Final = Path("/proc/self/fd")


def _payload(bench: Bench, number: int) -> bytes:
    """Return bytes that differ with `number` and carry no line control characters."""
    return f"{number:0{bench.payload_bytes}d}".encode()[-bench.payload_bytes :]


async def _exchange(bench: Bench, port: Port, number: int) -> None:
    """Send both ways, as far as the wire can."""
    data = _payload(bench, number)
    if bench.can("send"):
        await bench.wire("send", data)
        got, _ = await bench.receive(port, len(data))
        if got != data:
            raise bench.fail(f"read gave {got[:32]!r}, the far end had sent {data!r}")
    if bench.can("receive"):
        await bench.call(port.write(data, bench.address), REPLY_S, "write")
        got = await bench.far_end(len(data))
        if got != data:
            raise bench.fail(f"the far end got {got[:32]!r}, written was {data!r}")


async def _open_and_exchange(bench: Bench) -> None:
    port = await bench.opened()
    if not port.name:
        bench.note("open: the port has no name")
    if bench.can("send"):
        await _exchange(bench, port, 1)
    else:
        batch = await bench.call(port.read(), FIRST_WORD_S, "read")
        bench.look_at(batch, port)


async def _unopened(bench: Bench) -> None:
    port = bench.made()
    await bench.expect(port.read(), (PortClosedError,), "read before open")
    await bench.expect(port.write(b"x", bench.address), (PortClosedError,), "write before open")
    await bench.call(port.close(), CLOSE_S, "close before open")


async def _waits_when_idle(bench: Bench) -> None:
    bench.require("send")
    port = await bench.opened()
    cpu_s, started_s = time.thread_time(), time.monotonic()
    free = await _turns()
    free_share = (time.thread_time() - cpu_s) / (
        time.monotonic() - started_s
    )  # what looking costs: on some machines much
    task = bench.start(port.read())
    cpu_s, started_s = time.thread_time(), time.monotonic()
    for _ in range(ROUNDS):
        turns = await _turns(task)
        if task.done():
            bench.result(task, "read with nothing to read")
            raise bench.fail("read returned although nothing was sent")
        if turns >= free / 4:
            break
    else:
        bench.note(
            f"{bench.step}: a waiting read holds the event loop ({turns} turns in {IDLE_S} s, {free} without it)"
        )
    if time.thread_time() - cpu_s > (time.monotonic() - started_s) * (free_share + BUSY_SHARE):
        bench.note(f"{bench.step}: a waiting read burns the processor")
    await bench.wire("send", _payload(bench, 2))
    await asyncio.wait({task}, timeout=REPLY_S)
    if not task.done():
        await bench.cancelled(task, "read")
        raise bench.fail("a waiting read did not wake when bytes came")


async def _turns(task: asyncio.Task[object] | None = None) -> int:
    """Return how often the loop turns in IDLE_S: the measure of a machine that may be busy with something else."""
    turns, until_s = 0, time.monotonic() + IDLE_S
    while time.monotonic() < until_s and not (task and task.done()):
        await asyncio.sleep(0.01)
        turns += 1
    return turns


async def _cancel(bench: Bench) -> None:
    port = await bench.opened()
    if not bench.can("send"):
        await _cancel_while_it_speaks(bench, port)
        return
    task = bench.start(port.read())
    await asyncio.sleep(0.02)
    if not await bench.cancelled(task, "read"):
        raise bench.fail("a cancelled read did not end as cancelled")
    sent, got = bytearray(), bytearray()
    for number in range(24):  # cancel ever later in the delivery: whatever the read had must come with the next
        task = bench.start(port.read())
        await asyncio.sleep(0)
        data = _payload(bench, number)
        sent += data
        sending = bench.start(bench.wire("send", data))
        for _ in range(number % 8):
            await asyncio.sleep(0 if number < 16 else 0.001)
        if not task.done():
            await bench.cancelled(task, "read")
        if task.done() and not task.cancelled():
            got += b"".join(bench.result(task, "read").payloads)
        await sending
    rest, _ = await bench.receive(port, len(sent) - len(got))
    if bytes(got) + rest != bytes(sent):
        bench.note(f"{bench.step}: {len(sent) - len(got) - len(rest)} bytes were lost or reordered by cancelled reads")


async def _cancel_while_it_speaks(bench: Bench, port: Port) -> None:
    """Hold a wire that cannot be told when to speak to this: of the reads that wait, one at least ends as cancelled."""
    waited = False
    for _ in range(CYCLES):
        task = bench.start(port.read())
        await asyncio.sleep(0)
        if task.done():
            try:
                bench.result(task, "read")
            except EOFError:
                return
            continue
        waited = True
        if await bench.cancelled(task, "read"):
            return
    if waited:
        raise bench.fail("a cancelled read did not end as cancelled")


async def _flood(bench: Bench) -> None:
    bench.require("send")
    port = await bench.opened()
    sent = b"".join(_payload(bench, number) for number in range(FLOOD_PAYLOADS))
    for number in range(FLOOD_PAYLOADS):
        await bench.wire("send", _payload(bench, number))
    got, dropped = await bench.receive(port, len(sent))
    if got != sent and not dropped:
        bench.note(f"{bench.step}: {len(got)} of {len(sent)} bytes came and no drop was counted, or the order changed")


async def _close(bench: Bench) -> None:
    port = await bench.opened()
    waiting = bench.start(port.read()) if bench.can("send") else None
    await asyncio.sleep(0.02)
    await bench.call(port.close(), CLOSE_S, "close")
    if waiting is not None:
        await asyncio.wait({waiting}, timeout=1.0)
        if not waiting.done():
            await bench.cancelled(waiting, "read")
            bench.note(f"{bench.step}: a read that waited when the port was closed still waits")
        else:
            await bench.expect(_outcome(bench, waiting), (PortClosedError,), "a read that waits while closing")
    await bench.expect(port.read(), (PortClosedError,), "read after close")
    await bench.expect(port.write(_payload(bench, 3), bench.address), (PortClosedError,), "write after close")
    await bench.call(port.close(), CLOSE_S, "a second close")


async def _outcome(bench: Bench, task: asyncio.Task[object]) -> object:
    return bench.result(task, "read")


async def _reopen(bench: Bench) -> None:
    port = await bench.opened()
    await bench.call(port.close(), CLOSE_S, "close")
    await bench.call(port.open(), OPEN_S, "a second open")
    await _exchange(bench, port, 4)
    await bench.call(port.close(), CLOSE_S, "close")
    left = 0
    for _ in range(ROUNDS):  # the rest of the process may take some as well, but not in every round
        left = await _left_behind(bench, port)
        if left <= 0:
            return
    bench.note(f"{bench.step}: {CYCLES} times open and close left {left} descriptors or threads behind")


async def _left_behind(bench: Bench, port: Port) -> int:
    before = _resources()
    for _ in range(CYCLES):
        await bench.call(port.open(), OPEN_S, "a second open")
        await bench.call(port.close(), CLOSE_S, "close")
    for _ in range(50):
        if _resources() <= before:
            return 0
        await asyncio.sleep(0.02)
    return _resources() - before


def _resources() -> int:
    """Return open descriptors and reader threads; executor threads are kept by design."""
    threads = sum(not thread.name.startswith(("asyncio", "ThreadPool")) for thread in threading.enumerate())
    return threads + (sum(1 for _ in _DESCRIPTORS.iterdir()) if _DESCRIPTORS.is_dir() else 0)


async def _unplug(bench: Bench) -> None:
    bench.require("unplug", "plug")
    port = await bench.opened()
    waiting = bench.start(port.read())
    await asyncio.sleep(0.02)
    await bench.wire("unplug")
    try:
        await asyncio.wait({waiting}, timeout=LOST_S)
        if waiting.done():
            await bench.expect(_outcome(bench, waiting), (PortLostError,), "a read that waits while unplugging")
        else:
            await bench.cancelled(waiting, "read")
            bench.note(f"{bench.step}: unplugging was not seen within half a second")
        lost = (PortLostError, PortClosedError)
        await bench.expect(port.read(), lost, "read after unplugging")
        await bench.expect(port.write(_payload(bench, 5), bench.address), lost, "write after unplugging")
        await bench.call(port.close(), CLOSE_S, "close after unplugging")
        await bench.expect(port.open(), (PortError,), "open while unplugged")
        await bench.call(port.close(), CLOSE_S, "close after a failed open")
    finally:
        await bench.wire("plug")
    await bench.call(port.open(), OPEN_S, "open after plugging in again")
    await _exchange(bench, port, 6)


async def _stall(bench: Bench) -> None:
    bench.require("stall", "resume", "receive")
    port = await bench.opened()
    await bench.wire("stall")
    try:
        await _fill(bench, port)
    finally:
        await bench.wire("resume")
    data = _payload(bench, 7)
    await bench.call(port.write(data, bench.address), REPLY_S, "write after the wire took bytes again")
    until_s, got = time.monotonic() + REPLY_S, b""
    while not got.endswith(data) and time.monotonic() < until_s:
        got += await bench.wire("receive") or b""
        await asyncio.sleep(0.005)
    if not got.endswith(data):
        bench.note(f"{bench.step}: what was written after the stall did not arrive")


async def _fill(bench: Bench, port: Port) -> None:
    data = b"z" * (65536 if port.is_stream else bench.payload_bytes)
    written, until_s = 0, time.monotonic() + STALL_LIMIT_S
    while written < STALL_BYTES and time.monotonic() < until_s:
        task = bench.start(port.write(data, bench.address))
        await asyncio.wait({task}, timeout=STALL_LIMIT_S)
        if not task.done():
            await bench.cancelled(task, "write")
            raise bench.fail(f"a write into a stalled wire did not end within {STALL_LIMIT_S:g} s")
        try:
            bench.result(task, "a write into a stalled wire")
        except PortTimeoutError:
            return
        except (PortError, EOFError) as error:
            raise bench.fail(f"a write into a stalled wire raised {type(error).__name__}: {error}") from error
        written += len(data)
    bench.note(f"{bench.step}: {written} bytes were taken for a stalled wire; nothing limits them")


CHECKS: Final[list[tuple[str, Callable[[Bench], Awaitable[None]]]]] = [
    ("open", _open_and_exchange),
    ("before open", _unopened),
    ("idle", _waits_when_idle),
    ("cancel", _cancel),
    ("flood", _flood),
    ("close", _close),
    ("reopen", _reopen),
    ("unplug", _unplug),
    ("stall", _stall),
]
