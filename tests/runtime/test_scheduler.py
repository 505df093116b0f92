from __future__ import annotations

import asyncio

from gateway.runtime.mailbox import Lane, Mailbox
from gateway.runtime.parcel import Parcel
from gateway.runtime.scheduler import Scheduler
from gateway.testing import FakeClock, run_on_fake_clock

MS = 1_000_000


class Worker:
    """A receiver whose work takes fake time."""

    def __init__(self, clock: FakeClock, cost_ns: int, lane: Lane = "telemetry", capacity: int = 10_000) -> None:
        self.clock = clock
        self.cost_ns = cost_ns
        self.mailbox = Mailbox("m", capacity, lane=lane, clock=clock)
        self.served: list[tuple[int, object]] = []

    def __call__(self, parcel: Parcel) -> None:
        self.clock.advance_ns(self.cost_ns * len(parcel))
        self.served += [(self.clock.monotonic_ns(), item) for item in parcel.items]


def test_a_turn_ends_after_two_milliseconds_and_never_takes_ten() -> None:
    clock = FakeClock()
    scheduler = Scheduler(clock)
    worker = Worker(clock, 90_000)  # a slow decode
    scheduler.attach(worker.mailbox, worker)
    worker.mailbox.put_nowait(Parcel(list(range(2000))))
    while scheduler.turn():
        pass
    assert [item for _, item in worker.served] == list(range(2000))
    assert scheduler.statistics().longest_turn_ns < 10 * MS


def test_what_is_served_first_is_cautious_until_its_cost_is_known() -> None:
    clock = FakeClock()
    scheduler = Scheduler(clock)
    worker = Worker(clock, 100_000)
    scheduler.attach(worker.mailbox, worker)
    worker.mailbox.put_nowait(Parcel(list(range(1000))))
    scheduler.turn()
    assert scheduler.statistics().longest_turn_ns <= 10 * MS


def test_a_control_frame_waits_for_one_turn_at_most_however_much_telemetry_is_queued() -> None:
    clock = FakeClock()
    scheduler = Scheduler(clock)
    telemetry, control = Worker(clock, 1000), Worker(clock, 1000, "control")
    scheduler.attach(telemetry.mailbox, telemetry)
    scheduler.attach(control.mailbox, control)
    telemetry.mailbox.put_nowait(Parcel(list(range(10_000))))
    delays = []
    for number in range(4):
        asked_ns = clock.monotonic_ns()
        control.mailbox.put_nowait(Parcel([number]))
        scheduler.turn()
        delays.append(control.served[-1][0] - asked_ns)
    assert max(delays) <= 2 * MS


def test_an_idle_scheduler_serves_within_the_put() -> None:
    async def scenario() -> int:
        clock = FakeClock()
        scheduler = Scheduler(clock)
        worker = Worker(clock, 10)
        scheduler.attach(worker.mailbox, worker)
        running = asyncio.get_running_loop().create_task(scheduler.run())
        await asyncio.sleep(0)
        for number in range(100):
            worker.mailbox.put_nowait(Parcel([number]))
        running.cancel()
        return len(worker.served)

    assert run_on_fake_clock(scenario()) == 100


def test_what_a_turn_within_a_put_leaves_is_served_by_the_scheduler_itself() -> None:
    async def scenario() -> tuple[int, int]:
        clock = FakeClock()
        scheduler = Scheduler(clock)
        worker = Worker(clock, 1 * MS)
        scheduler.attach(worker.mailbox, worker)
        running = asyncio.get_running_loop().create_task(scheduler.run())
        await asyncio.sleep(0)
        worker.mailbox.put_nowait(Parcel(list(range(200))))
        within = len(worker.served)
        for _ in range(300):
            await asyncio.sleep(0)
        running.cancel()
        return within, len(worker.served)

    within, in_all = run_on_fake_clock(scenario())
    assert (0 < within < 200, in_all) == (True, 200)


def test_a_blocked_producer_is_served_in_order_however_much_it_brought() -> None:
    async def scenario() -> list[object]:
        clock = FakeClock()
        scheduler = Scheduler(clock)
        worker = Worker(clock, 10)
        worker.mailbox = Mailbox("m", 1, when_full="block", clock=clock)
        scheduler.attach(worker.mailbox, worker)
        running = asyncio.get_running_loop().create_task(scheduler.run())
        await asyncio.sleep(0)
        await worker.mailbox.put(Parcel(list(range(5000))))
        await asyncio.sleep(1)
        running.cancel()
        return [item for _, item in worker.served]

    assert run_on_fake_clock(scenario()) == list(range(5000))


def test_a_guarded_mailbox_is_served_after_its_guard_opened() -> None:
    async def scenario() -> list[object]:
        clock = FakeClock()
        scheduler = Scheduler(clock)
        worker = Worker(clock, 10)
        gate = {"open": False}
        scheduler.attach(worker.mailbox, worker, guard=lambda: gate["open"])
        running = asyncio.get_running_loop().create_task(scheduler.run())
        worker.mailbox.put_nowait(Parcel([1]))
        await asyncio.sleep(1)
        before = len(worker.served)
        gate["open"] = True
        scheduler.poke()
        await asyncio.sleep(1)
        running.cancel()
        return [before, len(worker.served)]

    assert run_on_fake_clock(scenario()) == [0, 1]


def test_what_already_lies_in_a_mailbox_is_served_when_it_is_attached() -> None:
    clock = FakeClock()
    scheduler = Scheduler(clock)
    worker = Worker(clock, 10)
    worker.mailbox.put_nowait(Parcel([1]))
    scheduler.attach(worker.mailbox, worker)
    scheduler.turn()
    assert len(worker.served) == 1


def test_a_detached_mailbox_keeps_its_frames() -> None:
    clock = FakeClock()
    scheduler = Scheduler(clock)
    worker = Worker(clock, 10)
    stop = scheduler.attach(worker.mailbox, worker)
    worker.mailbox.put_nowait(Parcel([1]))
    scheduler.detach(stop)
    assert scheduler.turn() is False
    assert len(worker.mailbox) == 1


def test_one_bus_has_one_lock() -> None:
    async def scenario() -> list[str]:
        scheduler = Scheduler(FakeClock())
        order: list[str] = []

        async def write(name: str) -> None:
            async with scheduler.bus("can0"):
                order.append(f"{name} begins")
                await asyncio.sleep(1)
                order.append(f"{name} ends")

        async with asyncio.TaskGroup() as group:
            group.create_task(write("a"))
            group.create_task(write("b"))
        return order

    assert run_on_fake_clock(scenario()) == ["a begins", "a ends", "b begins", "b ends"]
