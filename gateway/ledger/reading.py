"""Layer 2: the body of a record of kind `reading`: one message of one device, as its bytes came. Pure.

Values are never stored: whoever reads decodes `payload` with the `schema` record that `schema` names
(`gateway.profile.recorded`). FORMAT.md: body of a reading, version 1, little-endian.

    off size
      0    1  version, 1; a reader refuses others
      1    1  flags: 1 taints, 2 extra, 4 spilled, 8 long sequence; others are 0 and refused
      2    8  schema: the first bytes of the SHA-256 that the schema record tells in full
     10    8  received, nanoseconds since 1970 as the machine believed when the bytes came; signed
     18    4  sequence of the message, from 1, low 32 bits; 0: not decoded yet when it was stored (spilled)
    [22    4] high 32 bits of the sequence, if long
    [      8] taint bits (gateway/taint.py), if any
    [    1+n] extra: a length and what beside the payload is needed for decoding; no message of today needs any
     then     payload, to the end of the body

The record's own time is when it was numbered; `received` is when the device spoke, and the one that is shown. A frame
that waited on the medium for room in its mailbox (policy `spill_to_store`) is a reading flagged `spilled`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from itertools import count
from typing import Final

import msgspec

from gateway.errors import RecordError

VERSION: Final = 1
SCHEMA_BYTES: Final = 8
MAX_EXTRA_BYTES: Final = 255

TAINTS: Final = 1
EXTRA: Final = 2
SPILLED: Final = 4
LONG: Final = 8

_HEAD: Final = struct.Struct("<BB8sqI")
_HIGH: Final = struct.Struct("<I")
_TAINTS: Final = struct.Struct("<Q")
_LOW: Final = 0xFFFF_FFFF


class Reading(msgspec.Struct, frozen=True, gc=False):
    """One message as it came."""

    schema: bytes  # SCHEMA_BYTES of the schema's digest
    sequence: int  # of the device's message; 0: it was not decoded yet
    wall_ns: int  # since 1970, when it came
    payload: bytes  # what the message's plan decodes
    taints: int = 0  # of the row that was made of it, and of what was not stored since the reading before
    extra: bytes = b""
    is_spilled: bool = False


def encode_reading(reading: Reading) -> bytes:
    """Return the body of a record. Raises: RecordError for an `extra` that is too long."""
    flags, parts = 0, []
    if reading.sequence > _LOW:
        flags |= LONG
        parts.append(_HIGH.pack(reading.sequence >> 32))
    if reading.taints:
        flags |= TAINTS
        parts.append(_TAINTS.pack(reading.taints))
    if reading.extra:
        if len(reading.extra) > MAX_EXTRA_BYTES:
            raise RecordError(f"{len(reading.extra)} bytes beside a payload; at most {MAX_EXTRA_BYTES}")
        flags |= EXTRA
        parts += [bytes([len(reading.extra)]), reading.extra]
    if reading.is_spilled:
        flags |= SPILLED
    head = _HEAD.pack(VERSION, flags, reading.schema, reading.wall_ns, reading.sequence & _LOW)
    return b"".join((head, *parts, reading.payload))


def encode_run(schema: bytes, first: int, walls: Iterable[int], payloads: list[bytes], taints: int = 0) -> list[bytes]:
    """Return the bodies of messages in a row, numbered from `first`, with the same taints and without extra.

    `walls` are their times, and may be endless. Equal to `encode_reading` of each, at a third of its cost.
    """
    if first + len(payloads) > _LOW:
        each = zip(count(first), walls, payloads, strict=False)
        return [encode_reading(Reading(schema, seq, wall_ns, payload, taints)) for seq, wall_ns, payload in each]
    pack, flags = _HEAD.pack, 0
    if taints:
        flags, marks = TAINTS, _TAINTS.pack(taints)
        payloads = [marks + payload for payload in payloads]
    return [
        pack(VERSION, flags, schema, wall_ns, sequence) + payload
        for sequence, wall_ns, payload in zip(count(first), walls, payloads, strict=False)
    ]


def decode_reading(body: bytes) -> Reading:
    """Return what the body of a record says. Raises: RecordError for a version or flags that this reader has not."""
    if len(body) < _HEAD.size:
        raise RecordError(f"a reading of {len(body)} bytes; the shortest has {_HEAD.size}")
    version, flags, schema, wall_ns, sequence = _HEAD.unpack_from(body)
    if version != VERSION or flags & ~(TAINTS | EXTRA | SPILLED | LONG):
        raise RecordError(f"a reading of version {version}, flags {flags:#x}; this program reads version {VERSION}")
    at, taints, extra = _HEAD.size, 0, b""
    try:
        if flags & LONG:
            sequence |= _HIGH.unpack_from(body, at)[0] << 32
            at += _HIGH.size
        if flags & TAINTS:
            (taints,) = _TAINTS.unpack_from(body, at)
            at += _TAINTS.size
        if flags & EXTRA:
            end = at + 1 + body[at]
            extra, at = body[at + 1 : end], end
    except (struct.error, IndexError) as error:
        raise RecordError("a reading that ends within its head") from error
    if at > len(body):
        raise RecordError("a reading that ends within its head")
    return Reading(schema, sequence, wall_ns, body[at:], taints, extra, bool(flags & SPILLED))
