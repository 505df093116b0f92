"""Every framing kind with its options, and legal bodies for each: what the law tests run over."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from gateway.frame import Garbage
from gateway.framing.build import build_framer
from gateway.framing.spec import (
    CheckSpec,
    Cobs,
    DsmrP1,
    Fixed,
    FramingSpec,
    Gap,
    Hdlc,
    Length,
    LengthField,
    Line,
    ModbusRtu,
    Nmea0183,
    Slip,
    VeDirect,
)


@dataclass(frozen=True)
class Case:
    spec: FramingSpec
    bodies: st.SearchStrategy[bytes]
    alphabet: bytes  # bytes that mean something on this wire: noise is made of them

    def make(self):
        return build_framer(self.spec)


def from_bytes(alphabet: bytes, low: int, high: int) -> st.SearchStrategy[bytes]:
    return st.lists(st.sampled_from(list(alphabet)), min_size=low, max_size=high).map(bytes)


BINARY = b"\x00\x01\x02\x04\x08\xff\xaa\x55BM\xb5b\xc0\xdb\xdc\xdd\x7e\x7d\x5d\x5e"
TEXT = b"abc,12"
CRC = CheckSpec(kind="crc-16-ibm-3740")
LITTLE_CRC = CheckSpec(kind="crc-16-modbus", order="little")
CHECKS = {
    "bare": None,
    "crc": CRC,
    "crc-little": LITTLE_CRC,
    "crc-wrong-order": CheckSpec(kind="crc-16-modbus", order="big"),
    "sum": CheckSpec(kind="sum-16"),
    "xor-from-2": CheckSpec(kind="xor-8", from_=2),
}


def stuffed(kind: type, empty_is_legal: bool) -> dict[str, Case]:
    cases = {}
    for name, check in CHECKS.items():
        low = 2 if check and check.from_ else 0 if empty_is_legal or check else 1
        cases[f"{kind.__name__.lower()}-{name}"] = Case(kind(check=check, max=24), from_bytes(BINARY, low, 20), BINARY)
    return cases


_FIELDS = st.lists(
    st.tuples(st.sampled_from([b"PID", b"V", b"H1", b"A", b"B:1", b"C#"]), from_bytes(b"a:1F", 0, 4)),
    min_size=1,
    max_size=4,
    unique_by=lambda field: field[0],
).map(lambda fields: b"\r\n".join(label + b"\t" + value for label, value in fields))

_MODBUS = st.sampled_from(
    [
        bytes.fromhex(text)
        for text in ("0103006b0003", "0103060000ffff0102", "110500acff00", "018302", "0110000100020400010002")
    ]
)

CASES: dict[str, Case] = {
    **stuffed(Cobs, empty_is_legal=True),
    "cobs-long": Case(Cobs(check=CRC, max=700), st.binary(min_size=240, max_size=690), b"\x00\x01\xff\xfe"),
    **stuffed(Slip, empty_is_legal=False),
    **{
        f"hdlc-{name}": Case(Hdlc(max=24, **options), from_bytes(BINARY, 0, 20), BINARY)
        for name, options in {
            "default": {},
            "16": {"fcs": 16},
            "32": {"fcs": 32},
            "shdlc": {"check": CheckSpec(kind="sum-8-inverted")},
        }.items()
    },
    **stuffed(Gap, empty_is_legal=False),
    "line": Case(Line(max=10), from_bytes(TEXT, 1, 10), TEXT + b"\r\n\xff\xc3\xa4"),
    "line-ascii-cr": Case(Line(max=10, end="0d", encoding="ascii"), from_bytes(TEXT, 1, 10), TEXT + b"\r\n\xff"),
    "line-crlf": Case(Line(max=10, end="0d 0a"), from_bytes(TEXT, 1, 10), TEXT + b"\r\n\xff"),
    "line-doubled-end": Case(Line(max=10, end="2a 2a"), from_bytes(TEXT, 1, 10), TEXT + b"*"),
    "length-pms": Case(
        Length(
            start="42 4d",
            length=LengthField(at=2, type="u16be", adds=4),
            check=CheckSpec(kind="sum-16"),
            body="4:-2",
            max=40,
        ),
        from_bytes(BINARY, 0, 30),
        b"BM\x00\x04\x06",
    ),
    "length-ubx": Case(  # body = class, id, length of the payload, payload
        Length(
            start="b5 62",
            length=LengthField(at=4, type="u16le", adds=8),
            check=CheckSpec(kind="fletcher-8-pair", from_=2),
            body="2:-2",
            max=40,
        ),
        from_bytes(BINARY, 0, 26).map(lambda data: b"\x01\x07" + len(data).to_bytes(2, "little") + data),
        b"\xb5b\x00\x01\x04",
    ),
    "length-unchecked": Case(
        Length(start="aa", length=LengthField(at=1, type="u8"), body="2:", max=30),
        from_bytes(BINARY, 0, 28),
        b"\xaa\x04\x01",
    ),
    "length-header-check": Case(
        Length(start="aa", length=LengthField(at=1, type="u8"), body="3:", max=30, check=CheckSpec(kind="sum-8", at=2)),
        from_bytes(BINARY, 0, 20),
        b"\xaa\x06\x01\xb0",
    ),
    "length-lrc-from-2": Case(
        Length(
            start="aa aa",
            length=LengthField(at=2, type="u8", adds=2),
            body="3:-1",
            max=30,
            check=CheckSpec(kind="lrc", from_=2),
        ),
        from_bytes(BINARY, 0, 20),
        b"\xaa\x06\x01",
    ),
    "fixed-mhz19": Case(
        Fixed(size=9, start="ff", check=CheckSpec(kind="lrc", from_=1)), from_bytes(BINARY, 7, 7), b"\xff\x86\x00"
    ),
    "fixed-sds011": Case(
        Fixed(size=10, start="aa c0", check=CheckSpec(kind="sum-8", from_=2, at=-2), body="2:10"),
        from_bytes(BINARY, 6, 6).map(lambda data: data + bytes([sum(data) & 0xFF, 0xAB])),
        b"\xaa\xc0\xab",
    ),
    "fixed-bare": Case(Fixed(size=4), from_bytes(BINARY, 4, 4), BINARY),
    "fixed-crc": Case(Fixed(size=5, check=CheckSpec(kind="crc-8-smbus")), from_bytes(BINARY, 4, 4), BINARY),
    "modbus-rtu": Case(ModbusRtu(), _MODBUS, b"\x01\x03\x06\x10\x11\x83\x00"),
    "nmea0183": Case(Nmea0183(max=30), from_bytes(TEXT, 0, 26), TEXT + b"$!*\r\n0F\\\xff"),
    "nmea0183-dollar": Case(Nmea0183(max=30, start="$"), from_bytes(TEXT + b"!", 0, 26), TEXT + b"$!*\r\n0F"),
    "ve-direct": Case(VeDirect(max=60), _FIELDS, b"\r\n\tVA:1F0\n\xff"),
    "dsmr-p1": Case(DsmrP1(max=40), from_bytes(b"a1\r\n(:)", 0, 30), b"/!aF01\r\n\xff"),
}


def joined(found: list[bytes | Garbage]) -> list[bytes | tuple[str, bytes]]:
    """Return frames, and the garbage between them in one piece: how it is split into records is free."""
    result: list[bytes | tuple[str, bytes]] = []
    for item in found:
        if not isinstance(item, Garbage):
            result.append(item)
        elif result and isinstance(result[-1], tuple):
            result[-1] = ("garbage", result[-1][1] + item.raw)
        else:
            result.append(("garbage", item.raw))
    return result
