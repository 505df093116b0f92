"""Layer 3: how the message of a setpoint reaches its device on each kind of link: whole, or the registers of one field.

UART: the framed body. Modbus: function 6 or 16 with the registers of the field, 5 or 15 with its coils. CAN: a frame
with the message's id, or a message for ISO-TP. SPI: the registers of the field, or the body clocked out. GATT: the
characteristic's value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, NamedTuple

from msgspec import structs

from gateway.errors import EncodeError
from gateway.frame import CAN_EXTENDED, Address, Element, short_uuid
from gateway.framing.isotp import flagged
from gateway.framing.modbus_pdu import (
    Question,
    coil_bytes,
    question_to_switch,
    question_to_write,
    write_of,
)
from gateway.framing.spec import J1939, IsoTp, ModbusRtu, Nmea2000
from gateway.framing.transport import can_id_of
from gateway.profile.build import CompiledProfile
from gateway.profile.model import Profile
from gateway.schema.filling import bits_of, leaves_of
from gateway.schema.layout import Leaf, fixed_places, layout_of, register_base
from gateway.schema.match import facts_of, is_extended
from gateway.schema.spec import FieldSpec, MessageSpec

DEFAULT_UNIT: Final = 1  # of a Modbus profile without parameter `unit`
MAX_CAN_BYTES: Final = 8
MAX_CAN_FD_BYTES: Final = 64

Part = Literal["message", "registers", "coils"]


class Write(NamedTuple):
    """What goes over the wire for one attempt."""

    data: bytes
    address: Address = None  # CAN id with linux/can.h flags; the Element of a characteristic
    question: Question | None = None  # Modbus: its answer tells whether the device took it
    by_isotp: bool = False  # `data` is a message of as many frames as it needs, `address` our id


class Piece(NamedTuple):
    """The part of a message that is written for one field."""

    part: Part
    spec: MessageSpec  # its layout: the message's own, or that of the field alone
    start: int = 0  # first register or coil


def piece_of(profile: Profile, message: str, field: str) -> Piece:
    """Return what a write of `field` sends. Raises: ValueError saying why that can never be sent."""
    spec = profile.message[message]
    if profile.link.bus == "ble":
        if profile.link.mode != "gatt" or facts_of(spec).characteristic is None:
            raise ValueError(f"message {message!r} has no `characteristic` that could be written")
    elif isinstance(profile.framing, ModbusRtu):
        return _modbus_piece(spec, message, field)
    elif profile.link.bus == "spi" and spec.ask is not None and spec.ask.register is not None:
        return _spi_piece(profile, spec, message, field)
    elif profile.link.bus == "can" and (_can_address(profile, spec) is None or spec.when.fast):
        raise ValueError(f"message {message!r} names no frame; give it a `can_id`, or a `pgn` with our `source`")
    return Piece("message", spec)


def _spi_piece(profile: Profile, spec: MessageSpec, message: str, field: str) -> Piece:
    assert spec.ask is not None
    assert spec.ask.register is not None
    whole, at = _place_of(spec, message, field)
    register = spec.ask.register + at
    if (register & ~profile.link.write_mask) >> 8:  # of the lowest byte it may clear bits: that is what it is for
        raise ValueError(f"`write_mask` {profile.link.write_mask:#x} would turn register {register:#x} into another")
    return Piece("registers", _alone(spec, whole), register)


def _modbus_piece(spec: MessageSpec, message: str, field: str) -> Piece:
    ask = spec.ask
    if ask is not None and (ask.input is not None or ask.discrete is not None):
        raise ValueError(f"message {message!r} reads what Modbus cannot write; ask `holding` or `coils`")
    whole, at = _place_of(spec, message, field)
    if ask is not None and ask.coils is not None:
        return Piece(
            "coils", _alone(spec, whole, only=field), ask.coils + _first_coil(whole, at, field, ask.count or 0)
        )
    size = whole.fixed_size or 0
    if at % 2 or size % 2 or not size:
        raise ValueError(f"{field!r} is {size} bytes at byte {at} of {message!r}; that is no whole registers")
    return Piece("registers", _alone(spec, whole), register_base(spec) + at // 2)


def _first_coil(whole: Leaf, at: int, field: str, count: int) -> int:
    """Return which coil of those asked for a field begins with."""
    bit = next((bit for bit in whole.bits if bit.name == field), None)
    if bit is None:
        if whole.kind != "bool" or count != 8 * at + 1:
            raise ValueError(f"{field!r} is no bit of a coil message; say which with `bits`")
        return 8 * at
    if whole.order == "little" or (whole.size or 1) == 1:
        return 8 * at + bit.shift
    if bit.width > 1:
        raise ValueError(f"{field!r} takes several coils; give it a little-endian type, the first coil is the lowest")
    return 8 * (at + (whole.size or 1) - 1 - bit.shift // 8) + bit.shift % 8


def _place_of(spec: MessageSpec, message: str, field: str) -> tuple[Leaf, int]:
    """Return the field that holds the bytes of `field`, and its first byte in the body."""
    for leaf, at in fixed_places(layout_of(spec)):
        if field == leaf.name or any(bit.name == field for bit in leaf.bits):
            return leaf, at
    raise ValueError(f"{field!r} has no fixed place in {message!r}, so its registers cannot be written alone")


def _alone(spec: MessageSpec, whole: Leaf, only: str | None = None) -> MessageSpec:
    """Return the layout of one field by itself, with all its bits or `only` one of them."""
    field = whole.spec
    assert isinstance(field, FieldSpec)
    bits = field.bits if only is None or field.bits is None else [bit for bit in field.bits if bit.name == only]
    return MessageSpec(fields=[structs.replace(field, at=None, register=None, bits=bits)], order=spec.order)


class Wire:
    """Turns built bodies of one setpoint's message into what its link sends."""

    def __init__(self, profile: CompiledProfile, message: str, field: str, piece: Piece) -> None:
        """Take where the setpoint writes, and the piece of it that goes out."""
        self._profile = profile
        self._spec = profile.profile.message[message]
        self._field = field
        self._piece = piece
        self.write: Callable[[bytes], Write] = self._sender()
        """From body to what goes out. Raises: EncodeError for a body that cannot be framed."""

    def _sender(self) -> Callable[[bytes], Write]:
        profile = self._profile.profile
        if isinstance(profile.framing, ModbusRtu):
            return self._coils if self._piece.part == "coils" else self._registers
        if profile.link.bus == "can":
            return self._can
        if profile.link.bus == "ble":
            uuid = short_uuid(facts_of(self._spec).characteristic or "")
            return lambda body: Write(body, Element("", characteristic=uuid))
        if profile.link.bus == "spi":
            if self._piece.part == "message":
                return Write
            transfers = self._profile.transfers()
            return lambda body: Write(transfers.write(self._piece.start, body))
        framer = self._profile.framer()
        return lambda body: Write(framer.encode(body))

    def _can(self, body: bytes) -> Write:
        profile = self._profile.profile
        by_isotp = isinstance(profile.framing, IsoTp)
        most = MAX_CAN_FD_BYTES if profile.link.fd else MAX_CAN_BYTES
        if not by_isotp and len(body) > most:
            raise EncodeError(f"the body has {len(body)} bytes, one frame of this bus {most}")
        return Write(body, _can_address(profile, self._spec), by_isotp=by_isotp)

    @property
    def _unit(self) -> int:
        unit = self._profile.profile.unit
        return DEFAULT_UNIT if unit is None else unit

    def _registers(self, body: bytes) -> Write:
        question = question_to_write(self._unit, self._piece.start, body)
        return Write(write_of(question, body), question=question)

    def _coils(self, body: bytes) -> Write:
        leaf = leaves_of(self._piece.spec)[self._field][0]
        whole = layout_of(self._piece.spec).leaves[0]
        number = int.from_bytes(body, whole.order) >> leaf.shift
        states = [bool(number >> place & 1) for place in range(bits_of(leaf) if leaf.kind == "bit" else 1)]
        question = question_to_switch(self._unit, self._piece.start, states)
        return Write(write_of(question, coil_bytes(states)), question=question)


def _can_address(profile: Profile, spec: MessageSpec) -> int | None:
    """Return the id that a message goes out with, linux/can.h flags included."""
    when = spec.when
    if when.can_id is not None:
        return when.can_id | (CAN_EXTENDED if is_extended(when) else 0)
    if isinstance(profile.framing, IsoTp):
        return flagged(profile.framing.tx)
    if isinstance(profile.framing, J1939 | Nmea2000) and when.pgn is not None and when.source is not None:
        return can_id_of(when.pgn, when.source)
    return None
