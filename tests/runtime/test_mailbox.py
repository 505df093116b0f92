from __future__ import annotations

import asyncio

import pytest

from gateway.errors import MailboxClosedError, MailboxFullError, UsageError
from gateway.runtime.mailbox import Mailbox
from gateway.runtime.shelves import ORDERS
from gateway.taint import DELIVERY_DROPPED, SCHEDULING_LATE
from gateway.testing import FakeClock, run_on_fake_clock
from tests.runtime.kit import parcel

SECOND = 1_000_000_000


def everything(mailbox: Mailbox) -> list[object]:
    return [item for taken in mailbox.drain() for item in taken.items]


def conserves(mailbox: Mailbox) -> bool:
    now = mailbox.statistics()
    return now.frames_in == now.delivered + now.dropped + now.refused + now.pending


# ---- overflow


def test_full_mailbox_drops_the_oldest_and_counts_it() -> None:
    mailbox = Mailbox("m", 3)
    mailbox.put_nowait(parcel(1, 2))
    mailbox.put_nowait(parcel(3, 4))
    assert mailbox.statistics().dropped == 1
    assert everything(mailbox) == [2, 3, 4]


def test_a_parcel_larger_than_the_mailbox_leaves_its_newest_frames() -> None:
    mailbox = Mailbox("m", 3)
    mailbox.put_nowait(parcel(1))
    mailbox.put_nowait(parcel(2, 3, 4, 5, 6))
    assert mailbox.statistics().dropped == 3
    assert everything(mailbox) == [4, 5, 6]


def test_drop_newest_keeps_what_lies_there_and_splits_the_parcel_at_the_frame() -> None:
    mailbox = Mailbox("m", 3, when_full="drop_newest")
    mailbox.put_nowait(parcel(1, 2))
    mailbox.put_nowait(parcel(3, 4, 5))
    assert mailbox.statistics().dropped == 2
    assert everything(mailbox) == [1, 2, 3]


def test_coalescing_keeps_the_latest_of_each_key_and_counts_the_others_as_dropped() -> None:
    mailbox = Mailbox("m", 4, when_full="coalesce_latest")
    mailbox.put_nowait(parcel("a1", "b1", "a2", keys="aba"))
    mailbox.put_nowait(parcel("a3", "c1", keys="ac"))
    assert mailbox.statistics().dropped == 2
    assert everything(mailbox) == ["b1", "a3", "c1"]


def test_coalescing_with_more_keys_than_room_drops_the_oldest_key() -> None:
    mailbox = Mailbox("m", 2, when_full="coalesce_latest")
    mailbox.put_nowait(parcel("a", "b", "c", keys="abc"))
    assert everything(mailbox) == ["b", "c"]


def test_deadline_drop_removes_what_is_too_old_before_anything_else() -> None:
    clock = FakeClock()
    mailbox = Mailbox("m", 4, when_full="deadline_drop", deadline_ns=SECOND, clock=clock)
    mailbox.put_nowait(parcel(1, 2, 3, at=clock.monotonic_ns()))
    clock.advance(2)
    mailbox.put_nowait(parcel(4, 5, at=clock.monotonic_ns()))
    assert mailbox.statistics().dropped == 3
    assert everything(mailbox) == [4, 5]


def test_deadline_drop_without_anything_too_old_drops_the_oldest() -> None:
    mailbox = Mailbox("m", 2, when_full="deadline_drop", deadline_ns=SECOND, clock=FakeClock())
    mailbox.put_nowait(parcel(1, 2))
    mailbox.put_nowait(parcel(3))
    assert everything(mailbox) == [2, 3]


def test_a_frame_served_after_its_deadline_says_so() -> None:
    clock = FakeClock()
    mailbox = Mailbox("m", 4, deadline_ns=SECOND, clock=clock)
    mailbox.put_nowait(parcel(1, at=clock.monotonic_ns()))
    clock.advance(1.5)
    mailbox.put_nowait(parcel(2, at=clock.monotonic_ns()))
    assert [taken.taints for taken in mailbox.drain()] == [SCHEDULING_LATE, 0]


def test_reject_refuses_the_whole_parcel_with_an_error_and_counts_it() -> None:
    mailbox = Mailbox("m", 2, when_full="reject")
    mailbox.put_nowait(parcel(1))
    with pytest.raises(MailboxFullError):
        mailbox.put_nowait(parcel(2, 3))
    assert mailbox.statistics().refused == 2
    assert everything(mailbox) == [1]


def test_block_never_loses_a_frame_silently_when_the_producer_cannot_wait() -> None:
    mailbox = Mailbox("m", 1, when_full="block")
    mailbox.put_nowait(parcel(1))
    with pytest.raises(MailboxFullError):
        mailbox.put_nowait(parcel(2))
    assert conserves(mailbox)
    assert mailbox.statistics().refused == 1


@pytest.mark.parametrize("wrong", [{"capacity": 0}, {"when_full": "spill"}, {"order": "any"}, {"lane": "fast"}])
def test_a_mailbox_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Mailbox(**{"name": "m", "capacity": 1, **wrong})


