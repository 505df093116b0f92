"""What a device is ordered: the setpoints of its profile in the bytes that it hears, as numbers and names. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from gateway.frame import Address
from gateway.profile.build import CompiledProfile
from gateway.profile.model import SetpointSpec
from gateway.profile.setpoint_wire import Part, Piece, piece_of
from gateway.schema.compile import compile_message
from gateway.schema.filling import bits_of, leaves_of
from gateway.schema.layout import Leaf, layout_of
from gateway.schema.match import tests_of
from gateway.schema.plan import MessagePlan, Refused, values_of

REGISTER_BYTES: Final = {"uart": 2, "spi": 1}  # of Modbus, and of a chip


class Told(NamedTuple):
    """One setpoint that the device is ordered."""

    name: str
    spec: SetpointSpec
    value: Any
    values: Mapping[str, Any]  # all that the same bytes say
    facts: Mapping[str, Any]  # those, and internal fields as raw numbers

    @property
    def written(self) -> tuple[str, str]:
        """The message and the field in which the order stands."""
        message, _, field = self.spec.write.partition(".")
        return message, field

    @property
    def reported(self) -> tuple[str, str] | None:
        """The message and the field that report what became of it."""
        if self.spec.report is None:
            return None
        message, _, field = self.spec.report.partition(".")
        return message, field


class Orders:
    """Reads orders out of whole messages, of registers, and of coils."""

    def __init__(self, profile: CompiledProfile) -> None:
        self._profile = profile
        self._setpoints = profile.profile.setpoint
        self._pieces: dict[str, Piece] = {}
        self._plans: dict[str, MessagePlan] = {}
        for name, spec in self._setpoints.items():
            message, _, field = spec.write.partition(".")
            piece = self._pieces[name] = piece_of(profile.profile, message, field)
            is_whole = piece.part == "message"
            self._plans[name] = profile.messages[message] if is_whole else compile_message(message, piece.spec)

    def in_message(self, body: bytes, address: Address) -> list[Told]:
        """Return what a whole message orders."""
        found = []
        for name, _ in self._of("message"):
            spec = self._profile.profile.message[self._setpoints[name].write.partition(".")[0]]
            if all(test(body, address) for test in tests_of(spec)):
                found += self._read(name, body)
        return found

    def in_registers(self, start: int, data: bytes) -> list[Told]:
        """Return what data for the registers from `start` on order; `start` as it is on the wire."""
        link, found = self._profile.profile.link, []
        for name, piece in self._of("registers"):
            first = piece.start & link.write_mask if link.bus == "spi" else piece.start
            at = (first - start) * REGISTER_BYTES[link.bus]
            size = _whole(piece).fixed_size or 0
            if at >= 0 and at + size <= len(data):
                found += self._read(name, data[at : at + size])
        return found

    def in_coils(self, start: int, quantity: int, data: bytes) -> list[Told]:
        """Return what states for the coils from `start` on order; eight to a byte, the first in bit 0."""
        states, found = int.from_bytes(data, "little"), []
        for name, piece in self._of("coils"):
            whole = _whole(piece)
            leaf = leaves_of(piece.spec)[self._setpoints[name].write.partition(".")[2]][0]
            width = bits_of(leaf) if leaf.kind == "bit" else 1
            at = piece.start - start
            if at >= 0 and at + width <= quantity:
                number = (states >> at & ((1 << width) - 1)) << leaf.shift
                found += self._read(name, number.to_bytes(whole.size or 1, whole.order))
        return found

    def _of(self, part: Part) -> Iterator[tuple[str, Piece]]:
        return ((name, piece) for name, piece in self._pieces.items() if piece.part == part)

    def _read(self, name: str, body: bytes) -> list[Told]:
        plan, spec = self._plans[name], self._setpoints[name]
        try:
            values = values_of(plan, plan.decode(body))
            facts = {**plan.decode_raw(body), **values}
        except Refused:
            return []
        value = facts.get(spec.write.partition(".")[2])
        return [] if value is None else [Told(name, spec, value, values, facts)]


def _whole(piece: Piece) -> Leaf:
    """Return the field that stands in a piece of registers or coils."""
    return layout_of(piece.spec).leaves[0]
