"""What the tests of sinks share: a profile's readings as the ledger takes them."""

from __future__ import annotations

from typing import Any

from gateway.ledger.reading import Reading, encode_reading
from gateway.profile.recorded import Schema, layout_of, schema_of
from tests.runtime.kit import COBS, compiled, reading

ROUTE = "node/climate/reading@frame"
PROFILE = compiled(COBS.format(extra="", state=""))


def schema() -> Schema:
    layout = layout_of("reading", PROFILE.profile.message)
    return schema_of(layout, PROFILE.messages["reading"], "test/node@1.0.0")


def body(value: int, *, taints: int = 0, wall_ns: int = 10_000_000_000) -> bytes:
    return encode_reading(Reading(schema().key, value + 1, wall_ns, reading(value), taints))


def values(items: list[Any]) -> list[Any]:
    return [item.v for item in items]
