"""Layer 2: what can be wrong with a `[framing]` table that its types do not show (PROFILES section 3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gateway.errors import UsageError
from gateway.framing.checks import check_of
from gateway.framing.layout import (
    CheckPlace,
    body_slice,
    check_place,
    default_body,
    shortest_frame,
    unsigned_type,
)
from gateway.framing.spec import (
    CheckSpec,
    Cobs,
    Fixed,
    FramingSpec,
    Gap,
    Hdlc,
    IsoTp,
    Length,
    Line,
    Nmea0183,
    Slip,
)
from gateway.notation import duration_ns

LARGEST_MAX: Final = 1 << 20  # bytes; what one port may hold back
_LARGEST_CAN_ID: Final = 0x1FFFFFFF
_SMALLEST_MAX: Final = {"nmea0183": 5, "dsmr-p1": 7, "ve-direct": 16, "modbus-rtu": 8}  # one frame of the kind

Found = Iterator[tuple[str, str]]


def framing_problems(spec: FramingSpec | None, *, whole: bool = True) -> list[tuple[str, str]]:
    """Return (key below `framing`, message) for everything wrong; a framing without any can be built.

    Not `whole`: some keys of `spec` are stand-ins for wrong ones, so that nothing can be said of how its parts fit.
    """
    if spec is None:
        return []
    problems = list(_max_problems(spec))
    match spec:
        case Length() | Fixed():
            problems += _layout_problems(spec, whole=whole)
        case Cobs() | Slip() | Gap() | Hdlc():
            problems += _last_check_problems(spec.check, spec.max)
    match spec:
        case Hdlc():
            problems += _hdlc_problems(spec)
        case Gap():
            problems += _silence_problems(spec)
        case Line():
            problems += _line_problems(spec)
        case Nmea0183():
            problems += _start_characters_problems(spec)
        case IsoTp():
            problems += _id_problems(spec)
    return problems


def _max_problems(spec: FramingSpec) -> Found:
    smallest = _SMALLEST_MAX.get(str(spec.__struct_config__.tag), 1)
    if not smallest <= spec.max <= LARGEST_MAX:
        yield "max", f"{spec.max} is outside {smallest}..{LARGEST_MAX} bytes"


def _hex_problems(key: str, text: str) -> Found:
    try:
        if not bytes.fromhex(text):
            yield key, "must have at least one byte"
    except ValueError:
        yield key, f"{text!r} is not hex; write pairs of hex digits, for example 'ff 01'"


def _check_problems(check: CheckSpec | None) -> Found:
    if check is None:
        return
    try:
        check_of(check.kind)
    except UsageError as error:
        yield "check.kind", str(error)
    if check.from_ < 0:
        yield "check.from", f"{check.from_} must count from the frame's first byte, 0"


def _last_check_problems(check: CheckSpec | None, max_bytes: int) -> Found:
    """Find what is wrong with a check in a kind whose check always stands last."""
    problems = list(_check_problems(check))
    yield from problems
    if check is None or problems:
        return
    size = check_of(check.kind).size
    if check.at not in {None, -size}:
        yield "check.at", f"{check.at} leaves bytes behind the check; here it is always last, leave `at` out"
    if check.from_ + size > max_bytes:
        yield "check.from", f"a check over bytes from {check.from_} does not fit into max = {max_bytes}"


def _hdlc_problems(spec: Hdlc) -> Found:
    if spec.fcs is not None and spec.check is not None:
        yield "fcs", "stands beside `check`; keep one of the two"
    if spec.check is None and (size := (spec.fcs or 16) // 8) > spec.max:
        yield "max", f"{spec.max} is less than the frame check sequence, {size} bytes"


def _silence_problems(spec: Gap) -> Found:
    try:
        if duration_ns(spec.silence) <= 0:
            yield "silence", "must be longer than nothing"
    except ValueError as error:
        yield "silence", str(error)


def _line_problems(spec: Line) -> Found:
    problems = list(_hex_problems("end", spec.end))
    yield from problems
    try:
        b"\n".decode(spec.encoding, "replace")
    except (LookupError, ValueError):
        yield "encoding", f"{spec.encoding!r} is no text encoding; write for example 'utf-8', 'latin-1', 'ascii'"
        return
    if problems:
        return
    try:
        bytes.fromhex(spec.end).decode(spec.encoding)
    except UnicodeError:
        yield "end", f"{spec.end!r} is no text in {spec.encoding}"


def _start_characters_problems(spec: Nmea0183) -> Found:
    if not spec.start or not all("!" <= char <= "~" and not char.isalnum() and char not in "*," for char in spec.start):
        yield "start", f"{spec.start!r} must be one or more marks of ASCII, none of them '*', ',' or alphanumeric"
    elif len(set(spec.start)) < len(spec.start):
        yield "start", f"{spec.start!r} names a mark twice"


def _id_problems(spec: IsoTp) -> Found:
    for key, can_id in (("tx", spec.tx), ("rx", spec.rx)):
        if not 0 <= can_id <= _LARGEST_CAN_ID:
            yield key, f"{can_id:#x} is no CAN id"
    if not 0 <= spec.mask <= _LARGEST_CAN_ID:
        yield "mask", f"{spec.mask:#x} does not fit the 29 bits of a CAN id"
    elif spec.tx == spec.rx:
        yield "rx", "must differ from `tx`"
    elif (spec.tx ^ spec.rx) & spec.mask == 0:
        yield "mask", f"{spec.mask:#x} leaves open the bits in which `tx` and `rx` differ"


def _layout_problems(spec: Length | Fixed, *, whole: bool) -> Found:
    problems = list(_hex_problems("start", spec.start)) if spec.start is not None else []
    problems += _check_problems(spec.check)
    if isinstance(spec, Length):
        problems += _length_field_problems(spec)
    elif not 1 <= spec.size <= min(spec.max, LARGEST_MAX):
        problems.append(("size", f"{spec.size} is outside 1..{spec.max} bytes (max)"))
    try:
        part = body_slice(spec.body) if spec.body is not None else None
    except UsageError as error:
        problems.append(("body", str(error)))
    yield from problems
    if problems or not whole:
        return
    start, check = bytes.fromhex(spec.start or ""), check_place(spec.check)
    part = part or default_body(start, check)
    if isinstance(spec, Length):
        yield from _sized_problems(spec, start, check, part)
    else:
        yield from _place_problems(spec, spec.size, start, check, part)


def _length_field_problems(spec: Length) -> Found:
    if spec.length.at < 0:
        yield "length.at", f"{spec.length.at} must count from the frame's first byte, 0"
    try:
        unsigned_type(spec.length.type)
    except UsageError as error:
        yield "length.type", str(error)


def _sized_problems(spec: Length, start: bytes, check: CheckPlace | None, part: tuple[int, int | None]) -> Found:
    if part[0] < 0 or (part[1] is not None and part[1] >= 0 and (check is None or part[1] != check.at)):
        yield "body", f"{spec.body!r} must begin at a place from the front and end at one from the back, as '4:-2'"
        return
    shortest = shortest_frame(start, spec.length, check, part)
    largest = 256 ** unsigned_type(spec.length.type).size - 1 + spec.length.adds
    if largest < shortest:
        yield "length.adds", f"the largest frame it can say has {largest} bytes; the shortest possible has {shortest}"
    if shortest > min(spec.max, LARGEST_MAX):
        yield "max", f"{spec.max} is less than the shortest frame, {shortest} bytes"
        return
    problems = list(_place_problems(spec, shortest, start, check, part))
    yield from problems or _place_problems(spec, shortest + 8, start, check, part)


def _place_problems(
    spec: Length | Fixed, size: int, start: bytes, check: CheckPlace | None, part: tuple[int, int | None]
) -> Found:
    """Find overlaps and gaps in a frame of `size` bytes: start + length + body + check must cover it."""
    taken = dict.fromkeys(range(len(start)), "start")
    if len(start) > size:
        yield "start", f"{len(start)} bytes do not fit into a frame of {size}"
    if isinstance(spec, Length):
        field = range(spec.length.at, spec.length.at + unsigned_type(spec.length.type).size)
        if not taken.keys().isdisjoint(field):
            yield "length.at", f"{spec.length.at} lies inside `start`"
        taken |= dict.fromkeys(field, "length")
    if check:
        key = "check.at" if check.at is not None else "check.kind"
        first = check.first(size)
        grows = isinstance(spec, Length) and (check.at is None or check.at < 0)  # an empty body may go unvouched
        field = range(first, first + check.size)
        if first < 0 or first + check.size > size:
            yield key, f"the check lies outside a frame of {size} bytes"
        elif hit := next((taken[byte] for byte in field if byte in taken), None):
            yield key, f"the check overlaps `{hit}`"
        elif check.start >= first + grows:
            yield "check.from", f"{check.start} leaves the check nothing to vouch for; it stands at {first}"
        taken |= dict.fromkeys(field, "check")
    if spec.body is not None and part[1] is not None and part[1] > size:
        yield "body", f"{spec.body!r} ends outside a frame of {size} bytes"
    covered = taken.keys() | range(size)[slice(*part)]
    bare = [byte for byte in range(size) if byte not in covered]
    if bare:
        key = "body" if spec.body is not None else "check.at"
        yield (
            key,
            f"byte {bare[0]} of a frame of {size} belongs to nothing; start, length, body and check must cover it",
        )
