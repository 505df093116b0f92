"""Layer 9: the line formats that `decode` reads: hex, candump, adv, gatt, jsonl.

A line that is not what it should be is one garbage item with the line's bytes; blank lines and `#` comments are
skipped.
"""

from __future__ import annotations

import re
from binascii import Error as NotHexError
from binascii import unhexlify
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import msgspec

from gateway.cli.inputs import Item, cut
from gateway.errors import UsageError
from gateway.frame import CAN_ERROR, CAN_EXTENDED, CAN_ID_MASK, CAN_REMOTE, Address, Element, Garbage
from gateway.schema.advert import elements_of, service_uuid

Split = Callable[[bytes], "list[bytes | Garbage]"]  # a line's bytes to bodies: through the framing, or as they are
Parse = Callable[[bytes], "list[Item]"]

_MAX_CAN_BYTES: Final = 64
# (1436509052.249713) vcan0 044#2A366C2BBA, what nearly every line is
_PLAIN: Final = re.compile(
    rb"\(([0-9]+\.[0-9]+)\) \S+ ((?:[0-7][0-9A-F]{2})|(?:[01][0-9A-F]{7}))#((?:[0-9A-F]{2})*)\r?"
).fullmatch
# the same with what else can-utils writes: no time, no interface, lower case, FD flags, dots, direction
_LOG: Final = re.compile(
    rb"(?:\(([0-9]+(?:\.[0-9]+)?)\)\s+)?(?:\S+\s+)?([0-9A-Fa-f]{3}|[0-9A-Fa-f]{8})"
    rb"#(?:(R)[0-9A-Fa-f]?|#[0-9A-Fa-f]|)([0-9A-Fa-f.]*)(?:_[0-9A-Fa-f])?(?:\s+[RT])?\s*"
).fullmatch
# (1436509052.249713)  vcan0  RX - -  044   [5]  2A 36 6C 2B BA   'ascii', as candump shows on a screen
_SCREEN: Final = re.compile(
    rb"\s*(?:\(([^)]*)\)\s+)?\S+\s+(?:[RT]X\s+\S+\s+\S+\s+)?([0-9A-Fa-f]{3}|[0-9A-Fa-f]{8})\s+\[[0-9]+\]"
    rb"(?:\s+(remote request)|((?:\s+[0-9A-Fa-f]{2})*))(?:\s+ERRORFRAME)?(?:\s+'.*')?\s*",
    re.DOTALL,
).fullmatch
_SECONDS: Final = re.compile(rb"[0-9]+(?:\.[0-9]+)?").fullmatch


class Row(msgspec.Struct, frozen=True):
    """One line of `jsonl`; other keys are ignored, so that a profile's golden.jsonl can be read."""

    hex: str | None = None
    t: float | None = None
    address: str | None = None
    adv: dict[str, Any] | None = None  # instead of hex: an advertisement
    candump: str | None = None  # instead of hex: a line of candump
    characteristic: str | None = None  # beside hex: it is the value of this GATT characteristic


_ROW: Final = msgspec.json.Decoder(Row)
_TABLE: Final = msgspec.json.Decoder(dict[str, Any])
_NOT_JSON: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)  # the last: a million brackets


def line_items(lines: Iterable[bytes | Garbage], parse: Parse) -> Iterator[Item]:
    """Give the items of every line."""
    for line in lines:
        if isinstance(line, Garbage):
            yield None, None, None, line
        else:
            stripped = line.strip()
            if stripped and not stripped.startswith(b"#"):
                yield from parse(line)


def hex_parser(split: Split, address_text: str | None, address: Address) -> Parse:
    """Return the parser of hex lines, spaces ignored."""

    def parse(line: bytes) -> list[Item]:
        try:
            data = unhexlify(b"".join(line.split()))
        except NotHexError:
            return _refused(line, "not hex")
        return [(None, address_text, address, body) for body in split(data)]

    return parse


def jsonl_parser(split: Split, address_of: Callable[[str | None], tuple[str | None, Address]]) -> Parse:
    """Return the parser of `{"hex": HEX, "t": seconds, "address": text}` lines; see `Row`."""

    def parse(line: bytes) -> list[Item]:
        try:
            row = _ROW.decode(line)
        except _NOT_JSON:
            return _refused(line, "not json")
        if row.candump is not None:
            return parse_candump(row.candump.encode())
        try:
            if row.adv is not None:
                return [(row.t, *item[1:]) for item in _adverts(row.adv)]
        except ValueError:
            return _refused(line, "not an advertisement")
        if row.characteristic is not None:
            return _gatt(line, row)
        if row.hex is None:
            return _refused(line, "no hex")
        try:
            text, address = address_of(row.address)
        except UsageError:
            return _refused(line, "address")
        try:
            data = bytes.fromhex(row.hex)
        except ValueError:
            return _refused(line, "not hex")
        return [(row.t, text, address, body) for body in split(data)]

    return parse


