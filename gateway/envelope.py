"""Layer 1: the record around one payload.

An envelope is made only for who asks for one: batches carry decoded rows beside each other (`gateway.runtime`), and an
envelope refers to its row.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.route import Route


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """One value of one route, with where and when it comes from."""

    route: Route
    producer: str  # port name
    runtime: str  # boot id of the gateway process
    sequence: int  # of the device's message, from 1, counts every frame decoded
    received_ns: int  # monotonic, of the read that brought it
    wall_ns: int  # since 1970, same instant
    value: Any
    device_time: str | None = None  # as the device said, ISO 8601
    cause: int | None = None  # sequence of what this answers
    taints: int = 0  # bits of gateway.taint
