"""Layer 3: how well a profile explains what is plugged in or heard: a score with reasons. Pure, and never certain.

A score is a share of 100: 90 and more is hardly chance, below 30 is hardly a sign. What a profile says in `link.match`
is an identity; what it finds in bytes by its own framing, matcher and layouts is a proof of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from gateway.frame import CAN_ERROR, CAN_REMOTE, Address, Element, Garbage
from gateway.framing.spec import DsmrP1, Hdlc, ModbusRtu, Nmea0183, VeDirect
from gateway.profile.build import CompiledProfile
from gateway.profile.model import LinkSpec, MatchSpec, Profile
from gateway.profile.usb import compared
from gateway.schema.plan import Refused, Row
from gateway.schema.spec import FieldSpec
from gateway.udev.identity import UsbIdentity

_CHECKED: Final = (Hdlc, Nmea0183, VeDirect, DsmrP1, ModbusRtu)  # framings that bring their own check
_OF_IDENTITY: Final = {"vid_pid": 60, "product": 75, "serial": 95}  # the most telling key that agrees counts
_OF_ADVERT: Final = {"manufacturer": 50, "service": 50, "name": 60}
_IDS_HEARD: Final = 80  # all of match.can_ids
_MOST: Final = 99  # nothing heard is proof
_ANSWERED: Final = 97  # a chip that gives its own id
_NAMED: Final = 75  # one whose answer has a name in the profile


class Score(NamedTuple):
    """How well one profile fits."""

    points: int  # 0..100
    reasons: list[str]  # a few words each, the strongest first


class Heard(NamedTuple):
    """One frame of a packet bus."""

    body: bytes
    address: Address


class Evidence(NamedTuple):
    """What is known of one port, or of one radio address."""

    bus: str
    usb: UsbIdentity | None = None
    stream: bytes = b""  # what a serial line said, at the profile's baud rate
    frames: tuple[Heard, ...] = ()  # what a bus said, an advertiser sent
    answers: Mapping[str, bytes] = {}  # body by message, of what was asked


def score(compiled: CompiledProfile, evidence: Evidence) -> Score:
    """Return how well a profile explains the evidence; 0 where it says nothing for it, or something against it."""
    link = compiled.profile.link
    if link.bus != evidence.bus:
        return Score(0, [f"it is for {link.bus}"])
    match link.bus:
        case "uart":
            parts = [_by_usb(link, evidence.usb), _by_stream(compiled, evidence.stream)]
        case "can":
            parts = [_by_ids(link, evidence.frames), _by_frames(compiled, evidence.frames)]
        case "ble":
            parts = [_by_advert(link, evidence.frames), _by_frames(compiled, evidence.frames)]
        case _:
            parts = [_by_answers(compiled, evidence.answers)]
    if link.bus in {"can", "ble"} and any(part.points < 0 for part in parts):
        return Score(0, [reason for part in parts if part.points < 0 for reason in part.reasons])
    parts = sorted((part for part in parts if part.points > 0), key=lambda part: -part.points)
    doubt = 1.0
    for part in parts:
        doubt *= 1 - part.points / 100
    points = min(_MOST, round(100 * (1 - doubt))) if parts else 0
    return Score(points, [reason for part in parts for reason in part.reasons])


def _by_usb(link: LinkSpec, plugged: UsbIdentity | None) -> Score:
    if link.match is None or plugged is None:
        return Score(0, [])
    agreed, differing = compared(link.match, plugged)
    if differing or not agreed:
        return Score(0, [])
    points = max(_OF_IDENTITY[key] for key in agreed)
    return Score(points, [" and ".join(f"{key} {getattr(link.match, key)}" for key in agreed)])


def _by_stream(compiled: CompiledProfile, stream: bytes) -> Score:
    """Score what the profile's own framing and layouts find in bytes of its line."""
    if not stream or compiled.profile.framing is None:
        return Score(0, [])
    framer = compiled.framer()
    bodies = [body for body in [*framer.feed(stream), *framer.gap()] if not isinstance(body, Garbage)]
    read = _Reader(compiled)
    known = sum(1 for body in bodies if read.message(body, None) is not None)
    if not known:
        return Score(0, [])
    account = framer.statistics()
    explained = account.frame_bytes / len(stream)
    framing = compiled.profile.framing
    is_vouched = getattr(framing, "check", None) is not None or isinstance(framing, _CHECKED)
    weight = 97 if is_vouched else 60
    points = round(weight * explained**0.5 * known / len(bodies) * _surety(known))
    sealed = "with right checksums" if is_vouched else "no checksum vouches"
    return Score(points, [f"{known} of {len(bodies)} frames are its messages, {sealed}"])


def _by_ids(link: LinkSpec, frames: Iterable[Heard]) -> Score:
    wanted = link.match.can_ids if link.match is not None else None
    if not wanted:
        return Score(0, [])
    heard = {frame.address & ~(CAN_ERROR | CAN_REMOTE) for frame in frames if isinstance(frame.address, int)}
    heard_plain = {can_id & 0x1FFFFFFF for can_id in heard}
    missing = [f"{can_id:#x}" for can_id in wanted if can_id not in heard_plain]
    if missing:
        return Score(-1, [f"{', '.join(missing)} was not heard"])
    return Score(_IDS_HEARD, [f"{', '.join(f'{can_id:#x}' for can_id in wanted)} heard"])


