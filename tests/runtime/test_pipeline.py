from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import PortLostError
from gateway.frame import CAN_EXTENDED, Batch, Element
from gateway.framing.transport import Joiner
from gateway.route import RoutePattern
from gateway.runtime.device import Device
from gateway.runtime.pipeline import Pipeline, PortCounts
from gateway.runtime.transports import CanTransport
from gateway.runtime.watch import Watcher
from gateway.taint import DELIVERY_GARBAGE
from gateway.testing import FakeClock, ScriptedPort
from tests.runtime.kit import (
    BEACON,
    Rig,
    can_profile,
    cobs_profile,
    compiled,
    conserves,
    reading,
    rig,
    state,
    wire_bytes,
)


def can_batch(*frames: tuple[int, bytes], dropped: int = 0) -> Batch:
    return Batch([body for _, body in frames], 1, 2, [can_id for can_id, _ in frames], dropped=dropped)


def test_bytes_become_values_of_the_device() -> None:
    runtime, device = rig(cobs_profile(), [[wire_bytes([reading(5), state(7)])]])
    runtime.play_for(1)
    assert device.messages["reading"].row == (2.5, 0)
    assert device.messages["state"].row == (7, 0)
    assert device.frames() == (2, 2, 0, 0, 0)


def test_a_frame_cut_between_two_reads_is_still_found() -> None:
    stream = wire_bytes([reading(5), reading(6)])
    runtime, device = rig(cobs_profile(), [[stream[:3], stream[3:7], 0.2, stream[7:]]])
    runtime.play_for(1)
    assert device.frames() == (2, 2, 0, 0, 0)


def test_garbage_is_counted_and_marks_the_frame_behind_it() -> None:
    runtime, device = rig(cobs_profile(), [[wire_bytes([reading(1)]) + b"\x05\x01\0" + wire_bytes([reading(2)])]])
    watcher = Watcher(RoutePattern("*"), runtime.clock)
    device.watchers.append(watcher)
    runtime.play_for(1)
    bits = [row[-1] for parcel in watcher.mailbox.drain() for _, _, row in parcel.items]
    assert bits == [0, DELIVERY_GARBAGE]
    assert device.frames() == (3, 2, 0, 1, 0)
    assert runtime.keeper.counts.garbage == 1


def test_frames_that_no_message_matches_are_refused_when_the_device_is_alone() -> None:
    runtime, device = rig(cobs_profile(), [[wire_bytes([b"\x09\x01", reading(1), b"\x09"])]])
    runtime.play_for(1)
    assert device.frames() == (3, 1, 0, 2, 0)
    assert runtime.keeper.counts.unknown == 2


def test_a_frame_goes_to_every_device_that_matches_and_the_rest_is_unknown() -> None:
    clock = FakeClock()
    devices = [Device(name, can_profile(number), clock) for name, number in (("a", 1), ("b", 2), ("also-a", 1))]
    frames = can_batch((1, b"\0\1"), (2, b"\0\2"), (3, b"\0\3"), (1, b"\0\4"), (1 | CAN_EXTENDED, b"\0\5"))
    runtime = Rig(devices, [[frames]], clock)
    runtime.play_for(1)
    assert [device.frames().delivered for device in devices] == [2, 1, 2]
    assert all(device.frames().refused == 0 for device in devices)
    assert runtime.keeper.counts.unknown == 2


def test_frames_that_the_driver_lost_are_counted_as_dropped() -> None:
    runtime, device = rig(can_profile(), [[can_batch((0x123, b"\0\1"), dropped=7)]])
    runtime.play_for(1)
    assert device.frames() == (8, 1, 7, 0, 0)


def test_a_read_larger_than_the_mailbox_loses_nothing_while_the_scheduler_keeps_up() -> None:
    runtime, device = rig(cobs_profile("[queue]\ncapacity = 8"), [[wire_bytes(map(reading, range(1000)))]])
    runtime.play_for(1)
    assert device.frames() == (1000, 1000, 0, 0, 0)


def test_frames_are_conserved_at_every_instant_of_a_large_read() -> None:
    runtime, device = rig(cobs_profile("[queue]\ncapacity = 8"), [[wire_bytes(map(reading, range(500)))]])

    async def look() -> list[bool]:
        seen = []
        while device.frames().delivered < 500:
            await asyncio.sleep(0)
            seen.append(conserves(device))
        return seen

    seen = runtime.play(look)
    assert len(seen) > 10
    assert all(seen)