def test_deadline_drop_needs_a_deadline() -> None:
    with pytest.raises(UsageError, match="deadline"):
        Mailbox("m", 1, when_full="deadline_drop")


# ---- what was dropped taints what follows


def test_the_next_frame_of_the_same_key_is_marked_after_a_drop() -> None:
    mailbox = Mailbox("m", 2)
    mailbox.put_nowait(parcel("a1", "b1", "b2", keys="abb"))
    first = mailbox.take_nowait()
    assert first is not None
    assert first.marks is None
    mailbox.put_nowait(parcel("a2", "a3", keys="aa"))
    second = mailbox.take_nowait()
    assert second is not None
    assert second.marks == {"a": DELIVERY_DROPPED}


def test_dropping_at_the_back_marks_what_comes_later_and_not_what_lies_before_the_gap() -> None:
    mailbox = Mailbox("m", 1, when_full="drop_newest")
    mailbox.put_nowait(parcel("a1", keys="a"))
    mailbox.put_nowait(parcel("a2", keys="a"))
    assert [taken.marks for taken in mailbox.drain()] == [None]
    mailbox.put_nowait(parcel("a3", keys="a"))
    assert [taken.marks for taken in mailbox.drain()] == [{"a": DELIVERY_DROPPED}]


def test_a_mark_that_is_dropped_itself_passes_to_the_next_frame() -> None:
    mailbox = Mailbox("m", 1)
    mailbox.put_nowait(parcel("a1", keys="a").marked({"a": 1 << 10}))
    mailbox.put_nowait(parcel("a2", keys="a"))
    assert [taken.marks for taken in mailbox.drain()] == [{"a": DELIVERY_DROPPED | 1 << 10}]


# ---- order


def test_priority_serves_the_highest_first_and_keeps_order_within() -> None:
    mailbox = Mailbox("m", 9, order="priority")
    for item, priority in [(1, 0), (2, 5), (3, 0), (4, 5)]:
        mailbox.put_nowait(parcel(item, priority=priority))
    assert everything(mailbox) == [2, 4, 1, 3]


def test_keyed_serves_keys_in_turn_and_keeps_order_within_a_key() -> None:
    mailbox = Mailbox("m", 9, order="keyed")
    mailbox.put_nowait(parcel("a1", "a2", "b1", keys="aab"))
    mailbox.put_nowait(parcel("a3", "b2", keys="ab"))
    assert everything(mailbox) == ["a1", "a2", "b1", "a3", "b2"]


def test_latest_serves_the_newest_parcel_first() -> None:
    mailbox = Mailbox("m", 9, order="latest")
    mailbox.put_nowait(parcel(1, 2))
    mailbox.put_nowait(parcel(3, 4))
    assert everything(mailbox) == [3, 4, 1, 2]


def test_round_robin_serves_producers_in_turn() -> None:
    mailbox = Mailbox("m", 9, order="round_robin")
    for item, producer in [(1, "x"), (2, "x"), (3, "x"), (4, "y")]:
        mailbox.put_nowait(parcel(item, producer=producer))
    assert everything(mailbox) == [1, 4, 2, 3]


@pytest.mark.parametrize("order", ORDERS)
def test_the_oldest_frame_is_dropped_whatever_the_order_of_service(order: str) -> None:
    mailbox = Mailbox("m", 3, order=order)
    for item in range(5):
        mailbox.put_nowait(parcel(item, keys=str(item % 2), producer=str(item % 2), priority=item % 2))
    assert sorted(everything(mailbox)) == [2, 3, 4]


def test_at_most_splits_a_parcel_and_leaves_the_rest_in_front() -> None:
    mailbox = Mailbox("m", 9)
    mailbox.put_nowait(parcel(1, 2, 3))
    first = mailbox.take_nowait(at_most=2)
    assert first is not None
    assert first.items == [1, 2]
    assert everything(mailbox) == [3]


def test_a_pattern_takes_what_matches_and_leaves_the_rest_in_its_place() -> None:
    mailbox = Mailbox("m", 9)
    mailbox.put_nowait(parcel("a1", "b1", "a2", keys="aba"))
    mailbox.put_nowait(parcel("b2", keys="b"))
    chosen = mailbox.take_nowait("b*", at_most=1)
    assert chosen is not None
    assert chosen.items == ["b1"]
    assert everything(mailbox) == ["a1", "a2", "b2"]
    assert mailbox.take_nowait("b*") is None


# ---- waiting and cancelling


def test_take_waits_for_a_frame() -> None:
    async def scenario() -> list[object]:
        mailbox = Mailbox("m", 3)
        async with asyncio.TaskGroup() as group:
            taking = group.create_task(mailbox.take())
            await asyncio.sleep(1)
            mailbox.put_nowait(parcel(1))
        return taking.result().items

    assert run_on_fake_clock(scenario()) == [1]


def test_take_gives_up_after_its_timeout_and_takes_nothing_along() -> None:
    async def scenario() -> list[object]:
        mailbox = Mailbox("m", 3)
        with pytest.raises(TimeoutError):
            await mailbox.take(timeout=2)
        mailbox.put_nowait(parcel(1))
        return (await mailbox.take()).items

    assert run_on_fake_clock(scenario()) == [1]


