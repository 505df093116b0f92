"""What a Modbus request asks, and which frames answer it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.framing.modbus import ModbusRtuFramer
from gateway.framing.modbus_pdu import (
    Question,
    answer_in,
    coil_bytes,
    question_in,
    question_to_switch,
    request_of,
    sealed,
    write_of,
)

VOLTAGE = Question(1, 4, 0, 2)
ANSWER = bytes.fromhex("010404436633341b38")  # SDM120-Modbus Protocol Implementation V2.4, section 1.1


@st.composite
def questions(draw: st.DrawFn) -> Question:
    function = draw(st.integers(1, 4))
    start = draw(st.integers(0, 0xFFFF))
    most = min(2000 if function < 3 else 125, 0x10000 - start)
    return Question(draw(st.integers(0, 255)), function, start, draw(st.integers(1, most)))


def test_a_request_is_written_as_the_meter_s_manual_shows_it():
    assert bytes.fromhex("01040000000271cb") == request_of(VOLTAGE)


@given(questions())
def test_a_request_says_what_was_asked(question):
    assert question == question_in(request_of(question))


@given(questions(), st.data())
def test_an_answer_gives_its_bytes_back(question, data):
    body = data.draw(st.binary(min_size=question.answer_bytes, max_size=question.answer_bytes))
    frame = sealed(bytes([question.unit, question.function, len(body)]) + body)
    assert (body, question.frame_bytes) == (answer_in(frame, question), len(frame))


def test_the_answer_of_the_manual_is_read():
    assert bytes.fromhex("43663334") == answer_in(ANSWER, VOLTAGE)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"", "no answer"),
        (ANSWER[:4], "cut"),
        (ANSWER[:-1], "check"),
        (ANSWER[:-1] + b"\x39", "check"),
        (sealed(b"\x02" + ANSWER[1:-2]), "unit"),
        (sealed(b"\x01\x03" + ANSWER[2:-2]), "function"),
        (sealed(b"\x01\x83\x02"), "function"),
        (sealed(b"\x01\x84\x02"), "exception 2 (illegal data address)"),
        (sealed(b"\x01\x84\x77"), "exception 119 (unknown)"),
        (sealed(b"\x01\x84\x02\x00"), "length"),
        (sealed(b"\x01\x04\x02\x43\x66"), "length"),
        (sealed(b"\x01\x04\x04\x43\x66"), "length"),
        (sealed(b"\x01\x04\x06\x43\x66\x33\x34\x00\x00"), "length"),
    ],
)
def test_a_frame_that_does_not_answer_says_why(frame, reason):
    assert reason == answer_in(frame, VOLTAGE)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ("0104", "request cut"),
        ("01040000000271cc", "request check"),
        (sealed(bytes.fromhex("011000000002")).hex(), "request function"),
        (sealed(bytes.fromhex("01040000000200")).hex(), "request length"),
        (sealed(bytes.fromhex("010400000000")).hex(), "request count"),
        (sealed(bytes.fromhex("01040000007e")).hex(), "request count"),
        (sealed(bytes.fromhex("0104ffff0002")).hex(), "request count"),
    ],
)
def test_a_frame_that_is_no_read_request_says_why(frame, reason):
    assert reason == question_in(bytes.fromhex(frame))


@given(st.binary(max_size=300), questions())
def test_any_bytes_are_judged_without_an_exception(data, question):
    assert isinstance(answer_in(data, question), bytes | str)
    assert isinstance(question_in(data), Question | str)


@given(questions(), st.integers(0, 7 * 8 + 7))
def test_a_request_with_one_flipped_bit_is_refused(question, bit):
    frame = bytearray(request_of(question))
    frame[bit // 8] ^= 1 << bit % 8
    assert question_in(bytes(frame)) == "request check"


@given(questions(), st.data())
def test_the_framer_finds_what_the_reader_of_answers_accepts(question, data):
    body = data.draw(st.binary(min_size=question.answer_bytes, max_size=question.answer_bytes))
    frame = sealed(bytes([question.unit, question.function, len(body)]) + body)
    if len(frame) <= 256:
        framer = ModbusRtuFramer()
        found = framer.feed(frame) + framer.gap()
        assert body == answer_in(b"".join(sealed(piece) for piece in found if isinstance(piece, bytes)), question)


# From the specification: 6.5 (function 5), 6.11 (function 15), 6.6 and 6.12 with the same numbers as its examples.


def test_one_coil_is_switched_by_function_5():
    question = question_to_switch(0x11, 0xAC, [True])
    assert write_of(question, coil_bytes([True]))[:-2].hex() == "110500acff00"
    assert write_of(question_to_switch(0x11, 0xAC, [False]), b"\0")[:-2].hex() == "110500ac0000"


def test_several_coils_are_switched_by_function_15_the_first_one_lowest():
    states = [bool(int(bit)) for bit in "1011001110"]  # 6.11: coils 20 to 29 are cd 01
    question = question_to_switch(0x11, 0x13, states)
    assert write_of(question, coil_bytes(states))[:-2].hex() == "110f0013000a02cd01"


@pytest.mark.parametrize("states", [[True], [False], [True, False, True], [False] * 9])
def test_a_switch_is_answered_by_what_was_switched(states):
    question = question_to_switch(7, 30, states)
    echo = sealed(write_of(question, coil_bytes(states))[:6])
    assert answer_in(echo, question) == echo[2:6]
    assert answer_in(sealed(echo[:5] + bytes([echo[5] ^ 1])), question) == "other registers"
    assert answer_in(sealed(bytes([7, question.function | 0x80, 2])), question) == "exception 2 (illegal data address)"


@pytest.mark.parametrize(("start", "count"), [(0, 0), (0, 1969), (65535, 2), (-1, 1)])
def test_coils_that_are_not_there_cannot_be_switched(start, count):
    with pytest.raises(ValueError, match="coils"):
        question_to_switch(1, start, [True] * count)
