"""How one setpoint reaches its device on every kind of link."""

from __future__ import annotations

import pytest

from gateway.frame import CAN_EXTENDED, Element
from gateway.framing.modbus_pdu import Question, answer_in, sealed
from gateway.profile.setpoint import Attempt
from gateway.profile.setpoint_value import Refusal
from gateway.profile.setpoint_wire import Write
from gateway.schema.plan import values_of
from tests.profile.setpoint_kit import compiled, nothing_said, saying, setpoints_of


def write(text, name, value, latest=nothing_said) -> Write:
    attempt = setpoints_of(compiled(text)).attempt(name, value, latest)
    assert isinstance(attempt, Attempt), attempt
    return attempt.write


MODBUS = """
[params]
unit = { type = "u8", default = 5 }
[link]
bus = "uart"
[framing]
kind = "modbus-rtu"
[message.held]
ask    = { holding = 0x100, count = 9 }
fields = [
  { name = "target", register = 0x100, type = "s16be", scale = 0.1, units = "Cel" },
  { name = "power",  register = 0x102, type = "f32be", units = "W" },
  { name = "total",  register = 0x104, type = "u32be", words = "little" },
  { type = "u16be", register = 0x106, bits = [
    { name = "on", at = "0" }, { name = "mode", at = "2:1", labels = { 0 = "eco", 3 = "boost" } } ] },
  { name = "high", register = 0x107, type = "u8" },
  { name = "low", type = "u8" } ]
[message.outputs]
ask    = { coils = 20, count = 12 }
fields = [
  { type = "u8", bits = [{ name = "pump", at = "0" }, { name = "fan", at = "7:5" }] },
  { type = "u8", bits = [{ name = "lamp", at = "1" }] } ]
[message.measured]
ask    = { input = 0x30, count = 1 }
fields = [{ name = "temperature", register = 0x30, type = "s16be" }]
"""


def setpoint(name, field, **keys):
    more = "".join(f"{key} = {value}\n" for key, value in keys.items())
    return f'[setpoint.{name}]\nwrite = "{field}"\nreport = "{field}"\n{more}'


def test_one_register_is_written_by_function_6():
    found = write(MODBUS + setpoint("target", "held.target"), "target", -2.5)
    assert found.question == Question(5, 6, 0x100, 0x10000 - 25)
    assert found.data == sealed(bytes.fromhex("05 06 0100 ffe7"))


def test_only_the_registers_of_the_field_are_written_by_function_16():
    found = write(MODBUS + setpoint("power", "held.power"), "power", 1.5)
    assert found.data == sealed(bytes.fromhex("05 10 0102 0002 04 3fc00000"))
    assert found.question is not None
    assert answer_in(sealed(found.data[:6]), found.question) == bytes.fromhex("0102 0002")


def test_registers_in_reverse_order_are_written_so():
    found = write(MODBUS + setpoint("total", "held.total"), "total", 0x00010002)
    assert found.data == sealed(bytes.fromhex("05 10 0104 0002 04 0002 0001"))


def test_the_other_bits_of_a_register_are_what_they_were():
    text = MODBUS + setpoint("on", "held.on", idempotent="true")
    found = write(text, "on", True, saying(held={"on": False, "mode": "boost", "target": 20.0}))
    assert found.data == sealed(bytes.fromhex("05 06 0106 0007"))


def test_a_register_whose_other_bits_are_not_known_is_refused():
    refusal = setpoints_of(compiled(MODBUS + setpoint("on", "held.on"))).admit("on", True, nothing_said)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "fill"
    assert "mode" in refusal.message


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("pump", True, "05 05 0014 ff00"),
        ("pump", False, "05 05 0014 0000"),
        ("fan", 5, "05 0f 0019 0003 01 05"),
        ("lamp", True, "05 05 001d ff00"),
    ],
)
def test_coils_are_switched_alone(field, value, expected):
    latest = saying(outputs={"pump": True, "fan": 7, "lamp": False})
    found = write(MODBUS + setpoint("it", f"outputs.{field}"), "it", value, latest)
    assert found.data == sealed(bytes.fromhex(expected))


def test_coils_need_no_knowledge_of_their_neighbours():
    found = write(MODBUS + setpoint("it", "outputs.pump"), "it", True, nothing_said)
    assert found.data == sealed(bytes.fromhex("05 05 0014 ff00"))


@pytest.mark.parametrize(
    ("field", "reason"),
    [("measured.temperature", "reads what Modbus cannot write"), ("held.high", "no whole registers")],
)
def test_registers_that_cannot_be_written_are_no_setpoint(field, reason):
    with pytest.raises(ValueError, match=reason):
        setpoints_of(compiled(MODBUS + setpoint("it", field)))


