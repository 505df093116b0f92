"""Layer 7: every decoded value as it comes, recorded or not: without number, and so without resume."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from itertools import repeat
from typing import Any, Final

from gateway.api.feed import Piece, Reader
from gateway.api.follow.values import BAD, GOOD, json_bytes, taint_names
from gateway.api.queries import Queries
from gateway.route import RoutePattern
from gateway.runtime.message import Message
from gateway.runtime.watch import CHUNK_FRAMES
from gateway.schema.plan import ABSENT, Row

_NS: Final = 1_000_000_000


async def live_pieces(
    queries: Queries, pattern: RoutePattern, reader: Reader, heartbeat_s: float
) -> AsyncGenerator[list[Piece], None]:
    """Give what comes until the reader is closed; [] where nothing did. What it is too slow for is a gap."""
    told = 0
    with queries.watcher(pattern) as watcher:
        while not reader.is_closed:
            pieces: list[Piece] = []
            try:
                async with asyncio.timeout(heartbeat_s):
                    parcel = await watcher.mailbox.take(at_most=CHUNK_FRAMES)
            except TimeoutError:
                yield pieces
                continue
            missed, told = watcher.mailbox.dropped - told, watcher.mailbox.dropped
            if missed:
                gap = {"from": None, "to": None, "cause": "slow", "dropped": missed}
                pieces.append(Piece(None, json_bytes({"gap": gap})))
            stamps = parcel.stamps_ns or repeat(parcel.wall_ns)
            for (message, _, row), wall_ns in zip(parcel.items, stamps, strict=False):
                pieces += _pieces_of(message, row, wall_ns, parcel.taints, pattern)
            yield pieces


def _pieces_of(message: Message, row: Row, wall_ns: int, taints: int, pattern: RoutePattern) -> list[Piece]:
    names = taint_names(row[-1] | taints)
    found: list[Piece] = []
    for stream, units, value in zip(message.streams, message.plan.units, row, strict=False):
        if value is not ABSENT and pattern.matches(message.device, message.family, stream):
            item: dict[str, Any] = {
                "route": f"{message.device}/{message.family}/{stream}", "v": value, "u": units, "t": wall_ns / _NS,
                "seq": None, "q": BAD if value is None else GOOD, "taints": names,
            }  # fmt: skip
            found.append(Piece(None, json_bytes(item)))
    return found
