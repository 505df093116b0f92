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


@pytest.mark.hil(needs=["power"])
def test_a_board_comes_back_from_off(dut):
    boots = dut.boots
    dut.to("off")
    assert dut.state == "off"
    dut.to("configured", timeout="30s")
    assert (dut.state, dut.boots) == ("configured", boots + 1)


def test_a_note_and_a_measurement_are_kept(recorder):
    recorder.note("all is well")
    recorder.measure("supply", 3.31, "V", minimum=3.2, maximum=3.4)
