"""What the ledger is held against: each keeps the same 32-byte records, durable when `commit` returns."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import sqlite3
import struct
from pathlib import Path
from typing import Protocol

from gateway.ledger import Ledger
from gateway.ledger.base import Options

ROUTE = "therm-1/climate/df5@frame"
UNIT_BYTES = 4096


class Store(Protocol):
    """One contestant."""

    def __init__(self, folder: Path) -> None: ...

    def commit(self, bodies: list[bytes]) -> None:
        """Keep records; they are durable on return."""
        ...

    def close(self) -> None: ...


class OurStore:
    """The ledger, 4 KiB units."""

    def __init__(self, folder: Path) -> None:
        options = Options(unit_bytes=UNIT_BYTES, budget_bytes_per_day=0)
        Ledger.create(folder / "ledger", options)
        self._ledger = Ledger.open(folder / "ledger", options=options)

    def commit(self, bodies: list[bytes]) -> None:
        """Append and flush."""
        self._ledger.append_many([("reading", ROUTE, body) for body in bodies])
        self._ledger.flush()

    def close(self) -> None:
        """Close it."""
        self._ledger.close()


class SqliteStore:
    """SQLite: WAL, synchronous FULL, one index: what a careful engineer would set up."""

    def __init__(self, folder: Path) -> None:
        self._db = sqlite3.connect(folder / "bench.db", isolation_level=None)
        self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;")
        self._db.execute("CREATE TABLE record (seq INTEGER PRIMARY KEY, route INTEGER, wall_ns INTEGER, body BLOB)")
        self._db.execute("CREATE INDEX record_route ON record (route, wall_ns)")
        self._seq = 0

    def commit(self, bodies: list[bytes]) -> None:
        """Insert in one transaction."""
        self._db.execute("BEGIN")
        rows = [(1, self._seq + place, body) for place, body in enumerate(bodies)]
        self._db.executemany("INSERT INTO record (route, wall_ns, body) VALUES (?, ?, ?)", rows)
        self._db.execute("COMMIT")
        self._seq += len(bodies)

    def close(self) -> None:
        """Close it."""
        self._db.close()


class JsonLinesStore:
    """A file of JSON lines, each with the SHA-256 of itself and the line before, synced."""

    def __init__(self, folder: Path) -> None:
        self._fd = os.open(folder / "bench.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._seq = 0
        self._last = "0" * 64

    def commit(self, bodies: list[bytes]) -> None:
        """Append lines and sync."""
        lines = []
        for body in bodies:
            self._seq += 1
            record = {"seq": self._seq, "route": ROUTE, "body": base64.b64encode(body).decode(), "prev": self._last}
            line = json.dumps(record)
            self._last = hashlib.sha256(line.encode()).hexdigest()
            lines.append(line)
        os.write(self._fd, ("\n".join(lines) + "\n").encode())
        os.fsync(self._fd)

    def close(self) -> None:
        """Close it."""
        os.close(self._fd)


class LmdbStore:
    """LMDB with its default, synchronous, commits."""

    def __init__(self, folder: Path) -> None:
        import lmdb

        self._db = lmdb.open(str(folder / "lmdb"), map_size=1 << 30)
        self._seq = 0

    def commit(self, bodies: list[bytes]) -> None:
        """Put in one transaction."""
        with self._db.begin(write=True) as transaction:
            for body in bodies:
                self._seq += 1
                transaction.put(struct.pack(">Q", self._seq), body, append=True)

    def close(self) -> None:
        """Close it."""
        self._db.close()


STORES: dict[str, type[Store]] = {
    "ours": OurStore,
    "sqlite": SqliteStore,
    "jsonl": JsonLinesStore,
    "lmdb": LmdbStore,
}
