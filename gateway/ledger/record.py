"""Layer 2: one record of the ledger: kinds, classes, its bytes on disk and its leaf. Pure.

FORMAT.md section 4 is the contract. Where a record stands (segment, frame, archive) is not told here.

    [body length:2] [kind:1] [flags:1] [route:2] [dt_ms:2] [crc32c:4] [cause:8?] [seq offset:4?] [body]
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from hashlib import sha256
from struct import Struct
from typing import Any, Final, NamedTuple

import msgspec
from fastcrc.crc32 import iscsi as crc32c

from gateway.errors import RecordError

KINDS: Final = (
    "reading", "state", "desired", "reported", "effective", "command_intent", "command_sent", "command_result",
    "lifecycle", "boot", "clock", "profile", "schema", "route", "cursor", "gap", "damage", "snapshot", "denied",
    "grant", "wall", "job", "approval", "note",
)  # fmt: skip
"""On disk a kind is its place here, from 1. Never reordered; new ones at the end."""

CLASSES: Final = ("telemetry", "state", "command", "audit")
"""How safe a record is when it is acknowledged; on disk its place here, in two bits of the flags."""

MAX_BODY_BYTES: Final = 32_768
MAX_ROUTE_BYTES: Final = 255
MAX_DEPTH: Final = 256  # of JSON given as text: it is read wherever Python's stack happens to stand
NO_ROUTE: Final = 0xFFFF  # of a record that is about the whole gateway

CLASS_MASK: Final = 0x03
HAS_CAUSE: Final = 0x04
IS_JSON: Final = 0x08
REDACTABLE: Final = 0x10  # reserved: the body starts with its salt
COMPRESSED: Final = 0x20  # reserved
CRITICAL: Final = 0x40  # reserved: who does not know the kind must stop
HAS_OFFSET: Final = 0x80  # the sequence number is told: the frame was thinned
LEAF_FLAGS: Final = CLASS_MASK | HAS_CAUSE | IS_JSON | REDACTABLE | CRITICAL  # what no later copy of a record changes

DT_NS: Final = 1_000_000  # what dt_ms counts
HEAD: Final = Struct("<HBBHH")  # what the CRC covers first
CRC: Final = Struct("<I")
CAUSE: Final = Struct("<Q")
OFFSET: Final = Struct("<I")
HEAD_BYTES: Final = HEAD.size + CRC.size
LEAF: Final = Struct("<BQQBBQ32s")

KIND_CODES: Final = {kind: code for code, kind in enumerate(KINDS, start=1)}
CLASS_CODES: Final = {name: code for code, name in enumerate(CLASSES)}

_ROUTE: Final = re.compile(
    r"([a-z0-9][a-z0-9_-]*/){2}[a-z0-9][a-z0-9_-]*"
    r"(@(frame|payload|event|health|request|desired|reported|effective|ack|state|query))?"
)

_BRACKETS: Final = re.compile(rb'"(?:[^"\\]|\\.)*"?|[\[\]{}]', re.DOTALL)  # a whole string counts as none


class Record(msgspec.Struct, frozen=True, gc=False):
    """One durable fact."""

    seq: int  # from 1; rises strictly, may jump with a new incarnation
    incarnation: int
    kind: str  # of KINDS
    route: str | None  # None: about the whole gateway
    class_: str  # of CLASSES
    wall_ns: int  # as the machine believed; order is seq, never time
    boot_no: int
    cause: int | None  # the sequence number of the record that led to this one
    raw: bytes  # the body as stored
    is_json: bool

    @property
    def body(self) -> Any:
        """Return the body: what its JSON says, or the bytes."""
        return decode_json(self.raw) if self.is_json else self.raw


class Gap(msgspec.Struct, frozen=True, gc=False):
    """Where a reader meets sequence numbers that are not there: never silence. `kind` tells it from a record."""

    from_seq: int
    to_seq: int
    reason: str
    kind: str = "gap"

    @property
    def seq(self) -> int:
        """Return the first number that is missing, so that a stream of records and gaps is in order."""
        return self.from_seq


class Parsed(NamedTuple):
    """One record as it lies in a frame: whether its bytes are what was written is told, not raised."""

    kind: int
    flags: int
    route: int
    dt_ms: int
    cause: int
    offset: int | None  # of its sequence number from the frame's; None: its place in the frame
    body: bytes
    is_intact: bool


def check_route(text: str) -> bytes:
    """Return a route as it is stored. Raises: RecordError."""
    if len(text) > MAX_ROUTE_BYTES or not _ROUTE.fullmatch(text):
        raise RecordError(f"{text[:80]!r} is no route; write device/family/stream or device/family/stream@variant")
    return text.encode("ascii")


def encode_body(body: Any) -> tuple[bytes, int]:
    """Return a body as it is stored, and its flag: bytes as they are, everything else as JSON. Raises: RecordError.

    A `msgspec.Raw` is JSON already and stored letter for letter, once it is known that `decode_json` can read it.
    """
    if isinstance(body, (bytes, bytearray, memoryview)):
        raw, flag = bytes(body), 0
    elif isinstance(body, msgspec.Raw):
        raw, flag = bytes(body), IS_JSON
        if len(raw) <= MAX_BODY_BYTES:
            _check_json(raw)
    else:
        raw, flag = _json_of(body), IS_JSON
    if len(raw) > MAX_BODY_BYTES:
        raise RecordError(f"a body of {len(raw):,} bytes; a record holds at most {MAX_BODY_BYTES:,}")
    return raw, flag


def _json_of(body: Any) -> bytes:
    try:
        raw = msgspec.json.encode(body)
    except OverflowError:  # whole numbers beyond 64 bits
        raw = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise RecordError(f"a body that JSON cannot say: {error}") from error
    if (b"null" in raw or b"N" in raw) and not _is_finite(body):
        raise RecordError("a body with a number that JSON cannot say: NaN or infinity")
    return raw


def _is_finite(body: Any) -> bool:
    """Return whether no number in a body is NaN or infinite: the encoder writes those as null."""
    if isinstance(body, float):
        return math.isfinite(body)
    if isinstance(body, dict):
        return all(map(_is_finite, body.values()))
    return all(map(_is_finite, body)) if isinstance(body, list | tuple) else True


def _check_json(raw: bytes) -> None:
    """Refuse text that is no JSON, or JSON that some reader of it could not take. Raises: RecordError."""
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and _depth_of(raw) > MAX_DEPTH:
        raise RecordError(f"a body nested deeper than {MAX_DEPTH} levels")
    try:
        msgspec.json.decode(raw)
    except msgspec.ValidationError:  # numbers beyond a double, or of thousands of digits: valid, if it is JSON at all
        _check_slowly(raw)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"a body that is no JSON: {error}") from error


def _check_slowly(raw: bytes) -> None:
    try:
        msgspec.json.decode(raw, type=msgspec.Raw)  # the whole syntax, no numbers
        json.loads(raw.decode())
    except ValueError as error:
        raise RecordError(f"a body that is no JSON, or holds a number that cannot be read back: {error}") from error


def _depth_of(raw: bytes) -> int:
    """Return how deep brackets nest outside of strings."""
    deepest = depth = 0
    for bracket in _BRACKETS.finditer(raw):
        letter = bracket[0]
        if letter in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif letter in b"]}":
            depth -= 1
    return deepest


def decode_json(raw: bytes) -> Any:
    """Return what JSON says."""
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError:  # numbers and depths that only the slow reader takes
        return json.loads(raw)


def flags_of(kind: str, class_: str, cause: int | None, body_flag: int) -> tuple[int, int]:
    """Return a record's kind code and flags. Raises: RecordError."""
    code = KIND_CODES.get(kind)
    if code is None:
        raise RecordError(f"no kind {kind!r}; one of {', '.join(KINDS)}")
    number = CLASS_CODES.get(class_)
    if number is None:
        raise RecordError(f"no class {class_!r}; one of {', '.join(CLASSES)}")
    if cause is None:
        return code, number | body_flag
    if not 1 <= cause < 1 << 63:
        raise RecordError(f"cause {cause} is no sequence number; they start at 1")
    return code, number | body_flag | HAS_CAUSE


