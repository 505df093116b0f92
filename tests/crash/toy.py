"""A naive log, right in the small, with faults to plant: what the enumerator must find, it is shown here.

Segments of four units are pre-written, filled in turn, copied to an archive and used again; one frame is one unit.
`faults` names what is wrong: `no_sync`, `no_archive_sync`, `no_hot_sync`, `no_arc_sync`, `no_root_sync` (left out),
`recycles_live` (a segment is used again before its archive is written), `truncates` (nothing behind a hole is read).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any
from zlib import crc32

from gateway.clock import Clock
from gateway.errors import LedgerReadOnlyError, LedgerStorageError
from gateway.ledger.base import Verification
from gateway.ledger.record import Gap, Record, encode_body
from gateway.ledger.storage import Storage, StoredFile

UNIT, UNITS, SEGMENTS = 1024, 4, 3
SEGMENT = UNIT * UNITS
Frame = dict[str, Any]


class ToyLog:
    """One toy log."""

    def __init__(self, storage: Storage, clock: Clock, faults: frozenset[str] = frozenset()) -> None:
        self._storage, self._clock, self._faults = storage, clock, faults
        self._records: list[Record] = []
        self._gaps: list[Gap] = []
        self._waiting: list[Record] = []
        self._live: dict[str, list[Frame]] = {}  # segment -> its frames; in the order of use
        self._link, self._broken = 0, ""
        try:
            self._make()
            self._recover()
        except OSError as error:
            raise LedgerStorageError(error.errno or 0, str(error)) from error
        self.durable_seq = self._next_seq - 1

    @property
    def _next_seq(self) -> int:
        last = self._waiting[-1].seq if self._waiting else max((item.seq for item in self._records), default=0)
        return last + 1

    def _make(self) -> None:
        self._storage.make_folder("hot")
        self._storage.make_folder("arc")
        self._sync_names("", "no_root_sync")
        for number in range(SEGMENTS):
            name = f"hot/{number}.seg"
            if f"{number}.seg" not in self._storage.names("hot"):
                file = self._storage.open(f"{name}.tmp", create=True)
                file.write(bytes(SEGMENT), 0)
                file.sync()
                self._storage.rename(f"{name}.tmp", name)
        self._sync_names("hot", "no_hot_sync")

    def _sync(self, file: StoredFile, fault: str) -> None:
        if fault not in self._faults:
            file.sync()

    def _sync_names(self, folder: str, fault: str) -> None:
        if fault not in self._faults:
            self._storage.sync_folder(folder)

    def _recover(self) -> None:
        archived: list[Frame] = []
        for name in self._storage.names("arc"):
            if name.endswith(".arc"):
                file = self._storage.open(f"arc/{name}")
                archived += [frame for frame in self._frames(file.read(1 << 20, 0)) if frame is not None]
        self._storage.sync_folder("arc")
        top = archived[-1]["base"] if archived else 0
        found: list[tuple[int, str, list[Frame]]] = []
        for name in self._storage.names("hot"):
            if not name.endswith(".seg"):
                continue
            file = self._storage.open(f"hot/{name}")
            frames = self._newest(self._frames(file.read(SEGMENT, 0)))
            if frames and frames[0]["base"] > top:
                file.sync()
                found.append((frames[0]["base"], f"hot/{name}", frames))
        for _, name, frames in sorted(found):
            self._live[name] = frames
        holes = [*self._take(archived)]
        for frames in self._live.values():
            holes += self._take(frames)
        told = [(each.body["from_seq"], each.body["to_seq"]) for each in self._records if each.kind == "damage"]
        for from_seq, to_seq in holes:
            if (from_seq, to_seq) not in told:
                self.append("damage", None, {"from_seq": from_seq, "to_seq": to_seq, "reason": "gone"}, "state")

    def _newest(self, frames: list[Frame | None]) -> list[Frame]:
        """Return a segment's frames of its last use."""
        known = [frame for frame in frames if frame is not None]
        epoch = max((frame["epoch"] for frame in known), default=0)
        kept: list[Frame] = []
        for frame in frames:
            if frame is not None and frame["epoch"] == epoch and (not kept or frame["base"] > kept[-1]["base"]):
                kept.append(frame)
            elif "truncates" in self._faults:
                break
        return kept

    def _take(self, frames: list[Frame]) -> Iterator[tuple[int, int]]:
        for frame in frames:
            due = self._next_seq
            if frame["base"] < due:
                continue
            if frame["base"] > due:
                self._gaps.append(Gap(due, frame["base"] - 1, "gone"))
                yield due, frame["base"] - 1
            elif frame["link"] != self._link:
                break
            self._records += [Record(*each[:8], bytes.fromhex(each[8]), each[9]) for each in frame["records"]]
            self._link = frame["crc"]

    def _frames(self, data: bytes) -> list[Frame | None]:
        return [self._frame(data[at : at + UNIT]) for at in range(0, len(data), UNIT)]

    def _frame(self, unit: bytes) -> Frame | None:
        size = int.from_bytes(unit[4:6], "little")
        if not size or crc32(unit[4 : 6 + size]) != int.from_bytes(unit[:4], "little"):
            return None
        try:
            frame: Frame = json.loads(unit[6 : 6 + size])
        except ValueError:
            return None
        frame["crc"] = crc32(unit[4 : 6 + size])
        return frame

    def append(
        self, kind: str, route: str | None, body: Any, class_: str = "telemetry", cause: int | None = None
    ) -> int:
        return self.append_many([(kind, route, body, class_, cause)]).start

    def append_many(self, records: Iterable[Any]) -> range:
        if self._broken:
            raise LedgerReadOnlyError(self._broken)
        first, is_urgent = self._next_seq, False
        for kind, route, body, class_, cause in records:
            raw, flag = encode_body(body)
            record = Record(self._next_seq, 1, kind, route, class_, self._clock.wall_ns(), 0, cause, raw, bool(flag))
            self._waiting.append(record)
            is_urgent = is_urgent or class_ != "telemetry"
        end = self._next_seq
        if is_urgent:
            self.flush()
        return range(first, end)

    def flush(self, _seq: int | None = None) -> None:
        if self._broken:
            raise LedgerReadOnlyError(self._broken)
        try:
            while self._waiting:
                self._commit(self._waiting[:2])
        except OSError as error:
            self._broken = str(error)
            raise LedgerStorageError(error.errno or 0, str(error)) from error

    def _commit(self, records: list[Record]) -> None:
        if not self._live or self._live[next(reversed(self._live))][-1]["place"] == UNITS - 1:
            self._roll()
        name = next(reversed(self._live))
        frames = self._live[name]
        frame: Frame = {
            "base": records[0].seq,
            "epoch": frames[0]["epoch"],
            "link": self._link,
            "place": frames[-1]["place"] + 1,
            "records": [
                [
                    each.seq,
                    1,
                    each.kind,
                    each.route,
                    each.class_,
                    each.wall_ns,
                    0,
                    each.cause,
                    each.raw.hex(),
                    each.is_json,
                ]
                for each in records
            ],
        }
        payload = json.dumps(frame).encode()
        payload = len(payload).to_bytes(2, "little") + payload
        frame["crc"] = crc32(payload)
        file = self._storage.open(name)
        file.write((frame["crc"].to_bytes(4, "little") + payload).ljust(UNIT, b"\0"), frame["place"] * UNIT)
        self._sync(file, "no_sync")
        self._live[name] = [each for each in frames if "records" in each] + [frame]
        self._link = frame["crc"]
        self._records += records
        del self._waiting[: len(records)]
        self.durable_seq = records[-1].seq

    def _roll(self) -> None:
        epoch = max((frames[0]["epoch"] for frames in self._live.values()), default=0) + 1
        names = [f"hot/{number}.seg" for number in range(SEGMENTS)]
        free = [name for name in names if name not in self._live]
        late: list[tuple[str, bytes]] = []
        while self._live and len(free) < 2:  # the last free one stays so, but for a fault
            oldest = next(iter(self._live))
            data = self._storage.open(oldest).read(SEGMENT, 0)
            if "recycles_live" in self._faults:
                late.append((oldest, data))
                free = [oldest]
                break
            self._archive(oldest, data)
            free.append(oldest)
        self._storage.open(free[0]).write(bytes(SEGMENT), 0)
        for name, data in late:
            self._archive(name, data)
        self._live[free[0]] = [{"base": self._waiting[0].seq, "epoch": epoch, "place": -1}]

    def _archive(self, name: str, data: bytes) -> None:
        base = self._live[name][0]["base"]
        file = self._storage.open(f"arc/{base:06d}.tmp", create=True)
        file.write(data, 0)
        self._sync(file, "no_archive_sync")
        self._storage.rename(f"arc/{base:06d}.tmp", f"arc/{base:06d}.arc")
        self._sync_names("arc", "no_arc_sync")
        del self._live[name]

    def read(self, from_seq: int = 1) -> Iterator[Record | Gap]:
        items: list[Record | Gap] = [*self._records, *self._waiting, *self._gaps]
        return iter(sorted((item for item in items if item.seq >= from_seq), key=lambda item: item.seq))

    def verify(self, *, deep: bool = False) -> Verification:
        records = [*self._records, *self._waiting]
        return Verification(
            verdict="declared" if self._gaps else "intact",
            records=len(records),
            first_seq=records[0].seq if records else 0,
            last_seq=records[-1].seq if records else 0,
            head="",
            damage=[],
            gaps=[],
            seconds=0.0,
        )

    def close(self) -> None:
        self.flush()
