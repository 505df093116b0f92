"""Layer 3: layouts as the ledger keeps them, and readings decoded with the layout of their time. Opens nothing.

A `schema` record holds what decoding one message takes, so that its readings can be read when the profile has changed
or is gone. Its body, version 1, as JSON:

    version  1
    digest   hex of the SHA-256 of `layout` in JSON with sorted keys and no spaces; readings name its first 8 bytes
    message, profile   names, for people: the same layout of two versions of a profile is one schema
    units    UCUM code by value name
    layout   {message, specs: {name: MessageSpec as far as decoding needs it}, adjust: {value: [scale, offset]}}
             `specs` holds the message itself and, for a transform, every message whose values it takes
    packed   instead of `layout` where that is large, or has numbers that JSON lacks: hex of the zlib of that text, in
             which NaN and Infinity may stand
    part, parts   of a `packed` that takes several records, from 1; only the first tells units

What cannot be kept: the code behind `construct = "package.module:NAME"` and behind transforms that plugins bring.
Their readings need the same package; `Layout.missing` says which.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import structs

from gateway.errors import GatewayError, RecordError
from gateway.ledger.reading import SCHEMA_BYTES, Reading
from gateway.schema.compile import compile_message
from gateway.schema.plan import MessagePlan, Refused, Row
from gateway.schema.spec import AskSpec, MessageSpec
from gateway.schema.transformed import Memory
from gateway.taint import TRUST_ADJUSTED

VERSION: Final = 1
PART_BYTES: Final = 30_000  # of hex text in one record, whose body may have 32,768 bytes
MAX_UNPACKED_BYTES: Final = 32_000_000  # a schema record that claims more is damaged or hostile

Adjust = tuple[float, float]  # scale, offset: value * scale + offset
Transforms = Mapping[str, Callable[..., Any]]


class Layout(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What decoding one message takes."""

    message: str
    specs: dict[str, MessageSpec]
    adjust: dict[str, Adjust] = {}

    @property
    def needs(self) -> tuple[str, ...]:
        """Return the messages of the same device whose last payloads a transform takes, in the order to decode them."""
        return _taken_by(self.message, self.specs)[:-1]

    @property
    def missing(self) -> str:
        """Return what code this layout needs beside this program; "" for none."""
        found = []
        for spec in self.specs.values():
            if spec.construct is not None:
                found.append(f"construct object {spec.construct}")
            if spec.transform is not None and not _is_built_in(spec.transform.use):
                found.append(f"transform {spec.transform.use}")
        return ", ".join(found)


class Schema(NamedTuple):
    """One layout with its name and the bodies of its records."""

    digest: bytes
    bodies: tuple[dict[str, Any], ...]

    @property
    def key(self) -> bytes:
        """Return what readings call it."""
        return self.digest[:SCHEMA_BYTES]


def layout_of(message: str, specs: Mapping[str, MessageSpec], adjust: Mapping[str, Adjust] | None = None) -> Layout:
    """Return the layout of one message of a profile."""
    needed = {name: _decoding(specs[name]) for name in _taken_by(message, specs)}
    return Layout(message=message, specs=needed, adjust=dict(adjust or {}))


def schema_of(layout: Layout, plan: MessagePlan, profile: str) -> Schema:
    """Return the schema of a layout; `plan` tells names and units, `profile` is an id for people."""
    plain = msgspec.to_builtins(layout)
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")
    digest = sha256(text).digest()
    head = {
        "version": VERSION,
        "digest": digest.hex(),
        "message": layout.message,
        "profile": profile,
        "units": dict(zip(plan.names, plan.units, strict=True)),
    }
    if len(text) <= PART_BYTES // 2 and not _is_beyond_json(plain):
        return Schema(digest, ({**head, "layout": plain},))
    if len(msgspec.json.encode(head)) > PART_BYTES // 2:
        del head["units"]  # the layout has them too
    packed = zlib.compress(text, 9).hex()
    size = PART_BYTES // 2 if len(packed) > PART_BYTES // 2 else PART_BYTES
    pieces = [packed[at : at + size] for at in range(0, len(packed), size)]
    if len(pieces) == 1:
        return Schema(digest, ({**head, "packed": packed},))
    rest = {name: head[name] for name in ("version", "digest", "message", "profile")}
    return Schema(
        digest,
        tuple(
            {**(head if part == 1 else rest), "part": part, "parts": len(pieces), "packed": piece}
            for part, piece in enumerate(pieces, 1)
        ),
    )