def encode_record(  # noqa: PLR0917 - in the order of the layout; called once a record, where names cost
    kind: int, flags: int, route: int, dt_ms: int, cause: int, body: bytes, offset: int | None = None
) -> bytes:
    """Return a record's bytes; `cause` 0: none."""
    extra = CAUSE.pack(cause) if flags & HAS_CAUSE else b""
    if offset is not None:
        flags |= HAS_OFFSET
        extra += OFFSET.pack(offset)
    head = HEAD.pack(len(body), kind, flags, route, dt_ms)
    rest = extra + body
    return head + CRC.pack(crc32c(head + rest)) + rest


def leaf_of(  # noqa: PLR0917 - in the order of the layout
    seq: int, wall_ns: int, kind: int, flags: int, cause: int, route_digest: bytes, body: bytes
) -> bytes:
    """Return what the hash chain takes of a record: nothing that an archive or a rewrite changes."""
    return sha256(LEAF.pack(0, seq, wall_ns, kind, flags & LEAF_FLAGS, cause, route_digest) + body).digest()


def parse_records(data: bytes, at: int, count: int) -> list[Parsed]:
    """Return up to `count` records from `at` on; fewer where a length that cannot be ends the reading."""
    found: list[Parsed] = []
    end = len(data)
    unpack, crc_at = HEAD.unpack_from, HEAD.size
    for _ in range(count):
        if at + HEAD_BYTES > end:
            break
        size, kind, flags, route, dt_ms = unpack(data, at)
        start = at + HEAD_BYTES
        cause, offset = 0, None
        if flags & (HAS_CAUSE | HAS_OFFSET):
            body_at = start + (8 if flags & HAS_CAUSE else 0) + (4 if flags & HAS_OFFSET else 0)
            if body_at + size > end:
                break
            if flags & HAS_CAUSE:
                (cause,) = CAUSE.unpack_from(data, start)
            if flags & HAS_OFFSET:
                (offset,) = OFFSET.unpack_from(data, body_at - OFFSET.size)
        else:
            body_at = start
            if body_at + size > end:
                break
        stop = body_at + size
        (told,) = CRC.unpack_from(data, at + crc_at)
        is_intact = crc32c(data[at : at + crc_at] + data[start:stop]) == told
        found.append(Parsed(kind, flags, route, dt_ms, cause, offset, data[body_at:stop], is_intact))
        at = stop
    return found