SPI = """
[link]
bus = "spi"
[message.control]
ask    = { register = 0xf4, length = 2 }
fields = [
  { type = "u8", bits = [{ name = "mode", at = "1:0", labels = { 0 = "sleep", 3 = "normal" } },
                         { name = "over", at = "7:5" }] },
  { name = "config", type = "u8" } ]
[setpoint.mode]
write  = "control.mode"
report = "control.mode"
[setpoint.config]
write  = "control.config"
report = "control.config"
"""


def test_a_register_of_a_spi_chip_is_written_with_the_write_mask():
    assert write(SPI, "config", 0xA0) == Write(bytes.fromhex("75 a0"))


def test_the_other_bits_of_a_spi_register_are_kept():
    assert write(SPI, "mode", "normal", saying(control={"over": 5, "config": 1})) == Write(bytes.fromhex("74 a3"))


def test_a_spi_register_that_the_write_mask_would_move_is_no_setpoint():
    with pytest.raises(ValueError, match="`write_mask` 0x7f would turn register 0x1f4 into another"):
        setpoints_of(compiled(SPI.replace('"spi"', '"spi"\naddress_bytes = 2').replace("0xf4", "0x1f4")))


def can(when, framing=""):
    return f"""
[link]
bus = "can"
{framing}
[message.order]
when      = {{ {when} }}
direction = "out"
fields    = [{{ name = "level", type = "u8" }}]
[setpoint.level]
write   = "order.level"
confirm = "none"
"""


@pytest.mark.parametrize(
    ("when", "framing", "expected"),
    [
        ("can_id = 0x123", "", Write(b"\x07", 0x123)),
        ("can_id = 0x123, extended = true", "", Write(b"\x07", 0x123 | CAN_EXTENDED)),
        ("can_id = 0x12345", "", Write(b"\x07", 0x12345 | CAN_EXTENDED)),
        ("pgn = 0xfeca, source = 3", '[framing]\nkind = "j1939"', Write(b"\x07", 0x18FECA03 | CAN_EXTENDED)),
        (
            "bytes = {}",
            '[framing]\nkind = "isotp"\ntx = 0x7e0\nrx = 0x7e8',
            Write(b"\x07", 0x7E0, by_isotp=True),
        ),
    ],
)
def test_a_can_message_goes_out_with_its_id(when, framing, expected):
    assert write(can(when, framing), "level", 7) == expected


@pytest.mark.parametrize("when", ["length = 1", "pgn = 0xfeca"])
def test_a_can_message_without_an_id_of_ours_is_no_setpoint(when):
    framing = '[framing]\nkind = "j1939"' if "pgn" in when else ""
    with pytest.raises(ValueError, match="names no frame"):
        setpoints_of(compiled(can(when, framing)))


GATT = """
[link]
bus  = "ble"
mode = "{mode}"
[message.colour]
{message}
fields = [{{ name = "red", type = "u8" }}, {{ name = "blue", type = "u8" }}]
[setpoint.red]
write  = "colour.red"
report = "colour.red"
"""


@pytest.mark.parametrize("key", ["when", "ask"])
def test_a_characteristic_is_written_whole(key):
    text = GATT.format(mode="gatt", message=f'{key} = {{ characteristic = "0000FFE1-0000-1000-8000-00805F9B34FB" }}')
    found = write(text, "red", 9, saying(colour={"red": 1, "blue": 2}))
    assert found == Write(b"\x09\x02", Element("", characteristic="ffe1"))


def test_an_advertisement_is_no_setpoint():
    with pytest.raises(ValueError, match="no `characteristic`"):
        setpoints_of(compiled(GATT.format(mode="advertisement", message="when = { manufacturer = 1 }")))


@pytest.mark.parametrize(
    "framing",
    [
        'kind = "slip"',
        'kind = "cobs"\ncheck = { kind = "crc-16-modbus" }',
        'kind = "hdlc"',
        'kind = "fixed"\nsize = 5\nstart = "ff"\ncheck = { kind = "sum-8" }',
        'kind = "length"\nstart = "42 4d"\nlength = { at = 2, type = "u8" }\ncheck = { kind = "xor-8" }\nbody = "3:-1"',
    ],
)
def test_a_body_on_a_wire_is_framed_as_it_is_found(framing):
    profile = compiled(f"""
[link]
bus = "uart"
[framing]
{framing}
[message.order]
direction = "both"
fields    = [{{ type = "u8", const = 0xc0 }}, {{ name = "level", type = "u16le" }}]
[setpoint.level]
write  = "order.level"
report = "order.level"
""")
    attempt = setpoints_of(profile).attempt("level", 0xDBC0, nothing_said)
    assert isinstance(attempt, Attempt)
    (body,) = profile.framer().feed(attempt.write.data)
    assert isinstance(body, bytes)
    plan = profile.messages["order"]
    assert values_of(plan, plan.decode(body)) == {"level": 0xDBC0}
