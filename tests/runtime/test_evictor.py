"""Discovered devices between memory and ledger: when values are there, and what it costs when they are not."""

from __future__ import annotations

import errno

import pytest

from gateway.frame import Element
from gateway.ledger.base import Options
from gateway.ledger.ldg1 import Ldg1Ledger
from gateway.ledger.opening import create
from gateway.lifecycle import Event
from gateway.runtime.device import Device
from gateway.runtime.discovery import Discovery
from gateway.runtime.evictor import READ_AT_ONCE, Evictor
from gateway.runtime.parcel import Parcel
from gateway.runtime.recorder import Recorder
from gateway.runtime.shadows import Twin
from gateway.testing import FakeClock
from gateway.testing.storage import Fault, FaultyStorage, MemoryStorage
from tests.runtime.kit import BEACON, compiled

PROFILE = compiled(BEACON)
OPTIONS = Options(ring_bytes=8 << 16, segment_bytes=1 << 16, unit_bytes=512, budget_bytes_per_day=0)


class Bench:
    """A discovery with recorder and evictor; the ledger's thread is the test's hand."""

    def __init__(self) -> None:
        self.storage = MemoryStorage()
        create(self.storage, OPTIONS)
        self.faulty = FaultyStorage(self.storage)
        self.clock = FakeClock()
        self.begin()

    def begin(self) -> None:
        """Start a run over the same ledger."""
        self.clock.advance(1)
        self.recorder = Recorder(self.open, self.clock, boot={"boot": f"at {self.clock.monotonic_ns()}"})
        self.twins: dict[str, Twin] = {}
        self.found = Discovery(
            "tag", PROFILE, 50, lambda name, _address: Device(name, PROFILE, self.clock), clock=self.clock
        )
        self.found.on_appeared, self.found.on_evicted = self.came, self.left
        self.evictor = Evictor(
            self.clock, f"at {self.clock.monotonic_ns()}", lambda: [self.found], self.recorder,
            twin_of=self.twin_of, attached=self.twins.get,
        )  # fmt: skip

    def open(self) -> Ldg1Ledger:
        self.ledger = Ldg1Ledger(self.faulty, OPTIONS, self.clock, background=False)
        return self.ledger

    def start(self) -> None:
        assert self.recorder.committer.open()
        self.work()

    def work(self) -> None:
        self.recorder.committer.work()

    def twin_of(self, device: Device) -> Twin:
        return Twin(device, {}, self.clock)

    def came(self, device: Device) -> None:
        self.recorder.attach(device)
        self.twins[device.name] = self.twin_of(device)
        self.evictor.came(device)
        device.happened(Event.OPENED)

    def left(self, device: Device) -> None:
        self.evictor.left(device)
        self.recorder.detach(device)
        del self.twins[device.name]

    def hear(self, tag: int, value: int, message: str = "a") -> Device:
        element = Element(f"00:00:00:00:00:{tag:02X}")
        stamp = Parcel([], None, self.clock.monotonic_ns(), self.clock.wall_ns())
        ((device, _),) = self.found.owners([element], [message], stamp.received_ns)
        for _mailbox, parcel in device.parcels([bytes([value])], [message], stamp):
            device.in_hand -= 1
            device.serve(parcel)
        return device

    def fall_silent(self) -> None:
        self.clock.advance(301)
        while self.found.let_idle_go(self.clock.monotonic_ns(), 8):
            pass
        assert self.found.devices == []

    @staticmethod
    def said(device: Device) -> list[object]:
        return [None if message.row is None else message.row[0] for message in device.messages.values()]


@pytest.fixture
def bench() -> Bench:
    found = Bench()
    found.start()
    return found


def test_values_that_are_on_no_medium_yet_are_there_with_the_first_frame(bench: Bench) -> None:
    bench.hear(1, 7)
    bench.fall_silent()
    assert bench.said(bench.hear(1, 8, "b")) == [7, 8]


def test_values_on_the_medium_are_there_when_they_were_read_and_numbers_at_once(bench: Bench) -> None:
    bench.hear(1, 7)
    bench.fall_silent()
    bench.work()
    assert bench.found.stubs.held() == []
    device = bench.hear(1, 8, "b")
    assert (bench.said(device), device.messages["a"].sequence) == ([None, 8], 1)
    bench.work()
    assert bench.said(device) == [7, 8]


def test_a_device_whose_values_are_being_read_does_not_leave(bench: Bench) -> None:
    bench.hear(1, 7)
    bench.fall_silent()
    bench.work()
    device = bench.hear(1, 8, "b")
    bench.clock.advance(301)
    bench.found.let_idle_go(bench.clock.monotonic_ns(), 8)
    assert bench.found.devices == [device]
    bench.work()
    bench.found.let_idle_go(bench.clock.monotonic_ns(), 8)
    assert bench.found.devices == []


def test_values_of_many_are_read_a_few_at_a_time_and_all_of_them_come(bench: Bench) -> None:
    tags = range(2 * READ_AT_ONCE + 1)
    for tag in tags:
        bench.hear(tag, tag)
    bench.fall_silent()
    bench.work()
    devices = [bench.hear(tag, 0, "b") for tag in tags]
    for _ in range(3):
        bench.work()
    assert [bench.said(device)[0] for device in devices] == list(tags)


def test_a_record_that_cannot_be_read_costs_the_values_and_is_counted(bench: Bench) -> None:
    bench.hear(1, 7)
    bench.fall_silent()
    bench.work()
    stub = bench.found.stubs.named("tag-0001")
    assert stub is not None
    stub.seq += 1000
    device = bench.hear(1, 8, "b")
    bench.work()
    assert (bench.said(device), bench.evictor.unreadable) == ([None, 8], 1)
    assert bench.recorder.committer.mode == "durable"


def test_while_the_ledger_fails_a_device_comes_back_without_its_values_and_may_leave_again(bench: Bench) -> None:
    bench.hear(1, 7)
    bench.fall_silent()
    bench.work()
    bench.faulty._faults, bench.faulty._seen = [Fault(frozenset({"write"}), 1, errno.EROFS, lasts=True)], [0]
    bench.hear(2, 1)
    bench.work()
    assert bench.recorder.committer.mode == "memory"
    assert bench.said(bench.hear(1, 8, "b")) == [None, 8]
    assert bench.evictor.unreadable == 1
    bench.fall_silent()


def test_what_is_heard_before_the_ledger_opens_goes_on_with_the_numbers_that_it_knew(bench: Bench) -> None:
    bench.hear(1, 7)
    bench.hear(1, 8, "b")
    bench.fall_silent()
    bench.work()
    bench.ledger.close()
    bench.begin()
    device = bench.hear(1, 9)
    bench.start()
    bench.work()
    assert bench.said(device) == [9, 8]
    assert [message.sequence for message in device.messages.values()] == [2, 1]


def test_a_name_that_another_address_had_brings_none_of_its_values(bench: Bench) -> None:
    bench.hear(1, 7)
    bench.work()
    bench.ledger.close()
    bench.begin()
    bench.start()
    stranger = Element("11:11:11:11:00:01")
    bench.found.stubs.take("00:00:00:00:00:01")  # it was forgotten
    ((device, _),) = bench.found.owners([stranger], ["a"], bench.clock.monotonic_ns())
    assert (device.name, bench.said(device)) == ("tag-0001", [None, None])
