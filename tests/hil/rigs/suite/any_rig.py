"""Tests that run unchanged on every rig: simulated, bench, kernel. Collected only by those who name this file."""

from __future__ import annotations

import pytest


@pytest.mark.hil(needs=["uart"])
def test_a_board_answers_what_it_is_asked(uart):
    uart.peer.on(b"ask", b"answer")
    uart.write(b"ask")
    assert uart.read(6, timeout="10s") == b"answer"


@pytest.mark.hil(needs=["uart"])
def test_a_board_that_ignores_the_first_request_answers_the_second(uart):
    uart.peer.on(b"ask", b"answer", ignore=1)
    uart.write(b"ask")
    assert uart.read(6, timeout="200ms") == b""
    uart.write(b"ask")
    assert uart.read(6, timeout="10s") == b"answer"


@pytest.mark.hil(needs=["uart"])
def test_what_a_board_says_unasked_is_heard_whole(uart):
    said = bytes(range(256)) * 4
    uart.peer.send(said)
    assert uart.read(len(said), timeout="10s") == said


@pytest.mark.hil(needs=["uart"])
def test_what_is_on_the_wire_arrives_when_it_is_let_settle(uart):
    uart.peer.send(b"xyz")
    uart.settle()
    assert uart.read(3, timeout=0) == b"xyz"
    uart.write(b"abc")
    assert (uart.peer.received, uart.errors, uart.is_there) == (b"abc", {}, True)


@pytest.mark.hil(needs=["uart"])
def test_a_fault_strikes_what_is_read_and_is_gone_in_the_next_test(uart, faults):
    fault = faults.add("truncate", keep=1, count=1)
    uart.peer.send(b"xyz")
    assert uart.read(3, timeout="500ms") == b"x"
    assert fault.hits == 1


@pytest.mark.hil(needs=["uart"])
def test_no_fault_is_left(uart, faults):
    assert faults.active == []
    uart.peer.send(b"xyz")
    assert uart.read(3, timeout="10s") == b"xyz"


@pytest.mark.hil(needs=["can"])
def test_frames_go_both_ways(can_bus, clock):
    can_bus.peer.send(0x181, b"\x01\x02")
    frame = can_bus.recv(timeout="10s")
    assert (frame.id, bytes(frame.data), frame.extended, frame.error) == (0x181, b"\x01\x02", False, False)
    can_bus.send(0x18FF1001, b"\x03", extended=True)
    for _ in range(100):
        if can_bus.peer.received:
            break
        clock.sleep("50ms")
    assert [(each.id, bytes(each.data), each.extended) for each in can_bus.peer.received] == [
        (0x18FF1001, b"\x03", True)
    ]


@pytest.mark.hil(needs=["can"])
def test_a_bus_without_trouble_is_active(can_bus):
    assert can_bus.state == "active"


HEAD = '{"trace":1,"started":"2026-01-01T00:00:00Z","seed":1,"buses":{"x":{"protocol":"%s"}}}\n'
LINE = '{"t_ns":%d,"bus":"x","dir":"%s","kind":"%s","data":"%s","id":"010"}\n'


def diverged(device, clock):
    for _ in range(200):
        if device.diverged is not None:
            return device.diverged
        clock.sleep("50ms")
    return None


@pytest.mark.hil(needs=["uart"])
def test_a_beat_of_a_board_is_heard(uart):
    stop = uart.peer.every("20ms", b".")
    assert uart.read(3, timeout="10s") == b"..."
    stop()
    uart.peer.send(b"!")
    while uart.read(1, timeout="10s") == b".":  # those that were on their way
        pass


@pytest.mark.hil(needs=["uart"])
def test_a_recorded_board_answers_as_it_did_until_it_is_asked_otherwise(uart, clock, tmp_path):
    told = ((0, "tx", b"ask"), (5_000_000, "rx", b"answer"), (9_000_000, "tx", b"bye"))
    lines = [LINE % (at_ns, way, "bytes", data.hex()) for at_ns, way, data in told]
    (tmp_path / "board.trace").write_text(HEAD % "uart" + "".join(lines))
    device = uart.peer.play(tmp_path / "board.trace")
    uart.write(b"ask")
    assert uart.read(6, timeout="10s") == b"answer"
    uart.write(b"bad")
    found = diverged(device, clock)
    assert (found.record, found.expected.payload, found.got.payload[:2]) == (3, b"bye", b"ba")


@pytest.mark.hil(needs=["can"])
def test_a_node_answers_by_its_state(can_bus):
    can_bus.peer.on((0x10, b"go"), (0x11, b"up"), when="idle", then="busy")
    can_bus.peer.on((0x10, b"go"), (0x11, b"no"), when="busy", delay="5ms")
    for reply in (b"up", b"no"):
        can_bus.send(0x10, b"go")
        frame = can_bus.recv(timeout="10s")
        assert (frame.id, frame.data) == (0x11, reply)


@pytest.mark.hil(needs=["can"])
def test_a_recorded_node_answers_as_it_did_until_it_is_asked_otherwise(can_bus, clock, tmp_path):
    told = ((0, "tx", b"ask"), (5_000_000, "rx", b"answer"), (9_000_000, "tx", b"bye"))
    lines = [LINE % (at_ns, way, "data", data.hex()) for at_ns, way, data in told]
    (tmp_path / "node.trace").write_text(HEAD % "can" + "".join(lines))
    device = can_bus.peer.play(tmp_path / "node.trace")
    can_bus.send(0x10, b"ask")
    assert can_bus.recv(timeout="10s").data == b"answer"
    can_bus.send(0x10, b"bad")
    found = diverged(device, clock)
    assert (found.record, found.expected.payload, found.got.payload) == (3, b"bye", b"bad")


@pytest.mark.hil(needs=["power"])
def test_a_board_comes_back_from_off(dut):
    boots = dut.boots
    dut.to("off")
    assert dut.state == "off"
    dut.to("configured", timeout="30s")
    assert (dut.state, dut.boots) == ("configured", boots + 1)


def test_a_note_and_a_measurement_are_kept(rig, recorder):
    recorder.note("all is well")
    assert "all is well" in [each.get("text") for each in rig.trace.records]
    recorder.measure("supply", 3.31, "V", minimum=3.2, maximum=3.4)
