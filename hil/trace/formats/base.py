"""What a format of another program is to `convert`: it gives records with their own stamps, and takes records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, Protocol

from hil.trace.record import Header, Record

STRANGE_ID: Final = "ids of more than 11 bits that are not extended: they read as extended"
Facts = dict[str, dict[str, Any]]


class Import:
    """One reading of a file. `facts` (bus -> what the header says of it) and `told` are whole when it has ended."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.facts: Facts = {}
        self.told: list[str] = []  # lines for stderr
        self.is_damaged = False
        self.unread = 0  # lines that are kept as they are, though nothing can be read in them
        self.zero_ns: int | None = None  # from where the file's own stamps count, since 1970, where it says that

    def bus(self, name: str, protocol: str, **facts: Any) -> str:
        """Return the name, noted."""
        if name not in self.facts:
            self.facts[name] = {"protocol": protocol, **facts}
        return name


class Losses:
    """What a format could not hold: counted by kind."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.told: list[str] = []  # lines for stderr about what is not lost, but not as before

    def lose(self, record: Record) -> None:
        """Count a record that is not written; what was torn off was lost before."""
        if record.get("torn"):
            return
        what = record.dir if record.dir in ("fault", "note") else record.bus or "no bus"
        self.counts[f"{what} {record.kind}" if what != record.kind else what] += 1

    def lose_part(self, what: str) -> None:
        """Count a part of a record of which the rest is written."""
        self.counts[what] += 1


class Format(Protocol):
    """A format's module."""

    def records(self, reading: Import) -> Iterator[Record]:
        """Give a file's records; `t_ns` is since 1970, or since the file's start where it does not say.

        Raises: OSError; ForeignError for a file of another format.
        """

    def write(self, path: Path, header: Header, records: Iterable[Record], low_ns: int, losses: Losses) -> None:
        """Write records; `low_ns` is the lowest stamp among them. Raises: OSError."""
