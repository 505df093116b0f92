"""Layer 2: the `[framing]` table of a profile (PROFILES section 3), one Struct per kind."""

from __future__ import annotations

from typing import Literal

import msgspec

from gateway.notation import ByteOrder, Duration, HexText


class CheckSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A checksum: catalogue name, over bytes from `from` of the decoded frame to where the check stands."""

    kind: str
    from_: int = msgspec.field(default=0, name="from")
    at: int | None = None  # its first byte, negative from the end; None: the last bytes
    order: ByteOrder = "big"


class LengthField(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where the frame says its size: frame size = value + adds."""

    at: int
    type: str  # unsigned integer type, "u16be"
    adds: int = 0


class _Kind(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="kind"
):
    max: int = 1024  # bytes; bounds a frame


class Cobs(_Kind, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="cobs"):
    """Consistent Overhead Byte Stuffing, ended by a zero."""

    check: CheckSpec | None = None


class Slip(_Kind, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="slip"):
    """RFC 1055, ended by c0."""

    check: CheckSpec | None = None


class Hdlc(_Kind, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="hdlc"):
    """Byte-stuffed HDLC as PPP's (RFC 1662), between 7e flags."""

    fcs: Literal[16, 32] | None = None  # 16 where neither fcs nor check is given
    check: CheckSpec | None = None


class Line(_Kind, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="line"):
    """Text lines."""

    end: HexText = "0a"
    encoding: str = "utf-8"


class Length(_Kind, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="length"):
    """The frame says its size."""

    start: HexText
    length: LengthField
    check: CheckSpec | None = None
    body: str | None = None


class Fixed(_Kind, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="fixed"):
    """Every frame has the same size."""

    size: int
    start: HexText | None = None
    check: CheckSpec | None = None
    body: str | None = None


class Gap(_Kind, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="gap"):
    """Silence ends a frame."""

    silence: Duration = "5ms"
    check: CheckSpec | None = None


class ModbusRtu(_Kind, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="modbus-rtu"):
    """Modbus RTU application data units."""


class IsoTp(_Kind, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="isotp"):
    """ISO 15765-2 segments on a pair of CAN ids, or on several that differ in the bits `mask` leaves open."""

    tx: int
    rx: int
    mask: int = 0x1FFFFFFF
    max: int = 4095  # the longest message that a classic first frame can announce


class J1939(_Kind, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="j1939"):
    """SAE J1939 single frames and transport protocol."""


class Nmea2000(_Kind, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="nmea2000"):
    """J1939 plus fast packets."""


class Nmea0183(_Kind, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="nmea0183"):
    """Sentences with their checksum."""

    start: str = "$!"


class VeDirect(_Kind, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="ve-direct"):
    """Victron VE.Direct text blocks."""


class DsmrP1(_Kind, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="dsmr-p1"):
    """Smart-meter P1 telegrams."""

    max: int = 8192  # a DSMR 5 telegram with long messages comes near 5 kB


FramingSpec = (
    Cobs
    | Slip
    | Hdlc
    | Line
    | Length
    | Fixed
    | Gap
    | ModbusRtu
    | IsoTp
    | J1939
    | Nmea2000
    | Nmea0183
    | VeDirect
    | DsmrP1
)
CAN_TRANSPORTS = (IsoTp, J1939, Nmea2000)
