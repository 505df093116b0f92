"""How the messages of a profile go over a packet bus: CAN alone, in fast packets, by BAM; BLE. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

from gateway.errors import EncodeError
from gateway.frame import CAN_EXTENDED, Address, Element, short_uuid
from gateway.framing.isotp import flagged
from gateway.framing.spec import IsoTp
from gateway.framing.transport import can_id_of
from gateway.profile.build import CompiledProfile
from gateway.schema.match import facts_of, is_extended
from gateway.schema.spec import MessageSpec

CLASSIC_BYTES: Final = 8
SOURCE: Final = 0x21  # of a device whose profile takes any
ANY_COMPANY: Final = 0xFFFF  # whose data says the company as the first two bytes of the body
BAM_PGN: Final = 0xEC00  # J1939-21: TP.CM to everybody
DATA_PGN: Final = 0xEB00  # and TP.DT
BAM: Final = 0x20


class Said(NamedTuple):
    """What goes over the wire at once: a frame, or bytes of a stream."""

    payload: bytes
    address: Address = None


def can_address(profile: CompiledProfile, spec: MessageSpec) -> int | None:
    """Return the id that a device says a message with, linux/can.h flags included; None: the profile names none."""
    when, framing = spec.when, profile.profile.framing
    if when.can_id is not None:
        return when.can_id | (CAN_EXTENDED if is_extended(when) else 0)
    if isinstance(framing, IsoTp):
        return flagged(framing.rx)
    if when.pgn is not None:
        return can_id_of(when.pgn, SOURCE if when.source is None else when.source)
    return None


def can_frames(profile: CompiledProfile, spec: MessageSpec, body: bytes) -> list[Said]:
    """Return the frames of a message, in order. Raises: EncodeError for what no transport of the profile carries."""
    address = can_address(profile, spec)
    if address is None:
        raise EncodeError("its profile names no id")
    if spec.when.fast:
        return [Said(frame, address) for frame in _fast_packet(body)]
    if len(body) <= CLASSIC_BYTES or (profile.profile.link.fd and len(body) <= 64):
        return [Said(body, address)]
    if spec.when.pgn is not None:
        return _broadcast(spec.when.pgn, address & 0xFF, body)
    raise EncodeError(f"{len(body)} bytes are too long for a frame")


def element_of(spec: MessageSpec) -> Element:
    """Return which part of an advertisement, or which characteristic, carries a message."""
    when = facts_of(spec)
    return Element(
        "",
        name=when.name,
        manufacturer=ANY_COMPANY if when.manufacturer == "any" else when.manufacturer,
        service=None if when.service is None else short_uuid(when.service),
        characteristic=None if when.characteristic is None else short_uuid(when.characteristic),
    )


def _fast_packet(body: bytes) -> list[bytes]:
    """Return the frames of a fast packet: [sequence:3 bits] [frame:5 bits] [length:1, in the first] [data]."""
    first = bytes((0, len(body))) + body[:6]
    rest = [bytes((1 + at // 7,)) + body[6 + at : 13 + at] for at in range(0, len(body) - 6, 7)]
    return [frame.ljust(CLASSIC_BYTES, b"\xff") for frame in (first, *rest)]


def _broadcast(pgn: int, source: int, body: bytes) -> list[Said]:
    """Return the frames of J1939-21's broadcast announce message: [20] [size:2] [packets] [FF] [PGN:3]."""
    pieces = [body[at : at + 7].ljust(7, b"\xff") for at in range(0, len(body), 7)]
    head = bytes((BAM, *len(body).to_bytes(2, "little"), len(pieces), 0xFF)) + pgn.to_bytes(3, "little")
    data = [bytes((number,)) + piece for number, piece in enumerate(pieces, 1)]
    return [
        Said(head, can_id_of(BAM_PGN, source, priority=7)),
        *(Said(each, can_id_of(DATA_PGN, source, priority=7)) for each in data),
    ]
