"""One record of a trace, and the header before the first."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

KEYS: Final = ("t_ns", "bus", "dir", "kind", "data")


class Record:
    """One line. Its keys are attributes and items alike; `data` is hex, `payload` the bytes of it."""

    __slots__ = ("bus", "data", "dir", "extra", "kind", "t_ns")

    def __init__(self, t_ns: int, bus: str, dir: str, kind: str, data: str, extra: Mapping[str, Any]) -> None:  # noqa: A002, PLR0917 - in the order of a line
        self.t_ns = t_ns
        self.bus = bus
        self.dir = dir
        self.kind = kind
        self.data = data
        self.extra = extra

    @property
    def payload(self) -> bytes:
        """The bytes of `data`."""
        return bytes.fromhex(self.data)

    def line(self) -> bytes:
        """Return the record as it stands in a file."""
        first = {key: getattr(self, key) for key in KEYS}
        rest = {key: self.extra[key] for key in sorted(self.extra)}
        return json.dumps(first | rest, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def make(t_ns: int, bus: str, dir: str, kind: str, data: bytes = b"", **extra: Any) -> Record:  # noqa: A002 - likewise
    """Return a record."""
    return Record(t_ns, bus, dir, kind, data.hex(), extra)


class Header:
    """The first line of a trace."""

    def __init__(self, trace: int, started: str, seed: int, buses: Mapping[str, Mapping[str, Any]]) -> None:
        self.trace = trace
        self.started = started
        self.seed = seed
        self.buses = buses

    def line(self) -> bytes:
        """Return the header as it stands in a file."""
        facts = {"trace": self.trace, "started": self.started, "seed": self.seed, "buses": self.buses}
        return json.dumps(facts, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
