"""What Bluetooth is to tests, on whatever rig: advertisements, names of characteristics, and what can go wrong."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.frame import short_uuid
from hil.data import bytes_of
from hil.rigs.base import RigError, RigLostError

__tracebackhide__ = True  # pytest shows the line of the test instead

MOST_DATA_BYTES: Final = 1650  # of one advertisement, extended (Core specification, Vol 4 Part E, 7.8.54)
FIELD_BYTES: Final = 254  # of one element in it: its length is one byte, its type another
READ_NOT_PERMITTED, WRITE_NOT_PERMITTED, NOT_AUTHENTICATED = 0x02, 0x03, 0x05  # ATT errors, Vol 3 Part F, 3.4.1.1
NOT_FOUND, BAD_LENGTH, UNLIKELY_ERROR = 0x0A, 0x0D, 0x0E
MOST_VALUE_BYTES: Final = 512  # of a characteristic (Core specification, Vol 3 Part F, 3.2.9)
_BASE: Final = "-0000-1000-8000-00805f9b34fb"
_UUID: Final = re.compile(r"[0-9a-f]{4}|[0-9a-f]{8}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ADDRESS: Final = re.compile(r"[0-9A-F]{2}(:[0-9A-F]{2}){5}")

# Kinds of elements: Assigned Numbers, 2.3; their layout: Core Specification Supplement, Part A.
_FLAGS, _UUIDS_16, _UUIDS_128, _NAME, _SERVICE_16, _SERVICE_32, _SERVICE_128, _MANUFACTURER = (
    0x01, 0x03, 0x07, 0x09, 0x16, 0x20, 0x21, 0xFF,
)  # fmt: skip
_SHORT_NAME: Final = 0x08
_UUID_SIZES: Final = {0x02: 2, _UUIDS_16: 2, 0x04: 4, 0x05: 4, 0x06: 16, _UUIDS_128: 16}
_SERVICE_SIZES: Final = {_SERVICE_16: 2, _SERVICE_32: 4, _SERVICE_128: 16}
_GENERAL_NO_CLASSIC: Final = b"\x06"

Uuid = str | int


class BleError(RigError):
    """Something about Bluetooth did not work."""


class BleTimeoutError(BleError, TimeoutError):
    """No answer in time."""


class BleLinkLostError(RigLostError):
    """The link is gone, and with it what was under way; connect again."""


class BleRefusedError(BleError):
    """The device answered that it will not; `code` is the ATT error."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(f"{message} (ATT error 0x{code:02x})")
        self.code = code


class BleAuthenticationError(BleRefusedError, PermissionError):
    """The device wants an encrypted link, and the keys of the two do not match."""


@dataclass(frozen=True, slots=True)
class Advertisement:
    """One advertisement as the host heard it."""

    address: str  # "AA:BB:CC:DD:EE:FF"
    rssi: int  # dBm
    manufacturer_data: dict[int, bytes] = field(default_factory=dict)  # by company id
    service_data: dict[str, bytes] = field(default_factory=dict)  # by UUID, short where it has a short form
    service_uuids: tuple[str, ...] = ()
    name: str | None = None
    t_ns: int = 0  # when, on the rig's time

    @property
    def data(self) -> bytes:
        """The elements as they are on the air."""
        out = [_element(_FLAGS, _GENERAL_NO_CLASSIC)]
        by_size: dict[int, bytes] = {}
        for uuid in self.service_uuids:
            wire = _wire_uuid(uuid)
            by_size[len(wire)] = by_size.get(len(wire), b"") + wire
        out += [_element({2: _UUIDS_16, 4: 0x05, 16: _UUIDS_128}[size], uuids) for size, uuids in by_size.items()]
        if self.name is not None:
            out.append(_element(_NAME, self.name.encode()))
        for uuid, data in self.service_data.items():
            wire = _wire_uuid(uuid)
            out.append(_element({2: _SERVICE_16, 4: _SERVICE_32, 16: _SERVICE_128}[len(wire)], wire + data))
        for company, data in self.manufacturer_data.items():
            out.append(_element(_MANUFACTURER, company.to_bytes(2, "little") + data))
        return b"".join(out)

    @classmethod
    def of_elements(cls, address: str, rssi: int, data: bytes) -> Advertisement:
        """Return what elements say, as far as a host reads them. Raises: ValueError for what is cut off, or none."""
        by_company: dict[int, bytes] = {}
        by_uuid: dict[str, bytes] = {}
        uuids: list[str] = []
        name: str | None = None
        at = 0
        while at < len(data) and data[at]:  # a length of 0 ends them early
            end = at + 1 + data[at]
            if end > len(data):
                raise ValueError(f"an element of {data[at]} bytes is cut off at {len(data) - at - 1}")
            kind, body = data[at + 1], data[at + 2 : end]
            if kind in _UUID_SIZES:
                size = _UUID_SIZES[kind]
                uuids += [_uuid_on_wire(body[begin : begin + size]) for begin in range(0, len(body), size)]
            elif kind in _SERVICE_SIZES:
                size = _SERVICE_SIZES[kind]
                by_uuid[_uuid_on_wire(body[:size])] = body[size:]
            elif kind == _MANUFACTURER:
                by_company |= manufacturer_of(body)
            elif kind in {_NAME, _SHORT_NAME}:
                name = body.decode(errors="replace")
            at = end
        return cls(address, rssi, by_company, by_uuid, tuple(uuids), name)