def plan_of(body: Mapping[str, Any], transforms: Transforms | None = None) -> MessagePlan:
    """Return the plan that one `schema` record tells. Raises: RecordError for one that is none, or a part of several.

    It decodes what a payload tells by itself. `Recorded` adds what the site adjusts and what other messages said.
    """
    return Recorded(read_layout([body]), transforms).plan


def read_layout(bodies: Iterable[Mapping[str, Any]]) -> Layout:
    """Return the layout that the records of one schema tell, all parts in order. Raises: RecordError."""
    parts = list(bodies)
    try:
        if not parts or any(part["version"] != VERSION for part in parts):
            raise RecordError(f"a schema record of another version; this program reads version {VERSION}")
        if "layout" in parts[0]:
            layout = msgspec.convert(parts[0]["layout"], Layout, strict=True)
        else:
            if [part.get("part", 1) for part in parts] != list(range(1, parts[0].get("parts", 1) + 1)):
                raise RecordError(f"{len(parts)} of {parts[0].get('parts', 1)} parts of a schema")
            packed = bytes.fromhex("".join(part["packed"] for part in parts))
            layout = msgspec.convert(
                json.loads(_inflated(packed).decode("utf-8", "surrogatepass")), Layout, strict=True
            )
    except (KeyError, TypeError, ValueError, zlib.error) as error:
        raise RecordError(f"a schema record that cannot be read: {error}") from error
    if layout.message not in layout.specs:
        raise RecordError(f"a schema record without its own message {layout.message!r}")
    return layout


class Recorded:
    """One message as it was laid out when its readings were stored."""

    def __init__(self, layout: Layout, transforms: Transforms | None = None) -> None:
        """Compile it. Raises: RecordError where code is missing (`Layout.missing`) or the layout makes no sense.

        `transforms` are those that plugins bring.
        """
        self.layout = layout
        try:
            self._plans = {name: compile_message(name, spec, transforms or {}) for name, spec in layout.specs.items()}
        except (GatewayError, ValueError, ImportError) as error:
            hint = f" (it needs {layout.missing})" if layout.missing else ""
            raise RecordError(f"message {layout.message!r} cannot be decoded: {error}{hint}") from error
        self.plan: MessagePlan = self._plans[layout.message]
        self._places = [
            (self.plan.names.index(name), *change) for name, change in layout.adjust.items() if name in self.plan.names
        ]

    def row(self, payload: bytes, others: Mapping[str, bytes] | None = None) -> Row:
        """Return the row as it was: adjusted, and with what `others` said last, payloads by message name.

        Raises: Refused.
        """
        decode: Callable[[bytes], Row] = self.plan.decode
        if self.layout.needs:
            memory = Memory(self._plans, self.layout.specs)
            for name in self.layout.needs:
                if others is not None and name in others:
                    _remember(memory.decoder(name), others[name])
            decode = memory.decoder(self.layout.message)
        row = decode(payload)
        return adjusted(row, self._places) if self._places else row


