"""Layer 2: what every backend of the ledger promises, and the values it answers with. No storage here.

`gateway.ledger.Ledger` opens whichever backend lies in a folder: our own format (FORMAT.md) or SQLite.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Literal, Protocol, Self

import msgspec

from gateway.ledger.record import Gap, Record

NS: Final = 1_000_000_000
DAY_NS: Final = 86_400 * NS
MIB: Final = 1 << 20

Verdict = Literal["intact", "declared", "damaged", "forged"]
EXIT_CODES: Final[dict[str, int]] = {"intact": 0, "declared": 1, "damaged": 2, "forged": 3}


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes are settled when a ledger is made and read from it afterwards; the rest may differ at each opening."""

    backend: Literal["ldg1", "sqlite"] = "ldg1"
    ring_bytes: int = 64 * MIB
    segment_bytes: int = 4 * MIB
    unit_bytes: int = 0  # what a commit is padded to; 0: 16384 on SD cards and eMMC, 4096 elsewhere
    is_small: bool = False  # everything together stays under 8 MiB
    window_ns: int = 5 * NS  # telemetry may wait so long in memory: what a power cut may take
    window_most_ns: int = 60 * NS  # the wear governor may widen the window up to this
    gather_ns: int = 20_000_000  # state may wait so long for company, in the gateway
    gather_most_ns: int = 30 * NS
    budget_bytes_per_day: int = 500_000_000  # of the medium; 0: no governor
    keep_ns: int = 30 * DAY_NS  # telemetry of routes that `keep` does not name
    keep: Mapping[str, int] = {}  # "owner/family/stream@variant" -> nanoseconds, for telemetry
    archive_bytes: int = 1024 * MIB  # of sealed history: beyond it the oldest telemetry goes, then the oldest of all
    sheds: bool = False  # True: while archiving lags, telemetry is refused and counted; False: appending waits
    archives_in_child: bool = False  # True: sealing runs in a child process of low priority
    tells_early: bool = False  # True: others hear of telemetry, by its number, before it is durable


class Head(msgspec.Struct, frozen=True):
    """The end of a ledger at one instant; kept elsewhere it proves later that nothing was taken off or changed."""

    seq: int
    head: str  # hex of the chain hash


class Damage(msgspec.Struct, frozen=True):
    """Something that should be there and is not, or is not what was written."""

    seq: int  # the first sequence number that is hurt; 0: none, for example a file that holds no records
    file: str
    offset: int
    reason: str


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What `verify --json` prints."""

    verdict: Verdict
    records: int  # readable
    first_seq: int  # 0: empty
    last_seq: int
    head: str
    damage: list[Damage]  # never empty for "damaged" and "forged"
    gaps: list[dict[str, Any]]  # {"from_seq", "to_seq", "reason", ...}: what records of kind gap and damage declare
    seconds: float
    tail: Damage | None = None  # bytes behind the last commit: a write that was cut, never acknowledged


Item = tuple[Any, ...]  # (kind, route, body[, class_[, cause]])


class Cursor(Protocol):
    """How far one consumer has come. Moved only over what is durable, and never back."""

    @property
    def seq(self) -> int:
        """Return the last sequence number that the consumer acknowledged; 0: none."""
        ...

    def read(self, at_most: int = 1000) -> list[Record | Gap]:
        """Return what comes next, durable records only."""
        ...

    def advance(self, seq: int) -> None:
        """Remember that everything up to `seq` was acknowledged; durable on return. Raises: CursorError."""
        ...


class LedgerLike(Protocol):
    """One ledger, open. Safe to use from several threads.

    `append` returns when a record is as safe as its class promises: `telemetry` when it is in memory (durable within
    the window), the others when they are on the medium.
    """

    def append(
        self, kind: str, route: str | None, body: Any, class_: str = "telemetry", cause: int | None = None
    ) -> int:
        """Return the sequence number. Raises: RecordError, LedgerReadOnlyError, LedgerStorageError."""
        ...

    def append_many(self, records: Iterable[Item]) -> range:
        """Return the sequence numbers, in order and without holes; one refused record refuses all."""
        ...

    def note_clock(self, quality: str) -> None:
        """Take how far the wall clock can be trusted from now on: "none", "rtc", "ntp" or "gps"."""
        ...

    def flush(self, seq: int | None = None) -> None:
        """Return when everything up to `seq` (None: all) is durable. Raises: LedgerStorageError."""
        ...

    @property
    def durable_seq(self) -> int:
        """Return the last sequence number that is on the medium; 0: none."""
        ...

    def read(self, from_seq: int = 1, *, durable_only: bool = False) -> Iterator[Record | Gap]:
        """Yield records in order, with a Gap where numbers are missing.

        What waits in memory is made durable first, and yielded too; with `durable_only` it goes on waiting.
        """
        ...

    def verify(self, *, deep: bool = False, against: Head | None = None) -> Verification:
        """Check everything, without changing anything."""
        ...

    def replay(self, until: int | None = None) -> Any:
        """Return the folded state (`gateway.ledger.fold.State`) up to and with sequence number `until`."""
        ...

    def cursor(self, name: str) -> Cursor:
        """Return where the consumer of that name stands."""
        ...

    def head(self) -> Head:
        """Return the end of what is durable."""
        ...

    def status(self) -> dict[str, Any]:
        """Return guarantees in force, wear, fill and damage: the part `ledger` of `status --json`."""
        ...

    def close(self) -> None:
        """Flush and let go; closing twice is fine."""
        ...

    def __enter__(self) -> Self:
        """Return itself."""
        ...

    def __exit__(self, *_: object) -> None:
        """Close it."""
        ...