def parse_adv(line: bytes) -> list[Item]:
    """Return one item per element of an advertisement; one without data is one item of no bytes."""
    try:
        return _adverts(_TABLE.decode(line))
    except _NOT_JSON:
        return _refused(line, "not json")
    except ValueError:
        return _refused(line, "not an advertisement")


def parse_gatt(line: bytes) -> list[Item]:
    """Return the one item of a `{"characteristic": UUID, "hex": HEX, "t": seconds, "address": text}` line."""
    try:
        row = _ROW.decode(line)
    except _NOT_JSON:
        return _refused(line, "not json")
    return _gatt(line, row)


def parse_candump(line: bytes) -> list[Item]:
    """Return the one item of a candump line: log or screen format, FD, remote and error frames."""
    found = _PLAIN(line)
    if found is not None:
        seconds, text, digits = found.groups()
        if len(digits) <= 2 * _MAX_CAN_BYTES:
            number = int(text, 16)
            address = number if len(text) == 3 else number | CAN_EXTENDED
            return [(float(seconds), text.decode(), address, unhexlify(digits))]
    found = _LOG(line) or _SCREEN(line)
    if found is None:
        return _refused(line, "not candump")
    return _can_item(line, *found.groups())


def can_text(address: int) -> str:
    """Return a CAN id as candump writes it: 3 upper-case hex digits, 8 for extended ids and error frames."""
    if address & CAN_ERROR:
        return f"{address & (CAN_ERROR | CAN_ID_MASK):08X}"
    return f"{address & CAN_ID_MASK:08X}" if address & CAN_EXTENDED else f"{address & CAN_ID_MASK:03X}"


def can_address(text: str) -> int:
    """Return the id in "123", "18FEF100", "0x123": extended with 8 digits or over 7FF. Raises: UsageError."""
    digits = text.lower().removeprefix("0x")
    if not re.fullmatch(r"[0-9a-f]{1,8}", digits) or int(digits, 16) > CAN_ID_MASK:
        raise UsageError(f"{text!r} is no CAN id; write 3 or 8 hex digits, for example 123 or 18FEF100")
    number = int(digits, 16)
    return number | CAN_EXTENDED if len(digits) == 8 or number > 0x7FF else number


def _can_item(line: bytes, when: bytes | None, text: bytes, remote: bytes | None, digits: bytes | None) -> list[Item]:
    seconds = float(when) if when and _SECONDS(when) else None
    number = int(text, 16)
    data = (digits or b"").replace(b".", b"")
    data = b"".join(data.split())
    if len(data) % 2 or len(data) > 2 * _MAX_CAN_BYTES or (len(text) == 3 and number > 0x7FF):
        return _refused(line, "not candump", seconds)
    body = unhexlify(data)
    if len(text) == 8 and number & CAN_ERROR:
        address = number & (CAN_ERROR | CAN_ID_MASK)
        return [(seconds, can_text(address), address, Garbage(body, "error frame"))]
    address = number & CAN_ID_MASK | (CAN_EXTENDED if len(text) == 8 else 0)
    if remote:
        return [(seconds, can_text(address), address | CAN_REMOTE, Garbage(b"", "remote"))]
    return [(seconds, can_text(address), address, body)]


def _adverts(line: dict[str, Any]) -> list[Item]:
    found: list[Item] = [(None, element.address, element, body) for body, element in elements_of(line)]
    if not found:
        address = str(line["address"]).upper()
        return [(None, address, Element(address), Garbage(b"", "no data"))]
    return found


def _gatt(line: bytes, row: Row) -> list[Item]:
    if row.characteristic is None or row.hex is None:
        return _refused(line, "no characteristic" if row.characteristic is None else "no hex", row.t)
    try:
        uuid = service_uuid(row.characteristic)
    except ValueError:
        return _refused(line, "not a characteristic", row.t)
    address = None if row.address is None else row.address.upper()
    try:
        return [(row.t, address, Element(address or "", characteristic=uuid), bytes.fromhex(row.hex))]
    except ValueError:
        return _refused(line, "not hex", row.t)


def _refused(line: bytes, reason: str, seconds: float | None = None) -> list[Item]:
    return [(seconds, None, None, garbage) for garbage in cut(line.strip(), reason)]
