"""Layer 2: whether an answer comes from the device that a profile describes, from another one, or from nobody."""

from __future__ import annotations

from typing import Final

from gateway.schema.layout import Leaf, layout_of
from gateway.schema.plan import ABSENT, MessagePlan, Refused
from gateway.schema.spec import MessageSpec

_WHERE_TO_LOOK: Final = "check power, wiring and chip select"


def identity_fault(spec: MessageSpec, plan: MessagePlan, body: bytes) -> str | None:
    """Return why `body` is no answer to a message from the device of the profile; None: it may be one.

    A body of equal bits is a fault only where the message contradicts it, by a const or by having nothing but invalid
    values then: an erased flash page is all 0xff, an input at 0 V all 0x00, and both are true.
    """
    asked = (spec.ask.length if spec.ask is not None else None) or 0
    if len(body) < asked:
        return f"{len(body)} of {asked} bytes were read"
    try:
        values = [value for value in plan.decode(body)[:-1] if value is not ABSENT]
    except Refused as refused:
        return _stuck(body) or _mismatch(spec, body) or f"not as its profile says: {refused.reason}"
    says_nothing = bool(values) and all(value is None for value in values)
    return _stuck(body) if says_nothing else None


def stuck_level(body: bytes) -> str:
    """Return "high" or "low" where all bits are equal, as on a line that nobody drives; else ""."""
    if not body:
        return ""
    return "low" if not any(body) else "high" if body.count(0xFF) == len(body) else ""


def _stuck(body: bytes) -> str | None:
    level = stuck_level(body)
    return f"line stuck {level} (all 0x{body[0]:02x}): {_WHERE_TO_LOOK}" if level else None


def _mismatch(spec: MessageSpec, body: bytes) -> str | None:
    """Return which const a body lacks, as far as fields have fixed places."""
    place = 0
    for leaf in layout_of(spec).leaves:
        place = place if leaf.at is None else leaf.at
        size = leaf.fixed_size
        if size is None or leaf.test is not None:
            return None
        found = body[place : place + size]
        for part in leaf.bits or (leaf,):
            if part.const is not None and (difference := _difference(leaf, part, found)) is not None:
                return f"wrong identity: {difference[0]}, expected {difference[1]}"
        place += size
    return None


def _difference(leaf: Leaf, part: Leaf, found: bytes) -> tuple[str, str] | None:
    """Return what was found and what was expected; None: the same."""
    if part.kind == "bytes":
        return None if found == part.const else (found.hex(" ") or "nothing", bytes(part.const).hex(" "))
    if not isinstance(part.const, int) or leaf.kind != "int":
        return None
    if len(found) < (leaf.size or 0):
        return "nothing", hex(part.const)
    number = int.from_bytes(found, leaf.order, signed=leaf.signed)
    if part is not leaf:
        number = number >> part.shift & (1 << part.width) - 1
    return None if number == part.const else (hex(number), hex(part.const))
