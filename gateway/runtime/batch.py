"""Layer 6: records on their way into the ledger, as the loop hands them to its thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import repeat
from typing import Any

import msgspec

from gateway.ledger.base import Item


class Batch(msgspec.Struct, gc=False):
    """Records of one kind, route and class, on their way into the ledger."""

    kind: str
    route: str | None
    bodies: list[Any]
    class_: str = "telemetry"
    size: int = 0  # bytes of the bodies, as far as they are counted
    routes: list[str] | None = None  # of each body, where they differ; then `route` is None
    on_settled: Callable[[range | None], None] | None = None  # called on the loop: stored as what numbers; None: lost

    def items(self) -> Iterator[Item]:
        """Give the records as the ledger takes them."""
        routes = repeat(self.route) if self.routes is None else self.routes
        if self.class_ == "telemetry":  # what is meant where nothing is said: the ledger's shortest way
            return zip(repeat(self.kind), routes, self.bodies)
        return zip(repeat(self.kind), routes, self.bodies, repeat(self.class_))