def leaves_in(
    data: bytes, at: int, count: int, *, base_seq: int, wall_ns: int, route_digests: Mapping[int, bytes]
) -> bytes | None:
    """Return the leaves of `count` records that fill `data` from `at` on, joined; None where any of them is hurt.

    What `parse_records` and `leaf_of` say, without a value for each record: verification rests on it.
    """
    leaves: list[bytes] = []
    add, unpack, unpack_crc, pack_leaf = leaves.append, HEAD.unpack_from, CRC.unpack_from, LEAF.pack
    end, crc_at = len(data), HEAD.size
    for seq in range(base_seq, base_seq + count):
        start = at + HEAD_BYTES
        if start > end:
            return None
        size, kind, flags, route, dt_ms = unpack(data, at)
        body_at = start + (8 if flags & HAS_CAUSE else 0) + (4 if flags & HAS_OFFSET else 0)
        stop = body_at + size
        if stop > end or route not in route_digests:
            return None
        if crc32c(data[at : at + crc_at] + data[start:stop]) != unpack_crc(data, at + crc_at)[0]:
            return None
        cause = CAUSE.unpack_from(data, start)[0] if flags & HAS_CAUSE else 0
        record_ns = wall_ns + dt_ms * DT_NS
        leaf = pack_leaf(0, seq, record_ns, kind, flags & LEAF_FLAGS, cause, route_digests[route])
        add(sha256(leaf + data[body_at:stop]).digest())
        at = stop
    return b"".join(leaves) if at == end else None
