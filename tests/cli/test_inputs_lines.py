"""The line formats of decode: hex, candump, adv, jsonl."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.inputs_lines import (
    can_address,
    can_text,
    hex_parser,
    jsonl_parser,
    line_items,
    parse_adv,
    parse_candump,
)
from gateway.errors import UsageError
from gateway.frame import CAN_ERROR, CAN_EXTENDED, CAN_REMOTE, Element, Garbage
from gateway.schema.advert import elements_of

FD_BYTES = bytes(range(64))
EXTENDED = 0x18FEF100 | CAN_EXTENDED


@pytest.mark.parametrize(
    ("line", "item"),
    [
        ("(1436509052.249713) vcan0 044#2A366C2BBA", (1436509052.249713, "044", 0x44, bytes.fromhex("2A366C2BBA"))),
        ("(1.5) can0 18FEF100#0102", (1.5, "18FEF100", EXTENDED, b"\x01\x02")),
        ("(1.5) can0 00000044#01", (1.5, "00000044", 0x44 | CAN_EXTENDED, b"\x01")),
        ("(1.5) can0 18fef100#0a0b R", (1.5, "18FEF100", EXTENDED, b"\x0a\x0b")),
        ("(1.5) can0 123#", (1.5, "123", 0x123, b"")),
        ("(1.5) can0 123##1" + FD_BYTES.hex(), (1.5, "123", 0x123, FD_BYTES)),
        ("(1.5) can0 123##0", (1.5, "123", 0x123, b"")),
        ("(1.5) can0 123#11.22.33", (1.5, "123", 0x123, b"\x11\x22\x33")),
        ("(1.5) can0 123#1122334455667788_9", (1.5, "123", 0x123, bytes.fromhex("1122334455667788"))),
        ("123#DEADBEEF", (None, "123", 0x123, b"\xde\xad\xbe\xef")),
        ("(1.5) can0 123#R", (1.5, "123", 0x123 | CAN_REMOTE, Garbage(b"", "remote"))),
        ("(1.5) can0 123#R8", (1.5, "123", 0x123 | CAN_REMOTE, Garbage(b"", "remote"))),
        ("(1.5) can0 20000004#0001", (1.5, "20000004", CAN_ERROR | 4, Garbage(b"\x00\x01", "error frame"))),
        ("  can0  09F8027F   [3]  00 FC FF", (None, "09F8027F", 0x89F8027F, b"\x00\xfc\xff")),
        (" (001.25)  can0  044   [2]  2A 36   '*6'", (1.25, "044", 0x44, b"\x2a\x36")),
        (" (2009-02-13 23:31:30.123456)  can0  TX B -  044   [1]  2A", (None, "044", 0x44, b"\x2a")),
        ("  can0  044   [0]  remote request", (None, "044", 0x44 | CAN_REMOTE, Garbage(b"", "remote"))),
        ("  can0  123  [12]  " + "00 " * 12, (None, "123", 0x123, bytes(12))),
        (
            "  can0  20000004   [8]  00 04 00 00 00 00 00 00   ERRORFRAME",
            (None, "20000004", CAN_ERROR | 4, Garbage(bytes.fromhex("0004000000000000"), "error frame")),
        ),
    ],
)  # fmt: skip
def test_a_candump_line_is_one_item(line, item):
    assert parse_candump(line.encode()) == [item]
    assert parse_candump(line.encode() + b"\r") == [item]


@pytest.mark.parametrize(
    "line",
    [
        "hello",
        "(1.5) can0 123",
        "(1.5) can0 12#00",
        "(1.5) can0 FFF#00",
        "(1.5) can0 123#0",
        "(1.5) can0 123#0G",
        "(1.5) can0 123##1" + "00" * 65,
        "(1.5) can0 123#" + "00" * 65,
        "\xff\xfe",
    ],
)
def test_a_line_that_is_no_candump_is_one_refused_item_with_its_bytes(line):
    [(_t, address, _, garbage)] = parse_candump(line.encode())

    assert address is None
    assert garbage == Garbage(line.encode(), "not candump")


@given(st.binary(max_size=200))
def test_any_line_at_all_is_an_item_in_every_format(line):
    for parse in (parse_candump, parse_adv, hex_parser(lambda data: [data], None, None), jsonl()):
        assert parse(line)


@given(st.integers(0, 0x1FFFFFFF), st.booleans())
def test_a_can_id_reads_back_as_it_is_written(number, extended):
    address = number | CAN_EXTENDED if extended or number > 0x7FF else number

    assert can_address(can_text(address)) == address


@pytest.mark.parametrize(("text", "address"), [("1", 1), ("0x201", 0x201), ("800", 0x800 | CAN_EXTENDED)])
def test_a_can_id_may_be_written_short(text, address):
    assert can_address(text) == address


@pytest.mark.parametrize("text", ["", "xyz", "20000000", "123456789", "-1"])
def test_what_is_no_can_id_is_refused(text):
    with pytest.raises(UsageError, match="CAN id"):
        can_address(text)


def test_blank_lines_and_comments_are_skipped():
    text = [b"", b"  ", b"# candump sample", b"123#00", b"\r"]

    assert len(list(line_items(text, parse_candump))) == 1


def test_a_hex_line_goes_through_the_framing():
    parse = hex_parser(lambda data: [data[:1], Garbage(data[1:], "noise")], "123", 0x123)

    assert parse(b"0a 0B0c\r") == [
        (None, "123", 0x123, b"\x0a"),
        (None, "123", 0x123, Garbage(b"\x0b\x0c", "noise")),
    ]


@pytest.mark.parametrize("line", [b"0", b"0g", b"0x00", b"\xff"])
def test_a_line_that_is_not_hex_is_refused_whole(line):
    assert hex_parser(lambda data: [data], None, None)(line) == [(None, None, None, Garbage(line, "not hex"))]


ADVERT = '{"address":"AA:BB:CC:DD:EE:FF","rssi":-60,"manufacturer_data":{"1177":"05"},"service_data":{"fcd2":"40"}}'


def test_an_advertisement_is_one_item_per_element():
    items = parse_adv(ADVERT.encode())

    assert [(text, body) for _, text, _, body in items] == [
        ("AA:BB:CC:DD:EE:FF", b"\x05"),
        ("AA:BB:CC:DD:EE:FF", b"\x40"),
    ]
    assert items[0][2] == Element("AA:BB:CC:DD:EE:FF", -60, manufacturer=1177)


def test_an_advertisement_without_data_is_counted():
    [(_, text, _, garbage)] = parse_adv(b'{"address":"aa:bb:cc:dd:ee:ff"}')

    assert (text, garbage) == ("AA:BB:CC:DD:EE:FF", Garbage(b"", "no data"))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "not json"),
        (b"[]", "not json"),
        (b'{"a":' + b"[" * 100_000, "not json"),
        (b'{"address":"\xff"}', "not json"),
        (b'{"address":5}', "not an advertisement"),
        (b'{"address":"A","manufacturer_data":{"1177":"0"}}', "not an advertisement"),
    ],
)
def test_a_line_that_is_no_advertisement_says_why(line, reason):
    assert {garbage.reason for _, _, _, garbage in parse_adv(line)} == {reason}


def jsonl():
    return jsonl_parser(lambda data: [data], lambda text: (text, can_address(text) if text else None))


def test_a_jsonl_line_carries_time_and_address():
    line = b'{"hex":"0a 0b","t":5,"address":"18FEF100","source":"ignored"}'

    assert jsonl()(line) == [(5.0, "18FEF100", EXTENDED, b"\x0a\x0b")]


def test_a_jsonl_line_may_hold_a_candump_line_or_an_advertisement():
    assert jsonl()(b'{"candump":"(1.5) can0 123#00"}') == [(1.5, "123", 0x123, b"\x00")]
    (body, element), _second = elements_of({"address": "A", "manufacturer_data": {"1": "02", "3": ""}})
    assert jsonl()(b'{"t":1,"adv":{"address":"A","manufacturer_data":{"1":"02"}}}') == [(1.0, "A", element, body)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"hello", "not json"),
        (b'{"hex":5}', "not json"),
        (b'{"hex":"0"}', "not hex"),
        (b"{}", "no hex"),
        (b'{"hex":"00","address":"zz"}', "address"),
        (b'{"adv":{}}', "not an advertisement"),
        (b'{"candump":"x"}', "not candump"),
    ],
)
def test_a_jsonl_line_that_is_wrong_says_why(line, reason):
    [(_, _, _, garbage)] = jsonl()(line)

    assert garbage.reason == reason
