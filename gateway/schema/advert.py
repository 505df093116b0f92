"""Layer 2: one BLE advertisement, as a JSON line says it, to the elements that messages match.

A line: {"address": "AA:BB:CC:DD:EE:FF", "rssi": -60, "name": "Ruuvi 884F", "manufacturer_data": {"1177": HEX},
"service_data": {UUID: HEX}, "service_uuids": []}. Company ids are decimal, or hex with 0x. Keys nobody reads are fine:
scanners differ in what else they know.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from gateway.frame import Element, short_uuid

_UUID: Final = re.compile(r"[0-9a-f]{4}|[0-9a-f]{8}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def elements_of(line: Mapping[str, Any]) -> list[tuple[bytes, Element]]:
    """Return (body, element) of every manufacturer and service data entry, in the line's order, manufacturers first.

    A manufacturer's body begins after the company id, a service's after the UUID.
    Raises: ValueError naming the part that is wrong.
    """
    address, rssi, name = _text(line, "address"), line.get("rssi"), line.get("name")
    if rssi is not None and (not isinstance(rssi, int) or isinstance(rssi, bool)):
        raise ValueError(f"rssi {rssi!r:.60} is no whole number of dBm")
    if name is not None and not isinstance(name, str):
        raise ValueError(f"name {name!r:.60} is no text")
    address = address.upper()
    found = [
        (_body(data), Element(address, rssi, name, manufacturer=company_id(key)))
        for key, data in _table(line, "manufacturer_data").items()
    ]
    found += [
        (_body(data), Element(address, rssi, name, service=service_uuid(key)))
        for key, data in _table(line, "service_data").items()
    ]
    return found


def company_id(text: str) -> int:
    """Return the Bluetooth company id in "1177" or "0x0499". Raises: ValueError."""
    try:
        number = int(text, 16) if text[:2].lower() == "0x" else int(text)
    except ValueError:
        number = -1
    if not 0 <= number <= 0xFFFF:
        raise ValueError(f"manufacturer_data key {text!r:.60} is no company id (0..65535)")
    return number


def service_uuid(text: str) -> str:
    """Return a service UUID as `Element.service` spells it. Raises: ValueError for text that is none."""
    uuid = text.lower().removeprefix("0x")
    if not _UUID.fullmatch(uuid):
        raise ValueError(f"{text!r:.60} is no service UUID")
    return short_uuid(uuid)


def _text(line: Mapping[str, Any], key: str) -> str:
    value = line.get(key)
    if not isinstance(value, str):
        raise ValueError(f"{key} {value!r:.60} is no text")  # noqa: TRY004 - bad data, not a bad call
    return value


def _table(line: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = line.get(key) or {}
    if not isinstance(value, Mapping):
        raise ValueError(f"{key} is no table")  # noqa: TRY004 - bad data, not a bad call
    return value


def _body(data: object) -> bytes:
    try:
        return bytes.fromhex(data)  # type: ignore[arg-type]  # what is no text is a TypeError, told below
    except (TypeError, ValueError):
        raise ValueError(f"{data!r:.40} is no hex text") from None
