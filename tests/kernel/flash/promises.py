"""What a ledger acknowledged, and whether it still holds: the same questions after every kind of fault."""

from __future__ import annotations

import json

import msgspec

from gateway.ledger import Ledger
from gateway.ledger.base import Head
from gateway.ledger.record import Record

KINDS = [("reading", "telemetry"), ("desired", "state"), ("command_intent", "command"), ("note", "audit")]
ROUTE = "pump/motor/speed@desired"


def body_of(number):
    """Return a body that says which it is, of a length of its own."""
    return {"number": number, "fill": "x" * (number * 37 % 900)}


def line_of(number):
    """Return the line that appends it."""
    kind, class_ = KINDS[number % len(KINDS)]
    return json.dumps({"kind": kind, "route": ROUTE, "class": class_, "body": body_of(number)}).encode() + b"\n"


def broken(folder, acked, head=None, *, declares=False):
    """Return how a ledger fails what it acknowledged: `acked` are pairs of sequence number and body's number.

    `head` is an end that was durable: nothing up to it may be gone or other than it was. `declares`: it may tell of
    readings that it did not take.
    """
    against = Head(**head) if head is not None else None
    with Ledger.open(folder, read_only=True) as ledger:
        found = ledger.verify(deep=True, against=against)
        records = {each.seq: each for each in ledger.read() if isinstance(each, Record)}
    is_well = found.verdict == "intact" or (declares and found.verdict == "declared")
    faults = [] if is_well else [f"verify: {msgspec.json.encode(found).decode()}"]
    gone = [seq for seq, _ in acked if seq not in records]
    other = [seq for seq, number in acked if seq in records and records[seq].body != body_of(number)]
    faults += [f"acknowledged and gone: {gone}"] if gone else []
    faults += [f"acknowledged and other: {other}"] if other else []
    return faults
