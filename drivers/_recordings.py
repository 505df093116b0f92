"""Recordings as records in order: candump, ASC, BLF and TRC of a CAN bus, raw bytes of a UART, adverts of BLE.

Nothing waits here; `drivers/replay.py` keeps the time. A line that is no record is skipped and counted.
"""

from __future__ import annotations

import json
import logging
import re
from binascii import unhexlify
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from drivers._can_frames import address_of_message
from gateway.errors import PortOptionError
from gateway.frame import CAN_ERROR, CAN_EXTENDED, CAN_ID_MASK, CAN_REMOTE, Address
from gateway.profile.model import LinkSpec
from gateway.registry import require
from gateway.schema.advert import elements_of

RAW_CHUNK_S: Final = 0.02  # a raw recording has no times: it comes in slices of 20 ms of its line rate
ADVERT_SPACING_S: Final = 0.1  # of adverts whose lines give no `t`
_PYTHON_CAN: Final = {".asc": "ASCReader", ".blf": "BLFReader", ".trc": "TRCReader"}
# (1436509052.249713) can0 044#2A366C2BBA, ...#R8, ...##1AABB (one digit of FD flags)
_CANDUMP: Final = re.compile(
    rb"\s*\(([0-9]+\.?[0-9]*)\)\s+\S+\s+([0-9A-Fa-f]{3}|[0-9A-Fa-f]{8})#(?:(R)[0-9A-Fa-f]?|#[0-9A-Fa-f]|)"
    rb"((?:\.?[0-9A-Fa-f]{2})*)(?:_[0-9A-Fa-f])?(?:\s+[RT])?\s*"
).fullmatch
MAX_CAN_BYTES: Final = 64
_MAX_LINE_BYTES: Final = 1 << 20

log = logging.getLogger(__name__)


class Record(NamedTuple):
    """One frame, chunk or element of a recording."""

    seconds: float  # since 1970 where the recording says so, else since some start
    payload: bytes
    address: Address = None


def records_of(path: Path, link: LinkSpec) -> Iterator[Record]:
    """Give the records of a file, lazily and in its order.

    Raises: OSError when it cannot be read; DriverError when python-can is missing for its format.
    """
    if link.bus == "uart":
        return _raw(path, link)
    if link.bus == "ble":
        return _adverts(path)
    reader = _PYTHON_CAN.get(path.suffix.lower())
    return _python_can(path, reader) if reader else _candump(path)


def check_replayable(name: str, link: LinkSpec) -> None:
    """Raise PortOptionError for a bus of which there are no recordings."""
    if link.bus == "spi":
        raise PortOptionError(name, "there are no recordings of SPI; replay uart, can or ble")


def _raw(path: Path, link: LinkSpec) -> Iterator[Record]:
    bits = 1 + link.data_bits + (link.parity != "none") + link.stop_bits
    bytes_per_s = link.baud / bits
    size = max(int(bytes_per_s * RAW_CHUNK_S), 1)
    position = 0
    with path.open("rb") as file:
        while chunk := file.read(size):
            position += len(chunk)
            yield Record(position / bytes_per_s, chunk)


def _candump(path: Path) -> Iterator[Record]:
    skipped = 0
    with path.open("rb") as file:
        while line := file.readline(_MAX_LINE_BYTES):
            found = _CANDUMP(line)
            if found is None:
                skipped += bool(line.strip())
                continue
            seconds, digits, remote, data = found.groups()
            payload = unhexlify(data.replace(b".", b""))
            if len(payload) > MAX_CAN_BYTES:
                skipped += 1
                continue
            address = int(digits, 16)
            if len(digits) == 8:
                address = address & (CAN_ERROR | CAN_ID_MASK) | (0 if address & CAN_ERROR else CAN_EXTENDED)
            yield Record(float(seconds), payload, address | CAN_REMOTE if remote else address)
    _tell_skipped(path, skipped)


def _python_can(path: Path, reader_name: str) -> Iterator[Record]:
    can = require("can", "can")
    options = {"relative_timestamp": False} if reader_name == "ASCReader" else {}
    with path.open("rb"):  # so that a missing file is an OSError of ours, whatever the reader makes of it
        pass
    count = 0
    try:
        with getattr(can, reader_name)(str(path), **options) as reader:
            for message in reader:
                count += 1
                yield Record(float(message.timestamp), bytes(message.data), address_of_message(message))
    except GeneratorExit:
        raise
    except Exception as error:  # noqa: BLE001 - readers fail on damaged files in any way; what came before counts
        log.warning("recording ends early, damaged: file=%s records=%d cause=%r", path, count, error)


def _adverts(path: Path) -> Iterator[Record]:
    skipped = 0
    seconds = 0.0
    with path.open("rb") as file:
        while line := file.readline(_MAX_LINE_BYTES):
            if not line.strip():
                continue
            try:
                advert: dict[str, Any] = json.loads(line)
                seconds = float(advert.get("t") or seconds + ADVERT_SPACING_S)
                found = elements_of(advert)
            except (ValueError, AttributeError, TypeError, RecursionError):
                skipped += 1
                continue
            for body, element in found:
                yield Record(seconds, body, element)
    _tell_skipped(path, skipped)


def _tell_skipped(path: Path, count: int) -> None:
    if count:
        log.warning("lines that are no records were skipped: file=%s lines=%d", path, count)
