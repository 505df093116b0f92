"""Layer 7: from a record to what led to it, and from a value to its bits."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from msgspec import structs

from gateway.api.ledger_text import facts_of, iso_time
from gateway.api.why_chain import Chain, chain_of
from gateway.errors import RecordError, UnknownError, UsageError
from gateway.ledger.base import LedgerLike
from gateway.ledger.record import Gap, Record
from gateway.route import Route, Variant, parse_route, segment_of
from gateway.schema.plan import Refused

MAX_SEQ = (1 << 63) - 1


class Target(NamedTuple):
    """What is asked about."""

    seq: int
    route: Route | None


def target_of(text: str) -> Target:
    """Return what `17` or `pump/motor/speed#17` asks about. Raises: UsageError."""
    if text.isascii() and text.isdigit():
        return Target(_number(int(text)), None)
    route, seq = parse_route(text)
    if seq is None:
        raise UsageError(f"{text!r} names no record; write {text}#SEQ: `tidegate history {text}` has the numbers")
    return Target(_number(seq), route)


def _number(seq: int) -> int:
    if not 1 <= seq <= MAX_SEQ:
        raise UsageError(f"{seq} is no sequence number; they start at 1")
    return seq


def explain(ledger: LedgerLike, first: Record, route: Route | None) -> dict[str, Any]:
    """Return {"chain": records, each with what its bytes say, "end": why the chain stops or ""}. Raises: UsageError."""

    def find(seq: int) -> Record | Gap | None:
        item = next(iter(ledger.read(seq)), None)
        return item if isinstance(item, Gap) or (item is not None and item.seq == seq) else None

    if route is not None:
        _check_route(first, route)
    chain: Chain = chain_of(first, find)
    told = [_told(ledger, record) for record in chain.records]
    if route is not None and route.variant is Variant.VALUE and first.route != str(route):
        told[0] = _narrowed(told[0], route, first)
    return {"chain": told, "end": chain.end}


def _check_route(record: Record, route: Route) -> None:
    if record.route == str(route):
        return
    held = parse_route(record.route)[0] if record.route is not None else None
    is_frame = held is not None and held.variant is Variant.FRAME
    if held is None or not is_frame or (held.owner, held.family) != (route.owner, route.family):
        raise UnknownError(
            "record", f"record {record.seq} is not about {route}: it is a {record.kind} of {record.route or 'no route'}"
        )


def _told(ledger: LedgerLike, record: Record) -> dict[str, Any]:
    """Return a record as it is exported; a reading also with its layout, payload and values."""
    told = facts_of(record)
    if record.kind != "reading" or record.is_json:
        return told
    from gateway.api.ledger_values import unfold
    from gateway.api.why_fields import explained

    try:
        whole = unfold(ledger, record)
        layout = whole.recorded.layout
        row = whole.recorded.row(whole.reading.payload, whole.others)
        found = explained(layout.specs[layout.message], whole.recorded.plan, whole.reading.payload, row)
    except (RecordError, Refused) as error:
        return told | {"undecoded": str(error)}
    fields = [structs.replace(each, adjust=layout.adjust.get(each.name)) for each in found]
    return told | {
        "received": iso_time(whole.reading.wall_ns),
        "message": layout.message,
        "schema": {"digest": whole.reading.schema.hex(), "seq": whole.learnt},
        "payload": whole.reading.payload.hex(" "),
        "fields": [msgspec.to_builtins(each) | {"words": each.words()} for each in fields],
    }


def _narrowed(told: dict[str, Any], route: Route, record: Record) -> dict[str, Any]:
    """Return a reading with the value of one route alone. Raises: UsageError where it has none."""
    if "fields" not in told:
        return told
    mine = [each for each in told["fields"] if segment_of(each["name"]) == route.stream]
    if not mine:
        names = ", ".join(segment_of(each["name"]) for each in told["fields"])
        raise UsageError(
            f"record {record.seq} has no {route.stream}; message {told['message']} has {names or 'no values'}"
        )
    return told | {"fields": mine}