def address_of(value: Any) -> str:
    """Return a device's address, in upper case. Raises: ValueError."""
    text = value.upper().replace("-", ":") if isinstance(value, str) else ""
    if not _ADDRESS.fullmatch(text):
        raise ValueError(f"{value!r:.60} is no Bluetooth address; write AA:BB:CC:DD:EE:FF")
    return text


def uuid_of(value: Any) -> str:
    """Return a UUID as the gateway writes it: lower case, short where it has a short form. Raises: ValueError."""
    text = f"{value:04x}" if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else value
    text = text.lower().removeprefix("0x") if isinstance(text, str) else ""
    if not _UUID.fullmatch(text):
        raise ValueError(f"{value!r:.60} is no UUID; write '2a37', or all of it with its four dashes")
    return short_uuid(text)


def manufacturer_of(value: Mapping[int, bytes] | bytes | None) -> dict[int, bytes]:
    """Return manufacturer data by company id, given so or as bytes with the id in front. Raises: ValueError."""
    if value is None:
        return {}
    if isinstance(value, bytes | bytearray):
        if len(value) < 2:
            raise ValueError(f"{value!r}: manufacturer data begin with the company id, two bytes, the lower first")
        value = {int.from_bytes(value[:2], "little"): bytes(value[2:])}
    if not isinstance(value, Mapping):
        raise ValueError(f"{value!r:.60}: give manufacturer data as {{0x0499: b'...'}}")  # noqa: TRY004 - one error
    for company in value:
        if isinstance(company, bool) or not isinstance(company, int) or not 0 <= company <= 0xFFFF:
            raise ValueError(f"company {company!r}: a number from 0 to 0xffff")
    return {company: bytes_of(data, most=FIELD_BYTES - 2) for company, data in value.items()}


def service_of(value: Mapping[Uuid, bytes] | None) -> dict[str, bytes]:
    """Return service data by UUID. Raises: ValueError."""
    return {uuid_of(uuid): bytes_of(data, most=FIELD_BYTES - 16) for uuid, data in (value or {}).items()}


def uuids_of(values: Iterable[Uuid]) -> tuple[str, ...]:
    """Return UUIDs. Raises: ValueError."""
    return tuple(dict.fromkeys(uuid_of(value) for value in values))


def _element(kind: int, data: bytes) -> bytes:
    return bytes([1 + len(data), kind]) + data


def _uuid_on_wire(wire: bytes) -> str:
    digits = wire[::-1].hex()
    ends = (0, 8, 12, 16, 20, 32)
    parts = [digits[begin:end] for begin, end in itertools.pairwise(ends)]
    return uuid_of("-".join(parts) if len(digits) == ends[-1] else digits)


def _wire_uuid(uuid: str) -> bytes:
    return bytes.fromhex(uuid.replace("-", ""))[::-1]
