"""The six laws, for every kind with every option: streams of good, damaged and cut frames with noise between."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.frame import MAX_GARBAGE_BYTES, Garbage
from gateway.framing.rules import framing_problems
from gateway.framing.spec import VeDirect
from tests.framing.framing_cases import CASES, Case, joined

every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


@st.composite
def streams(draw, case: Case) -> bytes:
    parts = []
    for _ in range(draw(st.integers(0, 5))):
        wire = case.make().encode(draw(case.bodies))
        place = draw(st.integers(0, len(wire) - 1))
        match draw(st.sampled_from(["good", "good", "good", "cut", "flipped", "noise"])):
            case "good":
                parts.append(wire)
            case "cut":
                parts.append(wire[:place])
            case "flipped":
                bit = 1 << draw(st.integers(0, 7))
                parts.append(wire[:place] + bytes([wire[place] ^ bit]) + wire[place + 1 :])
            case _:
                noise = st.one_of(st.sampled_from(list(case.alphabet)), st.integers(0, 255))
                parts.append(bytes(draw(st.lists(noise, max_size=20))))
    return b"".join(parts)


def watched(case: Case, stream: bytes, cuts, gaps) -> list:
    """Feed `stream` in pieces, hold every answer to laws 1, 4 and 5, and return what came."""
    framer = case.make()
    found = []
    last = 0
    for place in sorted({*cuts, *gaps, len(stream)}):
        found += framer.feed(stream[last:place])
        assert framer.statistics().pending_bytes <= framer.max_frame_bytes
        last = place
        if place in gaps:
            found += framer.gap()
            assert framer.statistics().pending_bytes == 0
    found += framer.gap()
    garbage = [item for item in found if isinstance(item, Garbage)]
    counts = framer.statistics()
    assert counts.pending_bytes == 0
    assert counts.frame_bytes + counts.garbage_bytes + counts.empty_bytes == len(stream)
    assert min(counts.frame_bytes, counts.empty_bytes) >= 0
    assert (counts.garbage, counts.garbage_bytes) == (len(garbage), sum(len(item.raw) for item in garbage))
    assert counts.frames == len(found) - len(garbage)
    assert counts.garbage == framer.garbage_count
    assert all(0 < len(item.raw) <= MAX_GARBAGE_BYTES and item.reason for item in garbage)
    return found


@every_case
def test_the_case_is_a_legal_framing(case: Case):
    assert framing_problems(case.spec) == []


@every_case
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_where_the_stream_is_cut_does_not_matter(case: Case, data):
    stream = data.draw(streams(case))
    places = st.sets(st.integers(0, len(stream)), max_size=5)
    gaps = data.draw(places)
    whole = joined(watched(case, stream, (), gaps))
    assert joined(watched(case, stream, data.draw(places), gaps)) == whole
    assert joined(watched(case, stream, range(len(stream)), gaps)) == whole


@every_case
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_every_legal_body_comes_back(case: Case, data):
    body = data.draw(case.bodies)
    framer = case.make()
    wire = framer.encode(body)
    assert (framer.feed(wire) or framer.gap()) == [body]
    assert framer.statistics().garbage == 0


@every_case
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_garbage_is_a_piece_of_the_stream_and_in_order(case: Case, data):
    stream = data.draw(streams(case))
    if isinstance(case.spec, VeDirect):
        stream = stream.replace(b":", b";")  # HEX frames are cut out of garbage too
    place = 0
    for item in watched(case, stream, (), ()):
        if isinstance(item, Garbage):
            assert item.raw in stream[place:]
            place = stream.index(item.raw, place) + len(item.raw)


@every_case
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_after_noise_and_a_gap_a_good_frame_is_found(case: Case, data):
    noise = bytes(data.draw(st.lists(st.sampled_from(list(case.alphabet)), max_size=40)))
    body = data.draw(case.bodies)
    framer = case.make()
    framer.feed(noise)
    framer.gap()
    assert (framer.feed(framer.encode(body)) + framer.gap())[-1:] == [body]


in_step_by_itself = pytest.mark.parametrize(
    "case",
    [case for name, case in CASES.items() if not name.startswith("gap") and name != "fixed-bare"],
    ids=[name for name in CASES if not name.startswith("gap") and name != "fixed-bare"],
)


def is_hidden_by_chance(framer, body: bytes, found: list, stream: bytes) -> bool:
    """Return whether bytes that lie across the good frame are frames as good: one byte of check agrees by chance."""
    others = [other for other in found if isinstance(other, bytes)]
    return bool(others) and all(other != body and framer.encode(other) in stream for other in others)


@in_step_by_itself
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_good_frames_behind_a_false_start_are_found(case: Case, data):
    body = data.draw(case.bodies)
    framer = case.make()
    wire = framer.encode(body)
    false_start = wire[: data.draw(st.integers(0, len(wire) - 1))]
    stream = false_start + wire + wire
    found = framer.feed(stream) + framer.gap()
    assert body in found or is_hidden_by_chance(framer, body, found, stream)


@in_step_by_itself
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_after_noise_a_good_frame_comes_within_one_longest_frame(case: Case, data):
    noise = bytes(data.draw(st.lists(st.sampled_from(list(case.alphabet)), max_size=40)))
    body = data.draw(case.bodies)
    framer = case.make()
    wire = framer.encode(body)
    framer.feed(noise)
    stream = wire * (2 + framer.max_frame_bytes // len(wire))
    found = framer.feed(stream)
    assert body in found or is_hidden_by_chance(framer, body, found, noise + stream)


@every_case
def test_a_babbling_port_leaves_memory_flat_and_everything_counted(case: Case):
    for byte in (b"\x00", b"\xff", case.alphabet[:1], b"A", b":", b"\n"):
        framer = case.make()
        given_bytes = 0
        for _ in range(4):
            found = framer.feed(byte * 50_000)
            given_bytes += sum(len(item.raw) for item in found if isinstance(item, Garbage))
            assert framer.statistics().pending_bytes <= framer.max_frame_bytes
        assert framer.statistics().garbage_bytes == given_bytes
