from __future__ import annotations

import pytest

from gateway.errors import EncodeError
from gateway.frame import Garbage
from gateway.framing.modbus import ModbusRtuFramer

REQUEST = bytes.fromhex("11 03 006b 0003")  # MODBUS Application Protocol V1.1b3, 6.3: read registers 108..110
ANSWER = bytes.fromhex("11 03 06 022b 0000 0064")
EXCEPTION = bytes.fromhex("11 83 02")
WRITE = bytes.fromhex("11 10 0001 0002 04 000a 0102")
WRITTEN = bytes.fromhex("11 10 0001 0002")


@pytest.mark.parametrize("unit", [REQUEST, ANSWER, EXCEPTION, WRITE, WRITTEN])
def test_requests_answers_and_exceptions_are_told_by_size_and_crc(unit: bytes):
    framer = ModbusRtuFramer()
    assert framer.feed(framer.encode(unit)) == [unit]


def test_the_crc_goes_low_byte_first():
    assert ModbusRtuFramer().encode(bytes.fromhex("0103 0000 0001")).hex() == "010300000001840a"


def test_a_conversation_without_silences_is_split_into_its_units():
    framer = ModbusRtuFramer()
    stream = b"".join(framer.encode(unit) for unit in (REQUEST, ANSWER, WRITE, WRITTEN, EXCEPTION))
    assert framer.feed(stream) == [REQUEST, ANSWER, WRITE, WRITTEN, EXCEPTION]


def test_a_glitch_before_a_unit_does_not_hide_it():
    framer = ModbusRtuFramer()
    found = framer.feed(b"\x00" + framer.encode(ANSWER)) + framer.gap()
    assert found == [Garbage(b"\x00", "check"), ANSWER]


def test_a_wrong_crc_is_refused():
    framer = ModbusRtuFramer()
    wire = framer.encode(EXCEPTION)
    damaged = wire[:-1] + bytes([wire[-1] ^ 1])
    found = framer.feed(damaged) + framer.gap()
    assert b"".join(item.raw for item in found) == damaged
    assert found[0].reason == "check"


def test_after_expect_the_answer_is_its_register_bytes():
    framer = ModbusRtuFramer()
    framer.expect(0x11, 3)
    echo_and_answer = framer.encode(REQUEST) + framer.encode(ANSWER)
    assert framer.feed(echo_and_answer) == [REQUEST, ANSWER[3:]]
    assert framer.feed(framer.encode(ANSWER)) == [ANSWER], "the request is closed"


def test_after_expect_an_exception_comes_whole_and_closes_the_request():
    framer = ModbusRtuFramer()
    framer.expect(0x11, 3)
    assert framer.feed(framer.encode(EXCEPTION) + framer.encode(ANSWER)) == [EXCEPTION, ANSWER]


def test_after_expect_units_of_others_come_whole():
    framer = ModbusRtuFramer()
    framer.expect(0x12, 3)
    assert framer.feed(framer.encode(ANSWER)) == [ANSWER]


def test_after_expect_a_written_answer_is_what_follows_the_function():
    framer = ModbusRtuFramer()
    framer.expect(0x11, 0x10)
    assert framer.feed(framer.encode(WRITTEN)) == [WRITTEN[2:]]


@pytest.mark.parametrize(
    "unit", [b"", b"\x01", bytes.fromhex("0103"), bytes.fromhex("01650001"), bytes.fromhex("018302ff")]
)
def test_what_is_no_unit_is_not_built(unit: bytes):
    with pytest.raises(EncodeError, match="no Modbus unit"):
        ModbusRtuFramer().encode(unit)
