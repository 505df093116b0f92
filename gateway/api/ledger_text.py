"""Layer 7: records of the ledger as JSON lines and as a person reads them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import msgspec

from gateway.ledger.base import NS
from gateway.ledger.record import Gap, Record, decode_json
from gateway.plain import printable

BODY_CELLS: Final = 96
_LINE_ENDS: Final = bytes.maketrans(b"\r\n", b"  ")  # in JSON they stand between values only


def json_text(value: Any) -> str:
    """Return anything that was read from a ledger as one line of JSON."""
    try:
        return msgspec.json.encode(value).decode()
    except OverflowError:  # whole numbers beyond 64 bits
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_raw_value)


def _raw_value(value: Any) -> Any:
    return decode_json(bytes(value))


@lru_cache(maxsize=8)
def _second(wall_s: int) -> str:
    return datetime.fromtimestamp(wall_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def iso_time(wall_ns: int) -> str:
    """Return nanoseconds since 1970 as ISO 8601 in UTC with microseconds."""
    seconds, rest_ns = divmod(wall_ns, NS)
    return f"{_second(seconds)}.{rest_ns // 1000:06d}Z"


def record_line(record: Record) -> bytes:
    """Return a record as `ledger export` prints it: one JSON line, without its end; a body of bytes as {"hex"}."""
    raw = record.raw
    if not record.is_json:
        raw = b'{"hex":"%s"}' % raw.hex().encode()
    elif b"\n" in raw or b"\r" in raw:
        raw = raw.translate(_LINE_ENDS)
    route = "null" if record.route is None else f'"{record.route}"'
    cause = "null" if record.cause is None else record.cause
    head = (
        f'{{"seq":{record.seq},"incarnation":{record.incarnation},"kind":"{record.kind}","route":{route},'
        f'"class":"{record.class_}","time":"{iso_time(record.wall_ns)}","boot_no":{record.boot_no},'
        f'"cause":{cause},"body":'
    )
    return head.encode() + raw + b"}"


def gap_line(gap: Gap) -> bytes:
    """Return a gap as a JSON line, without its end."""
    told = {"from_seq": gap.from_seq, "to_seq": gap.to_seq, "reason": gap.reason}
    return json_text({"gap": told}).encode()


def facts_of(record: Record) -> dict[str, Any]:
    """Return a record as `ledger export` prints it, as a table for `json_text`."""
    return {
        "seq": record.seq,
        "incarnation": record.incarnation,
        "kind": record.kind,
        "route": record.route,
        "class": record.class_,
        "time": iso_time(record.wall_ns),
        "boot_no": record.boot_no,
        "cause": record.cause,
        "body": msgspec.Raw(record.raw.translate(_LINE_ENDS)) if record.is_json else {"hex": record.raw.hex()},
    }


def plain_line(item: Record | Gap) -> str:
    """Return one line for a terminal, without anything that a terminal would obey."""
    if isinstance(item, Gap):
        return f"{item.seq:>9}  {gap_words(item)}"
    cause = f" <- {item.cause}" if item.cause is not None else ""
    route = item.route or "-"
    return f"{item.seq:>9}  {iso_time(item.wall_ns)}  {item.kind:<14} {route}  {body_text(item)}{cause}"


def gap_words(gap: Gap) -> str:
    """Return what is missing, in words."""
    count = gap.to_seq - gap.from_seq + 1
    numbers = f"number {gap.from_seq} is" if count == 1 else f"{count:,} numbers, {gap.from_seq} to {gap.to_seq}, are"
    return printable(f"-- {numbers} missing: {gap.reason} --")


def body_text(record: Record) -> str:
    """Return a body in one line of bounded length."""
    text = record.raw[: 4 * BODY_CELLS].decode(errors="replace") if record.is_json else record.raw[:BODY_CELLS].hex(" ")
    return shortened(text)


def shortened(text: str) -> str:
    """Return text in one line of bounded length, without anything that a terminal would obey."""
    text = printable(text)
    return text if len(text) <= BODY_CELLS else text[: BODY_CELLS - 1] + "\N{HORIZONTAL ELLIPSIS}"
