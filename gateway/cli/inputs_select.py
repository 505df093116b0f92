"""Layer 9: from a profile and the options of `decode` to its items: which reader, which framing, whose address."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import PurePath
from typing import Final

from gateway.cli.inputs import Item, lines, stream_items, whole_items
from gateway.cli.inputs_lines import (
    can_address,
    can_text,
    hex_parser,
    jsonl_parser,
    line_items,
    parse_adv,
    parse_candump,
    parse_gatt,
)
from gateway.cli.inputs_wire import Window, flag_in_front, window_of
from gateway.errors import EncodeError, UsageError
from gateway.frame import Address, Element, Garbage
from gateway.framing.base import Framer
from gateway.framing.build import CanJoiner, build_joiner
from gateway.framing.isotp import receiving_id
from gateway.framing.spec import CAN_TRANSPORTS, IsoTp
from gateway.profile.build import CompiledProfile
from gateway.profile.model import LinkSpec
from gateway.schema.match import facts_of
from gateway.schema.spec import WhenSpec

FORMATS: Final = ("hex", "bin", "candump", "adv", "gatt", "jsonl", "modbus", "spi", "asc", "blf", "trc")
LOG_FORMATS: Final = frozenset({"asc", "blf", "trc"})  # other programs' CAN logs, read by the replay driver
_FORMAT_OF_SUFFIX: Final = {
    ".hex": "hex",
    ".bin": "bin",
    ".candump": "candump",
    ".jsonl": "jsonl",
    ".asc": "asc",
    ".blf": "blf",
    ".trc": "trc",
}
_FORMAT_OF_BUS: Final = {"uart": "bin", "can": "candump", "ble": "adv", "spi": "spi"}


def format_of(file: str, link: LinkSpec) -> str:
    """Return the format that a file's suffix names, else the usual one of the link's bus and mode."""
    usual = "gatt" if link.bus == "ble" and link.mode == "gatt" else _FORMAT_OF_BUS[link.bus]
    named = _FORMAT_OF_SUFFIX.get(PurePath(file).suffix.lower(), usual)
    return "spi" if named == "jsonl" and link.bus == "spi" else named


class Bodies:
    """How the bytes of a line or stream become bodies of this profile, and what address they have."""

    def __init__(self, compiled: CompiledProfile, *, payload: bool, address: str | None) -> None:
        """Take the profile; `payload`: bytes are bodies already; `address`: of input that has none.

        Under ISO-TP, bytes without an address are what its receiver hears.
        Raises: UsageError for an address that this bus does not have.
        """
        self.profile = compiled.profile
        self.bus = compiled.profile.link.bus
        self.framer: Framer | None = None
        self._window: Window | None = None
        self._flag_in_front = flag_in_front(compiled.profile.framing)
        framing = None if payload else compiled.profile.framing
        if framing is not None and not isinstance(framing, CAN_TRANSPORTS):
            self.framer = compiled.framer()
            self._window = window_of(framing)
        self.joiner = None if payload else joiner_of(compiled)
        self._compiled = compiled
        self._elements = list(_elements(compiled)) if self.bus == "ble" else []
        self.address_text, self.address = self.address_of(address)
        if address is None and isinstance(compiled.profile.framing, IsoTp):
            self.address = receiving_id(compiled.profile.framing)

    def address_of(self, text: str | None) -> tuple[str | None, Address]:
        """Return an address as it is written out, and as messages match it. Raises: UsageError."""
        if text is None:
            return None, None
        if self.bus == "can":
            number = can_address(text)
            return can_text(number), number
        if self.bus == "ble":
            return text.upper(), Element(text.upper())
        raise UsageError(f"bus {self.bus!r} has no addresses; leave {text!r} out")

    def split(self, data: bytes) -> list[bytes | Garbage]:
        """Return the bodies and garbage in `data`, which begins and ends with silence."""
        if self.framer is None:
            return [data]
        return [*self.feed(data), *self.framer.gap()]

    def feed(self, data: bytes) -> list[bytes | Garbage]:
        """Return what the next bytes of a stream complete."""
        assert self.framer is not None
        if self._window is not None:
            self._window.feed(data)
        return self.framer.feed(data)

    def wire(self, body: bytes) -> bytes:
        """Return the bytes that stood on the wire for a body: what refusing it refuses."""
        if self._window is not None:
            return self._window.wire(body)
        try:
            return body if self.framer is None else self.framer.encode(body)[self._flag_in_front :]
        except EncodeError:
            return body

    def as_element(self, item: Item) -> Item:
        """Return an item of BLE hex as the element it must have been: the first that a message takes it for."""
        t, text, address, body = item
        if isinstance(body, Garbage) or (isinstance(address, Element) and _says_what(address)):
            return item
        heard = text or ""
        for when in self._elements:
            element, rest = _element(when, heard, body)
            if self._compiled.match(rest, element) is not None:
                return t, text, element, rest
        return t, text, address, body


def items_of_hex(bodies: Bodies, data: bytes) -> Iterator[Item]:
    """Return the items of bytes given on the command line; none at all are a body too, where there is no framing."""
    found = ((None, bodies.address_text, bodies.address, body) for body in bodies.split(data))
    items = _elements_found(bodies, iter(found))
    return items if bodies.joiner is None else joined_items(items, bodies.joiner)


def items_of(bodies: Bodies, form: str, pieces: Iterable[bytes]) -> Iterator[Item]:
    """Return the items of an input in one of the formats that are bytes or lines. Raises: UsageError."""
    items = _single_items(bodies, form, pieces)
    return items if bodies.joiner is None else joined_items(items, bodies.joiner)


def joined_items(items: Iterable[Item], joiner: CanJoiner) -> Iterator[Item]:
    """Give the parameter groups in CAN frames, each at the time and with the id that its last frame completes it."""
    t, now_ns = None, 0
    for t, text, address, body in items:
        if isinstance(body, Garbage) or not isinstance(address, int):
            yield t, text, address, body
            continue
        now_ns = now_ns if t is None else int(t * 1e9)
        for whole in joiner.feed(address, body, now_ns):
            if isinstance(whole, Garbage):
                ours = whole.raw == body
                yield t, text if ours else None, address if ours else None, whole
            else:
                yield t, can_text(whole.can_id), whole.can_id, whole.payload
    for left in joiner.gap():
        if isinstance(left, Garbage):
            yield t, None, None, left


def joiner_of(compiled: CompiledProfile) -> CanJoiner | None:
    """Return what joins the CAN frames of this profile's transport, None where frames are whole."""
    messages = compiled.profile.message.values()
    fast = {spec.when.pgn for spec in messages if spec.when.fast and spec.when.pgn is not None}
    return build_joiner(compiled.profile.framing, fast)