class Schemas:
    """Every schema met while reading a ledger in order, and what each device's messages said last.

    Feed it the bodies of `schema` records and the readings in the order of the ledger.
    """

    def __init__(self, transforms: Transforms | None = None) -> None:
        """Start knowing none; `transforms` are those that plugins bring."""
        self._transforms = transforms
        self._parts: dict[str, list[Mapping[str, Any]]] = {}
        self._known: dict[bytes, Recorded | RecordError] = {}
        self._needed: set[str] = set()
        self._said: dict[str, dict[str, bytes]] = {}  # device -> message -> payload

    def learn(self, body: Mapping[str, Any]) -> None:
        """Take the body of a `schema` record; one that cannot be read is told when a reading needs it."""
        try:
            digest, parts = str(body["digest"]), int(body.get("parts", 1))
            key = bytes.fromhex(digest)[:SCHEMA_BYTES]
        except (KeyError, TypeError, ValueError):
            return
        if key in self._known:
            return
        if parts > 1:
            gathered = self._parts.setdefault(digest, [])
            if body.get("part") != len(gathered) + 1:
                return
            gathered.append(body)
            if len(gathered) < parts:
                return
        try:
            self._known[key] = recorded = Recorded(read_layout(self._parts.pop(digest, [body])), self._transforms)
            self._needed |= set(recorded.layout.needs)
        except RecordError as error:
            self._known[key] = error

    def knows(self, key: bytes) -> bool:
        """Return whether that schema was met whole."""
        return key in self._known

    def recorded(self, key: bytes) -> Recorded:
        """Return what decodes the readings that name `key`. Raises: RecordError where it was not met or cannot."""
        known = self._known.get(key)
        if known is None:
            raise RecordError(f"no schema {key.hex()} before this reading")
        if isinstance(known, RecordError):
            raise known
        return known

    def is_alone(self, recorded: Recorded) -> bool:
        """Return whether a payload tells everything: no other message takes part, and none takes what it says."""
        return not recorded.layout.needs and recorded.layout.message not in self._needed

    def remember(self, device: str, reading: Reading) -> None:
        """Take what a message said, as `decode` does, without decoding it. Raises: RecordError as `recorded` does."""
        message = self.recorded(reading.schema).layout.message
        if message in self._needed:
            self._said.setdefault(device, {})[message] = reading.payload

    def decode(self, device: str, reading: Reading) -> tuple[Recorded, Row]:
        """Return how a reading was laid out and its row, its taints joined. Raises: RecordError, Refused."""
        recorded = self.recorded(reading.schema)
        said = self._said.setdefault(device, {})
        row = recorded.row(reading.payload, said)
        if recorded.layout.message in self._needed:
            said[recorded.layout.message] = reading.payload
        return recorded, (*row[:-1], row[-1] | reading.taints)


def adjusted(row: Row, places: Iterable[tuple[int, float, float]]) -> Row:
    """Return a row with what the site adjusts: place, scale, offset."""
    changed = list(row)
    for place, scale, offset in places:
        value = changed[place]
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            changed[place] = value * scale + offset
            changed[-1] |= TRUST_ADJUSTED
    return tuple(changed)


def _taken_by(message: str, specs: Mapping[str, MessageSpec]) -> tuple[str, ...]:
    """Return a message behind all those that its transform takes, each behind what it takes itself."""
    order: list[str] = []
    seen: set[str] = set()

    def visit(name: str) -> None:
        if name in seen or name not in specs:
            return
        seen.add(name)
        transform = specs[name].transform
        for other in transform.with_ if transform is not None else ():
            visit(other)
        order.append(name)

    visit(message)
    return tuple(order)


def _remember(decode: Callable[[bytes], Row], payload: bytes) -> None:
    try:
        decode(payload)
    except Refused:
        return  # the memory holds what it held


def _decoding(spec: MessageSpec) -> MessageSpec:
    """Return a message without what only matching, asking and recording need."""
    ask = spec.ask
    registers = AskSpec() if ask is None else AskSpec(input=ask.input, holding=ask.holding)  # where they count from
    plain = MessageSpec(ask=None if registers == AskSpec() else registers)
    names = ("when", "direction", "family", "lane", "record", "ask", "every", "timeout", "attempts", "stale_after")
    changes = {name: getattr(plain, name) for name in (*names, "device_time", "dbc")}
    return structs.replace(spec, **changes)


def _is_beyond_json(plain: Any) -> bool:
    """Return whether NaN or infinity occur, which JSON has no words for."""
    try:
        json.dumps(plain, allow_nan=False)
    except ValueError:
        return True
    return False


def _inflated(packed: bytes) -> bytes:
    inflate = zlib.decompressobj()
    data = inflate.decompress(packed, MAX_UNPACKED_BYTES)
    if not inflate.eof:
        raise ValueError("it unpacks to more than a schema can have")
    return data


def _is_built_in(use: str) -> bool:
    from gateway.schema.transforms import BUILT_IN
    from gateway.schema.transforms_ble import BLE

    return use in BUILT_IN or use in BLE
