"""Layer 7: everything that a door may ask of a gateway, in one hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from gateway.api.feed import Feed
from gateway.api.ledger import LedgerQueries
from gateway.api.queries import Queries
from gateway.clock import Clock
from gateway.runtime.asks import Asks
from gateway.runtime.warden import Warden


class Api(NamedTuple):
    """What is behind every door."""

    name: str
    data_dir: Path
    clock: Clock
    queries: Queries
    asks: Asks
    warden: Warden
    ledger: LedgerQueries | None  # None: nothing is recorded
    feed: Feed
    is_ready: Callable[[], bool]  # the ledger is open, shadows are back, ports were tried