def _by_frames(compiled: CompiledProfile, frames: Iterable[Heard]) -> Score:
    """Score the share of distinct addresses whose frames are messages of the profile."""
    read = _Reader(compiled)
    kinds: dict[object, bool] = {}
    names: set[str] = set()
    for frame in frames:
        if isinstance(frame.address, int) and frame.address & (CAN_ERROR | CAN_REMOTE):
            continue
        kind = _kind_of(frame.address)
        name = read.message(frame.body, frame.address)
        kinds[kind] = kinds.get(kind, False) or name is not None
        names |= {name} if name is not None else set()
    known = sum(kinds.values())
    if not known:
        return Score(0, [])
    is_can = compiled.profile.link.bus == "can"
    points = 90 * (known / len(kinds)) ** 0.5 * (_surety(known) if is_can else 1)
    what = f"{known} of {len(kinds)} ids" if is_can else f"{known} of {len(kinds)} elements"
    return Score(round(points), [f"{what} are its messages: {_listed(names)}"])


def _by_advert(link: LinkSpec, frames: Iterable[Heard]) -> Score:
    if link.match is None:
        return Score(0, [])
    elements = [frame.address for frame in frames if isinstance(frame.address, Element)]
    wanted = {key: value for key in _OF_ADVERT if (value := getattr(link.match, key)) is not None}
    verdicts = {key: _agrees(key, value, elements) for key, value in wanted.items()}
    agreed = [key for key, verdict in verdicts.items() if verdict]
    differing = [key for key, verdict in verdicts.items() if verdict is False]
    if differing or not agreed:
        return Score(-1, [f"no {key} {_told(link.match, key)}" for key in differing or wanted])
    return Score(max(_OF_ADVERT[key] for key in agreed), [f"{key} {_told(link.match, key)}" for key in agreed])


def _agrees(key: str, value: object, elements: list[Element]) -> bool | None:
    """Return whether what was heard agrees; None where it does not say: names come late, listed services not at all."""
    said = [each for element in elements if (each := getattr(element, key)) is not None]
    if key == "name":
        return any(fnmatchcase(name, str(value)) for name in said) if said else None
    if value in said:
        return True
    return None if key == "service" else False


def _told(match: MatchSpec, key: str) -> str:
    value = getattr(match, key)
    return f"{value:#06x}" if isinstance(value, int) else str(value)


def identity_asks(profile: Profile) -> list[str]:
    """Return the messages that a profile asks for when it connects, before it writes anything: who is there."""
    found: list[str] = []
    for step in profile.lifecycle.connect:
        if step.ask is None:
            break
        found.append(step.ask)
    return found[:1]


def _by_answers(compiled: CompiledProfile, answers: Mapping[str, bytes]) -> Score:
    """Score a chip that was asked who it is: constants must be right, and what has names must have a known one."""
    read = _Reader(compiled)
    for name, body in answers.items():
        spec = compiled.profile.message.get(name)
        is_whole = spec is not None and spec.ask is not None and spec.ask.length in {None, len(body)}
        row = read.row(name, body) if is_whole else None
        if spec is None or row is None or None in row[:-1] or row[-1]:
            return Score(0, [])
        has_const = any(_has_const(field) for field in spec.fields or ())
        points = _ANSWERED if has_const else _NAMED
        return Score(points, [f"it answered as {name}: {body.hex(' ')}"])
    return Score(0, [])


def _has_const(field: FieldSpec) -> bool:
    return field.const is not None or any(bit.const is not None for bit in field.bits or ())


class _Reader:
    """Bodies to messages, whatever is wrong with them."""

    def __init__(self, compiled: CompiledProfile) -> None:
        self._compiled = compiled
        self._memory = compiled.memory()
        self._unsealer = compiled.unsealer()

    def message(self, body: bytes, address: Address) -> str | None:
        """Return the message that a body is, None where it is none or cannot be opened."""
        if self._unsealer is not None and isinstance(address, Element):
            opened = self._unsealer.open(body, address)
            if isinstance(opened, str):
                return None
            body = opened.body
        name = self._compiled.match(body, address)
        if name is None:
            return None
        seen = self._compiled.body_seen(name, body, address) if self._compiled.sees_company_id else body
        return name if self.row(name, seen) is not None else None

    def row(self, name: str, body: bytes) -> Row | None:
        """Return the values of a body as that message, None where it cannot be one."""
        try:
            return self._memory.decoder(name)(body)
        except Refused:
            return None


def _kind_of(address: Address) -> object:
    if isinstance(address, Element):
        return address.manufacturer, address.service
    return address


def _surety(count: int) -> float:
    """Return how little chance it is that so many agree."""
    return 1.0 - 0.5 ** min(count, 20)


def _listed(names: Iterable[str], most: int = 4) -> str:
    found = sorted(names)
    return ", ".join(found[:most]) + (f" and {len(found) - most} more" if len(found) > most else "")