def _single_items(bodies: Bodies, form: str, pieces: Iterable[bytes]) -> Iterator[Item]:
    if form == "bin":
        if bodies.framer is not None:
            return stream_items(pieces, bodies.feed, bodies.framer.gap)
        return _elements_found(bodies, whole_items(pieces, bodies.address_text, bodies.address))
    if form == "hex":
        parse = hex_parser(bodies.split, bodies.address_text, bodies.address)
        return _elements_found(bodies, line_items(lines(pieces), parse))
    if form == "jsonl":
        return _elements_found(bodies, line_items(lines(pieces), jsonl_parser(bodies.split, bodies.address_of)))
    parsers = {"adv": parse_adv, "gatt": parse_gatt, "candump": parse_candump}
    return line_items(lines(pieces), parsers[form])


def _elements_found(bodies: Bodies, items: Iterator[Item]) -> Iterator[Item]:
    return map(bodies.as_element, items) if bodies.bus == "ble" else items


def _elements(compiled: CompiledProfile) -> Iterator[WhenSpec]:
    seen = set()
    for spec in compiled.profile.message.values():
        when = facts_of(spec)
        key = (when.manufacturer, when.service, when.characteristic, when.name)
        if key not in seen and key != (None, None, None, None):
            seen.add(key)
            yield when


def _says_what(element: Element) -> bool:
    return (element.manufacturer, element.service, element.characteristic) != (None, None, None)


def _element(when: WhenSpec, address: str, body: bytes) -> tuple[Element, bytes]:
    manufacturer = when.manufacturer
    if manufacturer == "any":  # such a body begins with its company id (PROFILES 4)
        manufacturer, body = int.from_bytes(body[:2], "little"), body[2:]
    element = Element(
        address,
        name=when.name,
        manufacturer=manufacturer,
        service=when.service,
        characteristic=when.characteristic,
    )
    return element, body
