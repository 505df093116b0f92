"""Layer 5: what a ledger says of itself: guarantees in force, wear, fill, damage; `ledger` in `status --json`."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.ledger.base import NS, Options
from gateway.ledger.governor import CONSUMER_TLC_32GB_BYTES, Governor
from gateway.ledger.log import Log
from gateway.ledger.upkeep import Upkeep


def report(log: Log, governor: Governor, upkeep: Upkeep, options: Options, now_ns: int) -> dict[str, Any]:
    """Return it; times in seconds, sizes in bytes."""
    counters, ring, meta = log.counters, log.ring, log.meta.meta
    oldest_ns = log.oldest_ns
    years = governor.years(now_ns)
    return {
        "backend": "ldg1",
        "mode": "read-only" if log.read_only_reason else "shedding" if log.is_behind else "recording",
        "reason": log.read_only_reason or log.sealing_error or upkeep.error or log.meta_error,
        "log_id": meta.log_id.hex(),
        "incarnation": meta.incarnation,
        "boot_no": meta.boot_no,
        "last_seq": log.next_seq - 1,
        "durable_seq": log.durable_seq,
        "guarantees": {
            "telemetry": {"loss_window": governor.window_ns / NS},
            "state": {"loss_window": 0.0, "gather": governor.gather_ns / NS},
            "command": {"loss_window": 0.0},
            "audit": {"loss_window": 0.0},
        },
        "waiting": (now_ns - oldest_ns) / NS if oldest_ns is not None else None,
        "wear": {
            "bytes_written": counters.bytes_written,
            "payload_bytes": counters.payload_bytes,
            "records": counters.records,
            "commits": counters.commits,
            "units": counters.units,
            "unit_bytes": meta.unit_bytes,
            "write_amplification": counters.bytes_written / counters.payload_bytes if counters.payload_bytes else None,
            "bytes_per_day": governor.bytes_per_day(now_ns),
            "budget_per_day": options.budget_bytes_per_day or None,
            "level": governor.level,
            "card_years": years,
            "card_endurance_bytes": CONSUMER_TLC_32GB_BYTES,
        },
        "ring": {
            "bytes": ring.count * ring.segment_bytes,
            "segments": ring.count,
            "ready": ring.ready,
            "live": len(ring.live),
            "free": len(ring.free()),
            "fill": len(ring.live) / ring.count,
        },
        "archives": {
            "files": len(upkeep.archives),
            "bytes": sum(info.blocks[-1].offset + info.blocks[-1].size for info in upkeep.archives if info.blocks),
            "first_seq": upkeep.archives[0].first_seq if upkeep.archives else None,
            "last_seq": upkeep.archives[-1].last_seq if upkeep.archives else None,
        },
        "shed": counters.shed,
        "failures": counters.failures,
        "damage": [msgspec.to_builtins(each) for each in log.found],
    }
