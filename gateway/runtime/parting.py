"""Layer 6: what a discovered device knows when it leaves, as one record keeps it, and back again. No I/O.

The record is the `lifecycle` record of its leaving: whatever comes after it on that route tells that the device is
there again. Values stand in it as they were told, not as bytes: the latest of a message need not be one that its
`[record]` rule kept, and none of its payload is left by then.
"""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple

import msgspec

from gateway.ledger.record import MAX_BODY_BYTES
from gateway.runtime.device import Device
from gateway.runtime.message import Message
from gateway.runtime.stubs import Numbers, Stub, packed, unpacked
from gateway.schema.plan import ABSENT, Row, values_of
from gateway.shadow.document import SetpointShadow

LEFT: Final = "evicted"  # the event of the record
STATES: Final = {"idle": "ABSENT", "made room": "DISCONNECTED"}  # by reason; otherwise the state in which it stands


class Said(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one message said last."""

    seq: int
    wall_ns: int
    mono_ns: int  # of the run that `Kept.boot` names
    values: dict[str, Any]  # without those that were absent
    units: list[str]  # parallel to `values`
    taints: int = 0
    boot: str | None = None  # of the run that heard it; None: the one that `Kept.boot` names


class Kept(msgspec.Struct, frozen=True, omit_defaults=True):
    """All that is known of a device."""

    boot: str
    first_seen_ns: int  # wall clock
    messages: dict[str, Said] = {}
    frames: tuple[int, int, int, int] = (0, 0, 0, 0)  # in, delivered, dropped, refused in this run
    shadow: dict[str, SetpointShadow] = {}


class Left(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of the record; of a device that is there the same without `kept`."""

    device: str
    state: str
    event: str
    reason: str
    attempt: int
    discovery: str = ""
    address: str = ""
    first_seen_ns: int = 0
    kept: Kept | None = None


class Known(NamedTuple):
    """A discovered device as the newest record of its lifecycle tells it."""

    discovery: str
    address: str
    name: str
    seq: int  # of that record, if it holds what the device knew when it left; 0: it had not left
    first_seen_ns: int  # wall clock
    sequences: dict[str, int]  # of its messages, when it left


class NotKeptError(ValueError):
    """A body that tells nothing of a device."""


class _Numbered(msgspec.Struct):
    seq: int


class _OutlineKept(msgspec.Struct):
    messages: dict[str, _Numbered] = {}


class _Outline(msgspec.Struct):
    """`Left` without the values: thousands are read at once."""

    device: str
    discovery: str
    address: str
    first_seen_ns: int
    kept: _OutlineKept | None = None


def kept_of(device: Device, boot: str, shadow: dict[str, SetpointShadow]) -> Kept:
    """Return all that a discovered device knows now."""
    origin = device.origin
    assert origin is not None
    messages = {
        message.name: _said(message, message.row) for message in device.all_messages() if message.row is not None
    }
    return Kept(boot, origin.first_seen_ns, messages, device.frames()[:4], shadow)


def body_of(device: Device, kept: Kept, reason: str) -> bytes:
    """Return the record of a device that leaves; one that does not fit into a record goes without its values."""
    origin, life = device.origin, device.lifecycle
    assert origin is not None
    state = STATES.get(reason, str(life.state))
    left = Left(
        device.name, state, LEFT, reason, life.attempt, origin.discovery, origin.address, kept.first_seen_ns, kept
    )
    raw = _encoded(left)
    if len(raw) > MAX_BODY_BYTES:
        raw = _encoded(msgspec.structs.replace(left, kept=msgspec.structs.replace(kept, messages={})))
    return raw


def left_from(raw: bytes) -> Left:
    """Return what a record of kind lifecycle tells of a device. Raises: NotKeptError."""
    try:
        return msgspec.json.decode(raw, type=Left)
    except msgspec.DecodeError as error:
        try:  # numbers beyond 64 bits
            return msgspec.convert(json.loads(raw), Left)
        except (ValueError, RecursionError):
            raise NotKeptError(f"tells of no device: {error}") from error


def known_from(raw: bytes, seq: int) -> Known | None:
    """Return what a stub takes of a record of kind lifecycle; None: it is of no discovered device."""
    if b'"discovery"' not in raw:
        return None
    try:
        told = msgspec.json.decode(raw, type=_Outline)
    except (msgspec.DecodeError, RecursionError):
        return None
    kept = told.kept
    sequences = {} if kept is None else {name: said.seq for name, said in kept.messages.items()}
    return Known(told.discovery, told.address, told.device, 0 if kept is None else seq, told.first_seen_ns, sequences)


def stub_of(device: Device, body: bytes | None = None) -> Stub:
    """Return what stays in memory of a device."""
    origin = device.origin
    assert origin is not None
    sequences = tuple(message.sequence for message in device.all_messages())
    numbers = packed(Numbers(origin.first_seen_ns, device.frames()[:4], sequences))
    return Stub(origin.address, device.name, numbers, body=body)


def number(device: Device, stub: Stub) -> None:
    """Let a device go on counting from where it left."""
    origin, numbers = device.origin, unpacked(stub.numbers)
    assert origin is not None
    origin.earlier = numbers.frames
    for message, sequence in zip(device.all_messages(), numbers.sequences, strict=False):
        message.sequence = sequence


def give_back(device: Device, kept: Kept, boot: str, now_ns: int, wall_ns: int, *, started_ns: int) -> None:
    """Give a device the values with which it left, where it has not said newer ones. `number` has been done.

    `boot` is this run's, which began at `started_ns`; times are monotonic but for `wall_ns`.
    """
    is_ours = kept.boot == boot
    for message in device.all_messages():
        said = kept.messages.get(message.name)
        if said is None or message.row is not None:
            continue
        if is_ours and said.boot is None:
            received_ns, runtime = said.mono_ns, None
        else:
            received_ns = now_ns - max(wall_ns - said.wall_ns, now_ns - started_ns)
            runtime = said.boot or kept.boot
        message.restore(_row(message, said), 0, said.wall_ns, received_ns, runtime)


def _said(message: Message, row: Row) -> Said:
    plan = message.plan
    values = values_of(plan, row)
    units = [unit for name, unit in zip(plan.names, plan.units, strict=True) if name in values]
    taints = row[-1] if message.is_restored else row[-1] | message.taints
    boot = message.runtime if message.is_restored else None
    return Said(message.sequence, message.wall_ns, message.received_ns, values, units, taints, boot)


def _row(message: Message, said: Said) -> Row:
    """Return values in the places of today's plan; one of another unit, or that was not there, is null."""
    units = dict(zip(said.values, said.units, strict=False))
    plan = message.plan
    values = [
        said.values[name] if units.get(name) == unit else (ABSENT if name not in said.values else None)
        for name, unit in zip(plan.names, plan.units, strict=True)
    ]
    return (*values, said.taints)


def _encoded(left: Left) -> bytes:
    try:
        return msgspec.json.encode(left)
    except OverflowError:  # whole numbers beyond 64 bits
        return json.dumps(msgspec.to_builtins(left), separators=(",", ":"), ensure_ascii=False).encode()
