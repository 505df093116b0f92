"""Layer 2: which message a frame is: the `when` facts of PROFILES 4, compiled. The first match in file order wins.

Facts only: constants inside a layout are the decoder's (`Refused("const")`), checks on the wire are the framer's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Final

from gateway.errors import EncodeError
from gateway.frame import CAN_ERROR, CAN_EXTENDED, CAN_ID_MASK, CAN_REMOTE, Address, Element, short_uuid
from gateway.schema.spec import SENTENCE_LETTERS, MessageSpec, WhenSpec

Matcher = Callable[[bytes, Address], str | None]
_Test = Callable[[bytes, Address], bool]

CAN_STANDARD_MAX: Final = 0x7FF


def build_matcher(messages: Mapping[str, MessageSpec]) -> Matcher:
    """Return a function from body and address to the message's name, or None for a frame that is no message.

    Messages that only go out, and those that are asked for without facts of their own, never match.
    """
    candidates = [
        (name, spec)
        for name, spec in messages.items()
        if spec.direction != "out" and not (spec.ask is not None and facts_of(spec) == WhenSpec())
    ]
    exact, rest = _split_by_can_id(candidates)
    if exact:
        return _by_can_id(exact, rest)
    if len(candidates) == 1 and facts_of(candidates[0][1]) == WhenSpec():
        only = candidates[0][0]
        return lambda _body, _address: only
    by_byte = _by_byte(candidates)
    if by_byte is not None:
        return by_byte
    return _by_pgn(candidates) or _in_order([(name, tests_of(spec)) for name, spec in candidates])


def tests_of(spec: MessageSpec) -> list[_Test]:
    """Return the tests behind one `when`, cheapest first; all must hold."""
    when = facts_of(spec)
    tests: list[_Test] = []
    if when.can_id is not None:
        tests.append(_can_id_test(when))
    if when.pgn is not None or when.source is not None:
        tests.append(_j1939_test(when.pgn, when.source))
    tests += _element_tests(when)
    if when.length is not None:
        tests.append(_length_test(when.length))
    tests += [_byte_test(int(position, 0), value) for position, value in (when.bytes or {}).items()]
    if when.sentence is not None:
        tests.append(_sentence_test(when.sentence.encode()))
    if when.has is not None:
        tests.append(_has_test(when.has, spec))
    return tests


def facts_of(spec: MessageSpec) -> WhenSpec:
    """Return `when`; a GATT value says itself which characteristic it was asked from, so that needs no `when`."""
    if spec.ask is not None and spec.ask.characteristic is not None and spec.when == WhenSpec():
        return WhenSpec(characteristic=spec.ask.characteristic)
    return spec.when


def body_seen(spec: MessageSpec, body: bytes, address: Address) -> bytes:
    """Return the body as the layout sees it: `manufacturer = "any"` puts the company id in front, little-endian."""
    if spec.when.manufacturer == "any" and isinstance(address, Element) and address.manufacturer is not None:
        return address.manufacturer.to_bytes(2, "little") + body
    return body


def apply_when(spec: MessageSpec, body: bytes) -> bytes:
    """Return `body` with the `bytes` facts written into it.

    Raises: EncodeError if a fact lies outside the body or its length is not the declared one.
    """
    when = spec.when
    if when.bytes:
        written = bytearray(body)
        for position, value in when.bytes.items():
            at = int(position, 0)
            if not -len(written) <= at < len(written):
                raise EncodeError(f"when.bytes names byte {at}, but the body has {len(written)}")
            written[at] = value
        body = bytes(written)
    if when.length is not None and not _length_test(when.length)(body, None):
        raise EncodeError(f"the body has {len(body)} bytes, `when.length` says {when.length}")
    return body


def length_bounds(length: int | str) -> tuple[int, int | None]:
    """Return the least and the most bytes of 24, "20..", "..8" or "4..8". Raises: ValueError."""
    if isinstance(length, int):
        return length, length
    low, dots, high = length.partition("..")
    if not dots:
        return int(low, 0), int(low, 0)
    return int(low, 0) if low.strip() else 0, int(high, 0) if high.strip() else None


def is_extended(when: WhenSpec) -> bool:
    """Return whether `when.can_id` means a 29-bit id."""
    return bool(when.extended) or (when.can_id or 0) > CAN_STANDARD_MAX


def _in_order(candidates: list[tuple[str, list[_Test]]]) -> Matcher:
    def match(body: bytes, address: Address) -> str | None:
        for name, tests in candidates:
            for test in tests:
                if not test(body, address):
                    break
            else:
                return name
        return None

    return match


def _split_by_can_id(
    candidates: list[tuple[str, MessageSpec]],
) -> tuple[dict[int, list[tuple[int, str, MessageSpec]]], list[tuple[int, str, MessageSpec]]]:
    exact: dict[int, list[tuple[int, str, MessageSpec]]] = {}
    rest: list[tuple[int, str, MessageSpec]] = []
    for position, (name, spec) in enumerate(candidates):
        when = spec.when
        if when.can_id is not None and when.can_mask is None:
            key = when.can_id | CAN_EXTENDED if is_extended(when) else when.can_id
            exact.setdefault(key, []).append((position, name, spec))
        else:
            rest.append((position, name, spec))
    return exact, rest


def _by_can_id(
    exact: dict[int, list[tuple[int, str, MessageSpec]]], rest: list[tuple[int, str, MessageSpec]]
) -> Matcher:
    plain: dict[Address, str] = {}  # ids that decide alone
    mixed: dict[Address, Matcher] = {}
    for key, entries in exact.items():
        merged = sorted([*entries, *rest], key=lambda entry: entry[0])
        first = merged[0]
        if first in entries and len(tests_of(first[2])) == 1:
            plain[key] = first[1]
        else:
            mixed[key] = _in_order([(name, tests_of(spec)) for _, name, spec in merged])
    others = _in_order([(name, tests_of(spec)) for _, name, spec in rest])
    if not mixed and not rest:
        return lambda _body, address: plain.get(address)

    def match(body: bytes, address: Address) -> str | None:
        name = plain.get(address)
        return name if name is not None else mixed.get(address, others)(body, address)

    return match


def _by_byte(candidates: list[tuple[str, MessageSpec]]) -> Matcher | None:
    """Return a table look-up where every message is told by the value of one and the same byte."""
    positions = {
        tuple(int(position, 0) for position in spec.when.bytes or {}): len(tests_of(spec)) for _, spec in candidates
    }
    if len(positions) != 1:
        return None
    ((position, tests),) = positions.items()
    if len(position) != 1 or tests != 1 or position[0] < 0:
        return None
    at = position[0]
    table: dict[int, str] = {}
    for name, spec in candidates:
        for value in (spec.when.bytes or {}).values():
            table.setdefault(value, name)
    return lambda body, _address: table.get(body[at]) if len(body) > at else None


def _by_pgn(candidates: list[tuple[str, MessageSpec]]) -> Matcher | None:
    """Return a look-up by parameter group where every message names one."""
    groups: dict[int | None, list[tuple[str, list[_Test]]]] = {}
    for name, spec in candidates:
        groups.setdefault(facts_of(spec).pgn, []).append((name, tests_of(spec)))
    if len(groups) < 2 or None in groups:
        return None
    matchers = {pgn: _in_order(entries) for pgn, entries in groups.items()}

    def match(body: bytes, address: Address) -> str | None:
        matcher = matchers.get(_group_of(address))
        return None if matcher is None else matcher(body, address)

    return match


def _group_of(address: Address) -> int | None:
    """Return the parameter group number of a 29-bit id (SAE J1939-21), None for any other address."""
    if not isinstance(address, int) or address & (CAN_EXTENDED | CAN_REMOTE | CAN_ERROR) != CAN_EXTENDED:
        return None
    heard = address >> 8 & 0x3FFFF  # data page, PDU format, PDU specific
    return heard & 0x3FF00 if heard & 0xFF00 < 0xF000 else heard  # PDU1: PDU specific is the destination


def _can_id_test(when: WhenSpec) -> _Test:
    flag = CAN_EXTENDED if is_extended(when) else 0
    mask = (CAN_ID_MASK if when.can_mask is None else when.can_mask) | CAN_EXTENDED | CAN_REMOTE | CAN_ERROR
    wanted = ((when.can_id or 0) | flag) & mask
    return lambda _body, address: isinstance(address, int) and address & mask == wanted


def _j1939_test(pgn: int | None, source: int | None) -> _Test:
    def test(_body: bytes, address: Address) -> bool:
        heard = _group_of(address)
        if heard is None or not isinstance(address, int):
            return False
        return (pgn is None or heard == pgn) and (source is None or address & 0xFF == source)

    return test


def _element_tests(when: WhenSpec) -> list[_Test]:
    tests: list[_Test] = []
    if when.manufacturer == "any":
        tests.append(lambda _body, address: isinstance(address, Element) and address.manufacturer is not None)
    elif when.manufacturer is not None:
        company = when.manufacturer
        tests.append(lambda _body, address: isinstance(address, Element) and address.manufacturer == company)
    if when.service is not None:
        service = short_uuid(when.service)
        tests.append(lambda _body, address: isinstance(address, Element) and address.service == service)
    if when.characteristic is not None:
        uuid = short_uuid(when.characteristic)
        tests.append(lambda _body, address: isinstance(address, Element) and address.characteristic == uuid)
    if when.name is not None:
        glob = when.name
        tests.append(
            lambda _body, address: (
                isinstance(address, Element) and address.name is not None and fnmatchcase(address.name, glob)
            )
        )
    return tests


def _length_test(length: int | str) -> _Test:
    low, high = length_bounds(length)
    if high is None:
        return lambda body, _address: len(body) >= low
    return lambda body, _address: low <= len(body) <= high


def _byte_test(position: int, value: int) -> _Test:
    return lambda body, _address: -len(body) <= position < len(body) and body[position] == value


def _sentence_test(formatter: bytes) -> _Test:
    def test(body: bytes, _address: Address) -> bool:
        talker_and_formatter = body[: body.find(b",")] if b"," in body else body
        # NMEA 0183: two letters of talker, three of formatter; "P" begins a proprietary address, which stands whole
        return (len(formatter) > SENTENCE_LETTERS and talker_and_formatter == formatter) or (
            len(talker_and_formatter) == 5
            and talker_and_formatter[:1] != b"P"
            and talker_and_formatter[2:] == formatter
        )

    return test


def _has_test(key: str, spec: MessageSpec) -> _Test:
    wire = key.encode()
    if spec.format == "obis":
        found = re.compile(rb"(?:^|[\r\n])" + re.escape(wire) + rb"\(").search
        return lambda body, _address: found(body) is not None
    from gateway.schema.text_places import latin, splitter_of  # not for those who only read bytes

    split, name = splitter_of(spec), latin(key)
    return lambda body, _address: wire in body and name in split(body.decode("latin-1"))
