"""Layer 1: quality marks of a value, as a bit set.

Seven domains (DESIGN 1). Marks merge by union (`|`), which is commutative, associative and idempotent; nothing here
clears one. A mark's public name is `domain.mark`.
"""

from __future__ import annotations

from typing import Final

TRUST_RANGE: Final = 1 << 0  # outside the declared minimum..maximum; value kept
TRUST_LABEL: Final = 1 << 1  # raw number without a label; stays a number
TRUST_TRUNCATED: Final = 1 << 2  # the frame ended before the field did; that field is null
TRUST_CASE: Final = 1 << 3  # undeclared multiplexer value; the other signals still come
TRUST_NAN: Final = 1 << 4  # NaN or infinity on the wire; null
TRUST_ADJUSTED: Final = 1 << 5  # the site file's `adjust` changed the value
TRUST_TEXT: Final = 1 << 6  # text that is no number, time ... as declared; that field is null
TRUST_UNCONFIRMED: Final = 1 << 7  # wanted of a device that confirms nothing (`confirm = "none"`)
DELIVERY_DROPPED: Final = 1 << 8  # frames before this one were dropped by a full mailbox
DELIVERY_GARBAGE: Final = 1 << 9  # bytes before this one were refused
DELIVERY_RECONNECTED: Final = 1 << 10  # first value after the port was away
DELIVERY_DEFERRED: Final = 1 << 11  # kept from here on with a wider loss window, to spare the medium
TIME_UNSYNCED: Final = 1 << 16  # wall clock not known to be right
TIME_STEPPED: Final = 1 << 17  # wall clock jumped since the previous value
ORDER_REPLAYED: Final = 1 << 24  # from a log, not from a wire
DETERMINISM_UNKNOWN: Final = 1 << 32
SCHEDULING_LATE: Final = 1 << 40  # served after its deadline
COHERENCE_STALE: Final = 1 << 48  # older than its declared silence

NAMES: Final[dict[int, str]] = {
    TRUST_RANGE: "trust.range",
    TRUST_LABEL: "trust.label",
    TRUST_TRUNCATED: "trust.truncated",
    TRUST_CASE: "trust.case",
    TRUST_NAN: "trust.nan",
    TRUST_ADJUSTED: "trust.adjusted",
    TRUST_TEXT: "trust.text",
    TRUST_UNCONFIRMED: "trust.unconfirmed",
    DELIVERY_DROPPED: "delivery.dropped",
    DELIVERY_GARBAGE: "delivery.garbage",
    DELIVERY_RECONNECTED: "delivery.reconnected",
    DELIVERY_DEFERRED: "delivery.deferred",
    TIME_UNSYNCED: "time.unsynced",
    TIME_STEPPED: "time.stepped",
    ORDER_REPLAYED: "order.replayed",
    DETERMINISM_UNKNOWN: "determinism.unknown",
    SCHEDULING_LATE: "scheduling.late",
    COHERENCE_STALE: "coherence.stale",
}


def names_of(bits: int) -> list[str]:
    """Return the public names of the marks in `bits`, in the fixed order of the table."""
    return [name for bit, name in NAMES.items() if bits & bit] if bits else []