@pytest.mark.parametrize(
    "policy", ["drop_oldest", "drop_newest", "coalesce_latest", "deadline_drop", "reject", "block"]
)
def test_when_nobody_serves_the_overflow_policy_acts_and_every_frame_is_accounted_for(policy: str) -> None:
    runtime, device = rig(
        cobs_profile(f'[queue]\ncapacity = 8\nwhen_full = "{policy}"'), [[wire_bytes(map(reading, range(100)))]]
    )
    stuck = {"open": False}
    for mailbox in device.mailboxes.values():
        runtime.scheduler.attach(mailbox, device.serve, guard=lambda: stuck["open"])

    async def scenario() -> None:
        await asyncio.sleep(1)
        assert conserves(device)
        stuck["open"] = True
        runtime.scheduler.poke()
        await asyncio.sleep(1)

    runtime.play(scenario)
    frames = device.frames()
    assert conserves(device)
    assert frames.frames_in == 100
    assert frames.pending == 0
    if policy == "block":
        assert frames == (100, 100, 0, 0, 0)
    elif policy == "reject":
        assert (frames.delivered, frames.refused) == (8, 92)
    else:
        assert frames.dropped == 100 - frames.delivered
        assert frames.delivered == (1 if policy == "coalesce_latest" else 8)


def test_frames_in_hand_are_accounted_for_when_the_gateway_stops() -> None:
    runtime, device = rig(
        cobs_profile('[queue]\ncapacity = 8\nwhen_full = "block"'), [[wire_bytes(map(reading, range(100)))]]
    )
    for mailbox in device.mailboxes.values():
        runtime.scheduler.attach(mailbox, device.serve, guard=lambda: False)
    runtime.play_for(1)
    assert device.frames() == (100, 0, 0, 92, 8)


def test_pending_bytes_become_garbage_after_a_silence() -> None:
    runtime, device = rig(cobs_profile(), [[wire_bytes([reading(1)]) + b"\x03\x01", 5.0, wire_bytes([reading(2)])]])
    runtime.play_for(3)
    assert device.frames() == (2, 1, 0, 1, 0)
    assert runtime.keeper.counts.reasons == {"cut": 1}


def test_a_pause_shorter_than_the_silence_changes_nothing() -> None:
    stream = wire_bytes([reading(1), reading(2)])
    runtime, device = rig(cobs_profile(), [[stream[:-2], 0.9, stream[-2:], 5.0]])
    runtime.play_for(3)
    assert device.frames() == (2, 2, 0, 0, 0)


def test_frames_between_silences_are_told_apart() -> None:
    profile = compiled(
        '[profile]\nid = "t/t@1.0.0"\n[link]\nbus = "uart"\n[framing]\nkind = "gap"\nsilence = "5ms"\n'
        '[message.m]\nfields = [{ name = "x", type = "u8" }]\n'
    )
    runtime, device = rig(profile, [[b"\x01\x02", 0.05, b"\x03", 0.002, b"\x04", 0.05]], gap_s=0.005, coalesce_s=0.0)
    watcher = Watcher(RoutePattern("*"), runtime.clock)
    device.watchers.append(watcher)
    runtime.play_for(1)
    assert [row[0] for parcel in watcher.mailbox.drain() for _, _, row in parcel.items] == [1, 3]


def test_what_is_pending_when_the_port_is_lost_is_accounted_for() -> None:
    runtime, device = rig(cobs_profile(), [[wire_bytes([reading(1)]) + b"\x03\x01", PortLostError("wire", "gone")]])
    runtime.play_for(1)
    assert device.frames() == (2, 1, 0, 1, 0)


def test_after_a_little_read_the_pipeline_waits_for_more() -> None:
    chunk = wire_bytes([reading(1)])
    eager, _ = rig(cobs_profile(), [[chunk] * 50], coalesce_s=0.0)
    patient, _ = rig(cobs_profile(), [[chunk] * 50], coalesce_s=0.002)
    eager.play_for(0.05)
    patient.play_for(0.05)
    assert eager.keeper.counts.reads == 50
    assert 20 <= patient.keeper.counts.reads <= 26


def test_a_full_read_is_followed_by_the_next_at_once() -> None:
    chunk = wire_bytes(map(reading, range(600)))
    assert len(chunk) > 2048

    runtime, device = rig(cobs_profile("[queue]\ncapacity = 2000"), [[chunk, chunk]], coalesce_s=0.5)
    runtime.play_for(0.4)
    assert device.frames().delivered == 1200


