"""One record of a trace, and the header before the first. Pure."""

from __future__ import annotations

import json
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, Final

from gateway.errors import UsageError
from hil.trace.times import ns_of

VERSION: Final = 1
KEYS: Final = ("t_ns", "bus", "dir", "kind", "data")
DIRECTIONS: Final = frozenset({"rx", "tx", "fault", "note"})
HEADER_KEYS: Final = ("trace", "started", "seed", "buses")
_HEX: Final = re.compile(r"(?:[0-9a-f]{2})*").fullmatch


class _Line(ABC):
    """What stands in a line: its keys are attributes and items alike, and `dict()` takes it."""

    __slots__ = ()

    @abstractmethod
    def items(self) -> Iterator[tuple[str, Any]]:
        """Give keys and values in the order of the line."""

    def keys(self) -> list[str]:
        """Return the keys in the order of the line."""
        return [name for name, _ in self.items()]

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def get(self, key: str, default: Any = None) -> Any:
        """Return a key's value, or `default` where the line has no such key."""
        return next((value for name, value in self.items() if name == key), default)

    def __getitem__(self, key: str) -> Any:
        for name, value in self.items():
            if name == key:
                return value
        raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        return any(name == key for name, _ in self.items())

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Mapping):
            return dict(self.items()) == other
        return type(self) is type(other) and self.line() == other.line()

    def __hash__(self) -> int:
        return hash(self.line())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.items())})"

    def line(self) -> bytes:
        """Return the line as it stands in a file. Raises: ValueError for a value that JSON has no word for."""
        text = _ENCODE(dict(self.items()))
        return text.encode(errors="backslashreplace") + b"\n"  # half a surrogate pair as JSON's \udXXX


_ENCODE: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


class Record(_Line):
    """One thing that happened. Beside its five keys those of `extra`; `data` is hex, `payload` the bytes of it.

    `dir`: `rx` came from the device, `tx` was sent to it, `fault` struck, `note` was written by somebody.
    """

    __slots__ = ("bus", "data", "dir", "extra", "kind", "t_ns")

    def __init__(  # noqa: PLR0917 - in the order of a line
        self,
        t_ns: int,
        bus: str,
        dir: str,  # noqa: A002 - the key's name
        kind: str,
        data: str = "",
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self.t_ns = t_ns
        self.bus = bus
        self.dir = dir
        self.kind = kind
        self.data = data
        self.extra = extra or {}

    def __getattr__(self, name: str) -> Any:
        """Return what only some kinds have: `id`, `errors`, `text`."""
        try:
            return object.__getattribute__(self, "extra")[name]
        except KeyError:
            raise AttributeError(f"a {self.kind} record of {self.bus or 'no bus'} has no {name!r}") from None

    def get(self, key: str, default: Any = None) -> Any:
        """Return a key's value, or `default` where the line has no such key."""
        return getattr(self, key) if key in KEYS else self.extra.get(key, default)  # asked of each frame of a log

    @property
    def payload(self) -> bytes:
        """The bytes of `data`."""
        return bytes.fromhex(self.data)

    def items(self) -> Iterator[tuple[str, Any]]:
        """Give keys and values in the order of the line: the five, then the rest by name."""
        yield "t_ns", self.t_ns
        yield "bus", self.bus
        yield "dir", self.dir
        yield "kind", self.kind
        yield "data", self.data
        for name in sorted(self.extra):
            yield name, self.extra[name]


def make(t_ns: int, bus: str, dir: str, kind: str, data: bytes = b"", **extra: Any) -> Record:  # noqa: A002 - likewise
    """Return a record."""
    return Record(t_ns, bus, dir, kind, data.hex(), extra)


class Header(_Line):
    """The first line of a trace; `buses` says of each bus its protocol, and what else is known about it."""

    __slots__ = ("buses", "extra", "seed", "started", "trace")

    def __init__(
        self,
        trace: int,
        started: str,
        seed: int,
        buses: Mapping[str, Mapping[str, Any]],
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self.trace = trace
        self.started = started
        self.seed = seed
        self.buses = buses
        self.extra = extra or {}

    def items(self) -> Iterator[tuple[str, Any]]:
        """Give keys and values in the order of the line: the four, then the rest by name."""
        for name in HEADER_KEYS:
            yield name, getattr(self, name)
        for name in sorted(self.extra):
            yield name, self.extra[name]


def parse_record(line: bytes) -> Record:
    """Return the record of a line. Raises: ValueError saying what is wrong with it."""
    table = _table(line)
    missing = [key for key in KEYS if key not in table]
    if missing:
        raise ValueError(f"no record: it has no {missing[0]}")
    t_ns, bus, direction, kind, data = (table.pop(key) for key in KEYS)
    _need(type(t_ns) is int, "t_ns is no whole number")
    _need(isinstance(bus, str) and isinstance(kind, str), "bus and kind are text")
    _need(isinstance(direction, str) and direction in DIRECTIONS, "dir is one of rx, tx, fault, note")
    _need(isinstance(data, str) and _HEX(data) is not None, "data is lower-case hex, two digits a byte")
    return Record(t_ns, bus, direction, kind, data, table)


def parse_header(line: bytes) -> Header:
    """Return the header of a first line. Raises: ValueError saying why it is none."""
    no_trace = 'no trace: the first line is to be a header such as {"trace":1,...}'
    try:
        table = _table(line)
    except ValueError:
        raise ValueError(no_trace) from None
    version = table.pop("trace", None)
    _need(type(version) is int, no_trace)
    _need(version == VERSION, f"a trace of version {version}; this Tidegate reads version {VERSION}")
    started, seed, buses = table.pop("started", None), table.pop("seed", None), table.pop("buses", None)
    _need(isinstance(started, str), "header: started is to be a date and time as in ISO 8601")
    try:
        ns_of(started)
    except UsageError as error:
        raise ValueError(f"header: started: {error}") from None
    _need(type(seed) is int, "header: seed is to be a whole number")
    is_table = isinstance(buses, dict) and all(isinstance(facts, dict) for facts in buses.values())
    _need(is_table, 'header: buses is to be a table such as {"uart0":{"protocol":"uart"}}')
    return Header(version, started, seed, buses, table)


def _table(line: bytes) -> dict[str, Any]:
    try:
        table = _DECODE(line.decode())
    except (ValueError, RecursionError):
        raise ValueError("no JSON") from None
    _need(isinstance(table, dict), "no JSON object")
    result: dict[str, Any] = table
    return result


def _need(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _finite(number: str) -> float:
    value = float(number)
    _need(math.isfinite(value), "a number that is too great")
    return value


_DECODE: Final = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite).decode