def test_a_taker_cancelled_in_the_moment_of_arrival_leaves_the_frame_for_the_next() -> None:
    async def scenario() -> tuple[list[object], bool]:
        mailbox = Mailbox("m", 3)
        first = asyncio.get_running_loop().create_task(mailbox.take())
        await asyncio.sleep(0)
        mailbox.put_nowait(parcel(1))  # wakes the taker, which has not run yet
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        return (await mailbox.take(timeout=1)).items, conserves(mailbox)

    assert run_on_fake_clock(scenario()) == ([1], True)


def test_two_takers_with_patterns_each_get_their_own() -> None:
    async def scenario() -> tuple[list[object], list[object]]:
        mailbox = Mailbox("m", 3)
        async with asyncio.TaskGroup() as group:
            a, b = group.create_task(mailbox.take("a")), group.create_task(mailbox.take("b"))
            await asyncio.sleep(0)
            mailbox.put_nowait(parcel("b1", keys="b"))
            await asyncio.sleep(0)
            mailbox.put_nowait(parcel("a1", keys="a"))
        return a.result().items, b.result().items

    assert run_on_fake_clock(scenario()) == (["a1"], ["b1"])


def test_a_blocked_producer_continues_when_there_is_room() -> None:
    async def scenario() -> list[object]:
        mailbox = Mailbox("m", 2, when_full="block")
        taken: list[object] = []
        async with asyncio.TaskGroup() as group:
            group.create_task(mailbox.put(parcel(1, 2, 3, 4, 5)))
            while len(taken) < 5:
                taken += (await mailbox.take(at_most=1)).items
                assert len(mailbox) <= 2
                assert conserves(mailbox)
        return taken

    assert run_on_fake_clock(scenario()) == [1, 2, 3, 4, 5]


def test_blocked_producers_go_in_by_order_of_arrival() -> None:
    async def scenario() -> list[object]:
        mailbox = Mailbox("m", 1, when_full="block")
        taken: list[object] = []
        async with asyncio.TaskGroup() as group:
            for item in range(4):
                group.create_task(mailbox.put(parcel(item)))
            for _ in range(4):
                taken += (await mailbox.take()).items
        return taken

    assert run_on_fake_clock(scenario()) == [0, 1, 2, 3]


def test_a_cancelled_producer_leaves_what_was_in_and_refuses_the_rest() -> None:
    async def scenario() -> tuple[list[object], int, bool]:
        mailbox = Mailbox("m", 2, when_full="block")
        putting = asyncio.get_running_loop().create_task(mailbox.put(parcel(1, 2, 3, 4, 5)))
        await asyncio.sleep(0)
        putting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await putting
        return everything(mailbox), mailbox.statistics().refused, conserves(mailbox)

    assert run_on_fake_clock(scenario()) == ([1, 2], 3, True)


def test_a_producer_cancelled_in_the_moment_of_admission_does_not_put_twice() -> None:
    async def scenario() -> tuple[list[object], int]:
        mailbox = Mailbox("m", 1, when_full="block")
        mailbox.put_nowait(parcel(1))
        putting = asyncio.get_running_loop().create_task(mailbox.put(parcel(2)))
        await asyncio.sleep(0)
        taken = everything(mailbox)  # admits 2; the producer has not run yet
        putting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await putting
        return taken + everything(mailbox), mailbox.statistics().refused

    assert run_on_fake_clock(scenario()) == ([1, 2], 0)


def test_a_closed_mailbox_gives_what_it_has_and_refuses_the_rest() -> None:
    async def scenario() -> None:
        mailbox = Mailbox("m", 1, when_full="block")
        mailbox.put_nowait(parcel(1))
        putting = asyncio.get_running_loop().create_task(mailbox.put(parcel(2)))
        await asyncio.sleep(0)
        mailbox.close()
        with pytest.raises(MailboxClosedError):
            await putting
        with pytest.raises(MailboxClosedError):
            mailbox.put_nowait(parcel(3))
        assert (await mailbox.take()).items == [1]
        with pytest.raises(MailboxClosedError):
            await mailbox.take()
        assert mailbox.statistics().refused == 2
        assert conserves(mailbox)

    run_on_fake_clock(scenario())


def test_a_waiting_taker_learns_that_the_mailbox_was_closed() -> None:
    async def scenario() -> None:
        mailbox = Mailbox("m", 1)
        taking = asyncio.get_running_loop().create_task(mailbox.take())
        await asyncio.sleep(0)
        mailbox.close()
        with pytest.raises(MailboxClosedError):
            await taking

    run_on_fake_clock(scenario())


def test_arrival_is_told_once_for_many_puts() -> None:
    told: list[int] = []
    mailbox = Mailbox("m", 9, on_arrival=lambda: told.append(1))
    for item in range(4):
        mailbox.put_nowait(parcel(item))
    mailbox.drain()
    mailbox.put_nowait(parcel(5))
    assert len(told) == 2