def test_the_signal_strength_of_an_advertisement_is_a_value_once_however_many_elements_it_has() -> None:
    first = [
        Element("AA:BB:CC:DD:EE:FF", -60, "x", manufacturer=0x0499),
        Element("AA:BB:CC:DD:EE:FF", -60, "x", service="181a"),
    ]
    second = [Element("AA:BB:CC:DD:EE:FF", -60, "x", manufacturer=0x0499)]
    other = [Element("AA:BB:CC:DD:EE:00", -61, "y", service="ffff")]
    batch = Batch([b"\1", b"\2", b"\3", b"\4"], 1, 2, [*first, *second, *other])
    runtime, device = rig(compiled(BEACON), [[batch]])
    runtime.play_for(1)
    advertisement = device.all_messages()[-1]
    assert (advertisement.name, advertisement.family, advertisement.streams) == ("advertisement", "health", ("rssi",))
    assert advertisement.sequence == 2
    assert advertisement.row == (-60, 0)
    assert device.frames() == (4, 3, 0, 1, 0)


J1939 = """
[profile]
id = "test/engine@1.0.0"
[link]
bus = "can"
[framing]
kind = "j1939"
[message.long]
when   = { pgn = 0xfee3 }
fields = [{ name = "x", type = "u8" }, { type = "bytes", length = "rest" }]
"""


def test_a_transport_joins_segments_for_the_device_that_speaks_it() -> None:
    clock = FakeClock()
    engine = Device("engine", compiled(J1939), clock)
    plain = Device("plain", can_profile(0x123), clock)
    source = CAN_EXTENDED | 0x00
    announce = (0x1CECFF00 | source, bytes([0x20, 9, 0, 2, 0xFF, 0xE3, 0xFE, 0x00]))
    parts = [
        (0x1CEBFF00 | source, bytes([1, 42, 1, 2, 3, 4, 5, 6])),
        (0x1CEBFF00 | source, bytes([2, 7, 8, 255, 255, 255, 255, 255])),
    ]
    runtime = Rig(
        [engine, plain],
        [[can_batch(announce, (0x123, b"\0\1"), *parts)]],
        clock,
        transports=[CanTransport(Joiner()), None],
    )
    runtime.play_for(1)
    assert engine.messages["long"].row is not None
    assert engine.messages["long"].row[0] == 42
    assert plain.frames() == (1, 1, 0, 0, 0)
    assert runtime.keeper.counts.unknown == 0


@settings(max_examples=60, deadline=None)
@given(
    pieces=st.lists(
        st.one_of(
            st.integers(-100, 100).map(reading),
            st.integers(0, 255).map(state),
            st.integers(0, 255).map(lambda load: state(load, const=8)),
            st.binary(min_size=1, max_size=6),
        ),
        max_size=40,
    ),
    noise=st.binary(max_size=40),
    cuts=st.lists(st.integers(1, 30), max_size=20),
    capacity=st.integers(1, 20),
)
def test_whatever_comes_in_the_account_is_right(
    pieces: list[bytes], noise: bytes, cuts: list[int], capacity: int
) -> None:
    stream = noise + wire_bytes(pieces)
    chunks, place = [], 0
    for cut in cuts:
        chunks.append(stream[place : place + cut])
        place += cut
    chunks.append(stream[place:])
    runtime, device = rig(cobs_profile(f"[queue]\ncapacity = {capacity}"), [[chunk for chunk in chunks if chunk]])
    runtime.play_for(3)
    frames = device.frames()
    assert conserves(device)
    assert frames.pending == frames.dropped == 0
    assert frames.delivered == sum(message.sequence for message in device.all_messages())


class TickingClock(FakeClock):
    """Every look at it takes a millisecond: what works between two looks is slow."""

    def monotonic_ns(self) -> int:
        self.advance_ns(1_000_000)
        return super().monotonic_ns()


@pytest.mark.parametrize("chunks", [[bytes(4096)] * 64, [bytes(262_144)]])
def test_a_babbling_port_lets_the_rest_of_the_loop_run_every_few_milliseconds(chunks: list[bytes]) -> None:
    clock = TickingClock()
    device = Device("node", cobs_profile(), clock)
    port = ScriptedPort("wire", [[Batch(chunks, 1, 2), EOFError()]], clock=clock)
    pipeline = Pipeline(port, [device], clock, PortCounts(), framer=device.profile.framer())
    steps: list[int] = []

    async def others() -> None:
        while True:
            steps.append(1)
            await asyncio.sleep(0)

    async def scenario() -> None:
        await port.open()
        running = asyncio.get_running_loop().create_task(others())
        with pytest.raises(EOFError):
            await pipeline.run()
        running.cancel()

    asyncio.run(scenario())
    assert len(steps) >= 10
