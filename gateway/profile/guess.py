"""Layer 3: which framing a capture of raw bytes probably has, with the evidence. Pure; nothing is certain here.

Every candidate is tried with the real framer on the sample: a proposal is what it found, not what it looks like.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from gateway.frame import Garbage
from gateway.framing.build import build_framer
from gateway.framing.checks import check_of, known_checks
from gateway.framing.rules import framing_problems
from gateway.framing.spec import (
    CheckSpec,
    Cobs,
    DsmrP1,
    Fixed,
    FramingSpec,
    Hdlc,
    Length,
    LengthField,
    Line,
    Nmea0183,
    Slip,
    VeDirect,
)

SAMPLE_BYTES: Final = 32_768  # seconds of a fast device; more tells nothing new
MAX_FRAME_BYTES: Final = 1024
_FEW_FRAMES: Final = 3  # below this, what repeats may be chance
_SURE_FRAMES: Final = 5
_START_CANDIDATES: Final = 12
_TYPES: Final = ("u8", "u16be", "u16le")
_PRINTABLE: Final = frozenset(b"\t\r\n" + bytes(range(0x20, 0x7F)))
_CHECKED: Final = (Hdlc, Nmea0183, VeDirect, DsmrP1)  # kinds that bring their own check
_UBX: Final = Length(
    start="b5 62",
    length=LengthField(at=4, type="u16le", adds=8),
    check=CheckSpec(kind="fletcher-8-pair", from_=2),
    body="2:-2",
    max=4096,
)


_Candidate = tuple[Length | Fixed, float, str]  # framing, weight, evidence


class Proposal(msgspec.Struct, frozen=True):
    """One framing that explains the sample, more or less."""

    framing: FramingSpec
    bodies: list[bytes]  # of the sample, in order
    explained: float  # share of the sample's bytes that stand in frames
    score: float  # 0..1: explained, weighed by how little chance could do it
    is_vouched: bool  # a checksum holds in every frame
    evidence: str  # one sentence

    @property
    def confidence(self) -> str:
        """Return high, medium or low. A check that holds is sure, though others may speak on the same line."""
        if self.is_vouched and len(self.bodies) >= _SURE_FRAMES:
            return "high"
        return "medium" if self.score >= 0.6 else "low"


def guess_framing(capture: bytes) -> list[Proposal]:
    """Return framings that find frames in `capture`, the most convincing first; none if nothing repeats."""
    sample = capture[:SAMPLE_BYTES]
    found = [*_presets(sample), *_delimited(sample), *_scanned(sample)]
    return sorted(found, key=lambda proposal: -proposal.score)


def tried(framing: FramingSpec, sample: bytes, weight: float, evidence: str) -> Proposal | None:
    """Return what `framing` finds in the sample, or None for fewer than two frames, or where it makes no sense."""
    if framing_problems(framing):
        return None
    framer = build_framer(framing)
    bodies = [body for body in [*framer.feed(sample), *framer.gap()] if not isinstance(body, Garbage)]
    if len(bodies) < 2 or not any(bodies):
        return None
    account = framer.statistics()
    explained = (account.frame_bytes + account.empty_bytes) / len(sample)
    told = f"{len(bodies)} frames, {explained:.0%} of {len(sample)} bytes: {evidence}"
    is_vouched = getattr(framing, "check", None) is not None or isinstance(framing, _CHECKED)
    return Proposal(framing, bodies, explained, explained * weight, is_vouched, told)


def _presets(sample: bytes) -> Iterator[Proposal]:
    known: list[tuple[FramingSpec, float, str]] = [
        (Nmea0183(), 1.0, "$ or !, text, '*' and its checksum, as NMEA 0183"),
        (VeDirect(), 1.0, "blocks of name, tab, value whose bytes sum up to 0, as VE.Direct"),
        (DsmrP1(), 1.0, "telegrams from '/' to '!' and CRC, as DSMR P1"),
        (_UBX, 1.0, "b5 62, little-endian length, 8-bit Fletcher check, as UBX"),
        (Hdlc(fcs=16), 1.0, "7e flags and a right FCS-16, as HDLC"),
        (Hdlc(fcs=32), 1.0, "7e flags and a right FCS-32, as HDLC"),
    ]
    for framing, weight, evidence in known:
        proposal = tried(framing, sample, weight, evidence)
        if proposal is not None:
            yield proposal


def _delimited(sample: bytes) -> Iterator[Proposal]:
    is_escaped = b"\xdb\xdc" in sample or b"\xdb\xdd" in sample  # what SLIP makes of its own marks
    kinds: list[tuple[type[Cobs | Slip], bytes, float]] = [
        (Cobs, b"\x00", 0.75),
        (Slip, b"\xc0", 0.73 if is_escaped else 0.65),
    ]
    for kind, delimiter, weight in kinds:
        if sample.count(delimiter) < 2:
            continue
        name = f"{delimiter.hex()} between frames, as {kind.__name__.upper()}"
        bare = tried(kind(), sample, weight, f"{name}; no check found")
        if bare is None:
            continue
        check = find_check(bare.bodies, starts=(0, 1))
        sealed = check and tried(kind(check=check), sample, 1.0, f"{name}, and {_told(check)} holds")
        yield sealed or bare
    printable = sum(1 for byte in sample if byte in _PRINTABLE) / max(len(sample), 1)
    if sample.count(b"\n") >= 2 and printable > 0.95:
        line = tried(Line(), sample, 0.8 * printable, "printable text in lines")
        if line is not None:
            yield line


def _scanned(sample: bytes) -> Iterator[Proposal]:
    for start, places in _starts(sample):
        steps = [after - before for before, after in itertools.pairwise(places)]
        candidates: list[_Candidate] = [*_fixed(start, steps), *_sized(start, places, steps, sample)]
        doubt = 0.03 if len(start) == 1 or start.endswith(b"\x00") else 0.0  # a zero is rather a length's high byte
        for framing, weight, evidence in candidates:
            bare = tried(framing, sample, weight * 0.75 - doubt, f"{evidence}; no check found")
            if bare is None or bare.explained < 0.2 or len(bare.bodies) < _FEW_FRAMES:
                continue
            yield _sealed(framing, sample, weight - doubt, evidence) or bare


def _starts(sample: bytes) -> Iterator[tuple[bytes, list[int]]]:
    """Give byte pairs and single bytes that occur often enough to begin frames, the most frequent first."""
    pairs = Counter(sample[at : at + 2] for at in range(len(sample) - 1)).most_common(_START_CANDIDATES)
    singles = Counter(sample[at : at + 1] for at in range(len(sample))).most_common(_START_CANDIDATES // 2)
    for start, count in [*pairs, *singles]:
        if count >= _FEW_FRAMES and start.strip(b"\x00\xff"):
            yield start, _places(sample, start)


def _places(sample: bytes, start: bytes) -> list[int]:
    places, at = [], sample.find(start)
    while at >= 0:
        places.append(at)
        at = sample.find(start, at + len(start))
    return places


def _fixed(start: bytes, steps: list[int]) -> Iterator[_Candidate]:
    for size, count in Counter(steps).most_common(1):
        if len(start) < size <= MAX_FRAME_BYTES and count * 2 >= len(steps):
            evidence = f"{start.hex(' ')} every {size} bytes, {count} of {len(steps)} times"
            yield Fixed(size=size, start=start.hex(" "), max=max(size, 16)), 0.95, evidence


def _sized(start: bytes, places: list[int], steps: list[int], sample: bytes) -> Iterator[_Candidate]:
    """Give length fields within four bytes of the start that tell where the next start stands."""
    for at in range(len(start), len(start) + 4):
        for kind in _TYPES:
            size, order = (1 if kind == "u8" else 2), _order(kind)
            values = [int.from_bytes(sample[place + at : place + at + size], order) for place in places]
            told = Counter(step - value for step, value in zip(steps, values, strict=False))
            ((adds, count),) = told.most_common(1) or [(0, 0)]
            if count * 3 < len(steps) or count < 2 or not 0 <= adds <= 16 or at + size > min(steps):
                continue
            right = {value for value, step in zip(values, steps, strict=False) if step - value == adds}
            if len(right) == 1 and max(right) <= adds:
                continue  # a constant that happens to fit
            begin, length = start, LengthField(at=at, type=kind, adds=adds)
            if kind == "u8" and at == len(start) > 1 and start.endswith(b"\x00"):  # the high byte of short frames
                begin, length = start[:-1], LengthField(at=at - 1, type="u16be", adds=adds)
            framing = Length(start=begin.hex(" "), length=length, body=f"{at + size}:", max=MAX_FRAME_BYTES)
            sizes = "of different sizes" if len(right) > 1 else "all of one size"
            place = f"size = {length.type} at byte {length.at} + {adds} in {count} of {len(steps)}"
            weight = (1.0 if len(right) > 1 else 0.97) - (0.01 if kind == "u8" else 0)
            yield framing, weight, f"{begin.hex(' ')}, {place}, {sizes}"


def _order(kind: str) -> Literal["big", "little"]:
    return "little" if kind.endswith("le") else "big"


def _sealed(framing: Length | Fixed, sample: bytes, weight: float, evidence: str) -> Proposal | None:
    whole = tried(msgspec.structs.replace(framing, body="0:"), sample, weight, evidence)
    if whole is None:
        return None
    for tail in (0, 1, 2) if isinstance(framing, Fixed) else (0,):
        check = find_check(whole.bodies, tuple(range(5)), tail)
        if check is None:
            continue
        first = framing.body.partition(":")[0] if framing.body else str(len(bytes.fromhex(framing.start or "")))
        behind = -check_of(check.kind).size if not tail else ""
        sealed = msgspec.structs.replace(framing, check=check, body=f"{first}:{behind}")
        proposal = tried(sealed, sample, weight, f"{evidence}, and {_told(check)} holds")
        if proposal is not None:
            return proposal
    return None


def find_check(frames: list[bytes], starts: tuple[int, ...], tail: int = 0) -> CheckSpec | None:
    """Return the checksum that stands before the last `tail` bytes of nine frames in ten, if any does.

    Few frames need a wide checksum, so that chance does not find one.
    """
    distinct = list(dict.fromkeys(frames))[:64]
    for size, least in ((4, 2), (2, 2), (1, 3)):
        usable = [frame for frame in distinct if len(frame) > size + tail + max(starts)]
        if len(usable) < least:
            continue
        for kind in _kinds_of(size):
            compute = check_of(kind).compute
            for first in starts:
                for order in ("big", "little") if size > 1 else ("big",):
                    good = 0
                    for tested, frame in enumerate(usable, 1):
                        end = len(frame) - size - tail
                        good += compute(frame[first:end]) == int.from_bytes(frame[end : end + size], order)
                        if good < tested * 0.9 - 1:
                            break
                    if good >= max(least, len(usable) * 0.9):
                        at = -size - tail if tail else None
                        return CheckSpec(kind=kind, from_=first, at=at, order=order)
    return None


def _kinds_of(size: int) -> list[str]:
    """Return the checksums of one size, the usual ones first."""
    usual = ("crc-16-modbus", "crc-16-ibm-3740", "crc-16-xmodem", "crc-32-iso-hdlc", "fletcher-8-pair", "crc-8-smbus")
    kinds = [kind for kind in known_checks() if check_of(kind).size == size]
    rare = ("sum-15",)  # holds wherever sum-16 does in small sums, and hardly anybody uses it
    return sorted(kinds, key=lambda kind: (kind.startswith("crc"), kind in rare, kind not in usual, kind))


def _told(check: CheckSpec) -> str:
    where = "at the end" if check.at is None else f"at byte {check.at}"
    order = ", low byte first" if check.order == "little" else ""
    return f"{check.kind} from byte {check.from_} {where}{order}"
