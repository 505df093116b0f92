"""How the golden ledger of one format version was made: `python -m tests.ledger.make_golden FOLDER [zstd]`.

Run once for a version of the format, when it is released, and never again for the same: what later code must read for
ever is what that code wrote then.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

from gateway.api.ledger_text import record_line
from gateway.ledger import archive, opening, snapshot
from gateway.ledger.base import Options
from gateway.ledger.frame import parse_header
from gateway.ledger.ldg1 import Ldg1Ledger
from gateway.ledger.opening import create
from gateway.ledger.reader import Reader
from gateway.ledger.record import CLASSES, KINDS, Record
from gateway.testing import FakeClock
from gateway.testing.storage import Image, MemoryStorage

UNIT = 512
DAY_S = 86_400
OPTIONS = Options(ring_bytes=4 * 8 * UNIT, segment_bytes=8 * UNIT, unit_bytes=UNIT, keep_ns=2 * DAY_S * 10**9)
LOG_ID = bytes.fromhex("7469646567617465206c656467657231")


def golden() -> Image:
    """Return the files: every kind and class, causes, bytes and JSON, a lost end, thinned and whole archives."""
    clock = FakeClock()
    storage = MemoryStorage()
    with patch.object(opening.os, "urandom", lambda count: LOG_ID[:count]):
        create(storage, OPTIONS, whole=True)
    _first_start(storage, clock)
    storage = MemoryStorage(_without_its_end(storage.image()))
    clock.advance(3_600)
    _second_start(storage, clock)
    return storage.image()


def _first_start(storage: MemoryStorage, clock: FakeClock) -> None:
    ledger = Ldg1Ledger(storage, OPTIONS, clock, background=False)
    ledger.append("boot", None, {"version": "1"}, "state")
    for number in range(30):
        clock.advance(DAY_S / 5)
        ledger.append("reading", "pump-1/flow/f1@frame", bytes([0x10, number, 0xFF]))
        ledger.append("desired", "pump-1/motor/speed@desired", {"value": number / 4}, "state")
    ledger.close()


def _without_its_end(image: Image) -> Image:
    """Return files that lost their last commit although it was durable: numbers jump, and a record tells of it."""
    name = max((name for name in image if name.endswith(".seg")), key=lambda name: _epoch_at(image[name], 0))
    data = image[name]
    last = max(at for at in range(0, len(data), UNIT) if _epoch_at(data, at) == _epoch_at(data, 0))
    return {**image, name: data[:last].ljust(len(data), b"\0")}


def _epoch_at(data: bytes, at: int) -> int:
    header = parse_header(data, at)
    return 0 if header is None else header.epoch


def _second_start(storage: MemoryStorage, clock: FakeClock) -> None:
    ledger = Ldg1Ledger(storage, OPTIONS, clock, background=False)
    for place, kind in enumerate(KINDS):
        clock.advance(1)
        route = None if place % 5 == 4 else f"pump-1/part/s{place % 3}" + ("@state" if place % 2 else "")
        body: object = bytes(range(place)) if place % 4 == 0 else {"n": place, "text": "µ°\n", "none": None}
        ledger.append(kind, route, body, CLASSES[place % 4], ledger.durable_seq if place % 3 == 0 else None)
        ledger.flush()
    ledger.append_many([("note", "pump-1/part/batch", {"in one commit": number}, "state") for number in range(5)])
    ledger.close()


def _lines(storage: MemoryStorage) -> Iterator[bytes]:
    for item in Reader(storage).read():
        if isinstance(item, Record):
            yield record_line(item) + b"\n"


def main(folder: Path, codec: str = "zlib") -> None:
    """Write the files, and beside them what `ledger export` prints of them."""
    with patch.object(archive, "best_codec", lambda: codec), patch.object(snapshot, "best_codec", lambda: codec):
        image = golden()
    for name, data in image.items():
        if not name.endswith("/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
    (folder / "export.jsonl").write_bytes(b"".join(_lines(MemoryStorage(image))))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
