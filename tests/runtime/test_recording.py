"""What stands behind each message: which frames become readings, as which bytes."""

from __future__ import annotations

from typing import Any

from gateway.ledger.reading import Reading, decode_reading
from gateway.runtime.device import Device
from gateway.runtime.parcel import Parcel
from gateway.runtime.record_rule import merged, rule_of
from gateway.runtime.recording import Recording
from gateway.taint import DELIVERY_DROPPED, DELIVERY_GARBAGE, ORDER_REPLAYED
from gateway.testing import FakeClock
from tests.runtime.kit import cobs_profile, reading, state

SECOND = 1_000_000_000
WALL = 1_767_225_600 * SECOND


class Bench:
    """One device whose readings end up in a list."""

    def __init__(self, record: str = "") -> None:
        profile = cobs_profile(record and f"[record]\n{record}\n")
        self.device = Device("node", profile, FakeClock())
        self.kept: list[tuple[str, Reading]] = []
        self.accepts = True
        for name, message in self.device.messages.items():
            rule = rule_of(merged(None, profile.profile.record), message.plan)
            assert rule is not None
            message.recording = Recording(message, name, rule, profile=profile.profile, adjust={}, offer=self.offer)

    def offer(self, recording: Recording, bodies: list[bytes]) -> bool:
        if self.accepts:
            self.kept += [(recording.route, decode_reading(body)) for body in bodies]
        return self.accepts

    def hear(self, at_s: float, *items: bytes, taints: int = 0, stamps: list[int] | None = None) -> None:
        names = ["reading" if item[0] == 1 else "state" for item in items]
        stamp = Parcel([], None, int(at_s * SECOND), WALL + int(at_s * SECOND), stamps, taints=taints)
        for mailbox, parcel in self.device.parcels(list(items), names, stamp):
            self.device.in_hand -= len(parcel.items)
            mailbox.put_nowait(parcel)
            while (taken := mailbox.take_nowait()) is not None:
                self.device.serve(taken)

    def late(self, at_s: float) -> None:
        for message in self.device.messages.values():
            assert isinstance(message.recording, Recording)
            message.recording.late(int(at_s * SECOND))

    def told(self, attribute: str) -> list[Any]:
        return [getattr(each, attribute) for _, each in self.kept]


def test_a_reading_has_payload_number_and_time_of_its_frame() -> None:
    bench = Bench('at_most = "0s"')
    bench.hear(1, reading(1), reading(2))
    bench.hear(2, reading(3))
    assert bench.told("payload") == [reading(1), reading(2), reading(3)]
    assert bench.told("sequence") == [1, 2, 3]
    assert bench.told("wall_ns") == [WALL + SECOND, WALL + SECOND, WALL + 2 * SECOND]


def test_frames_with_their_own_times_keep_them() -> None:
    bench = Bench('at_most = "0s"')
    bench.hear(1, reading(1), state(2), reading(3), stamps=[7, 8, 9])
    assert [(route, each.wall_ns, each.sequence) for route, each in bench.kept] == [
        ("reading", 7, 1),
        ("reading", 9, 2),
        ("state", 8, 1),
    ]


def test_messages_that_come_mixed_are_judged_each_by_itself() -> None:
    bench = Bench()
    bench.hear(1, reading(1), state(1), reading(2), state(1))
    bench.hear(1.5, state(1), reading(3))
    bench.hear(3, reading(3), state(1), reading(4))
    assert [(route, each.payload, each.sequence) for route, each in bench.kept] == [
        ("reading", reading(1), 1),
        ("state", state(1), 1),
        ("reading", reading(3), 4),
    ]


def test_what_came_too_soon_is_kept_as_soon_as_it_may_with_its_own_time_and_number() -> None:
    bench = Bench()
    bench.hear(1, reading(1))
    bench.hear(1.2, reading(2), reading(3))
    bench.late(1.9)
    assert bench.told("payload") == [reading(1)]
    bench.late(2)
    bench.late(3)
    assert bench.told("payload") == [reading(1), reading(3)]
    assert (bench.kept[1][1].sequence, bench.kept[1][1].wall_ns) == (3, WALL + int(1.2 * SECOND))


def test_what_came_too_soon_within_the_batch_of_what_was_kept_is_not_forgotten_either() -> None:
    bench = Bench()
    bench.hear(1, reading(1), reading(2))
    bench.late(2)
    assert bench.told("payload") == [reading(1), reading(2)]


def test_what_moved_and_went_back_too_soon_is_not_kept() -> None:
    bench = Bench()
    bench.hear(1, reading(1))
    bench.hear(1.2, reading(2))
    bench.hear(1.4, reading(1))
    bench.late(2)
    assert bench.told("payload") == [reading(1)]


def test_taints_of_frames_that_were_not_kept_are_on_the_next_that_is() -> None:
    bench = Bench()
    bench.hear(1, reading(1))
    bench.device.owe("reading", DELIVERY_DROPPED)
    bench.hear(1.5, reading(1))
    bench.hear(3, reading(2))
    bench.hear(5, reading(3))
    assert bench.told("taints") == [0, DELIVERY_DROPPED, 0]


def test_a_frame_that_was_refused_taints_the_next_reading() -> None:
    bench = Bench()
    bench.hear(1, state(1))
    bench.hear(1.5, state(2, const=8), state(2))
    bench.hear(3, state(3))
    assert bench.told("taints") == [0, DELIVERY_GARBAGE]


def test_taints_of_single_frames_and_of_whole_batches_are_kept() -> None:
    bench = Bench('at_most = "0s"')
    bench.hear(1, state(1), state(101), taints=ORDER_REPLAYED)
    assert bench.told("taints") == [ORDER_REPLAYED, ORDER_REPLAYED | 1]  # 101 %: trust.range


def test_what_was_not_taken_is_tried_again_with_the_next_frame_that_is_due() -> None:
    bench = Bench()
    bench.accepts = False
    bench.hear(1, reading(1))
    bench.accepts = True
    bench.hear(1.5, reading(1))
    bench.hear(2, reading(1))
    assert bench.told("sequence") == [3]


def test_what_waited_in_the_ledger_is_not_kept_twice_and_counts_as_kept() -> None:
    bench = Bench()
    message = bench.device.messages["reading"]
    parcel = Parcel([reading(5)], ["reading"], SECOND, WALL, is_stored=True)
    assert message.recording is not None
    message.recording.take([(2.5, 0)], parcel, None)
    bench.hear(5, reading(5))
    assert bench.kept == []
