"""Layer 6: what a gateway has of its machine beyond a clock: drivers, chance, and where its ledger is written.

A rig that simulates all of it gives others, so that the same gateway runs in simulated time, the same way each time.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from gateway.clock import Clock
from gateway.driver import Driver
from gateway.ledger import Ledger
from gateway.ledger.base import LedgerLike, Options
from gateway.registry import driver_for
from gateway.runtime.committer import Committer
from gateway.runtime.timekeeping import Quality, clock_quality


def _open_ledger(folder: Path, options: Options, clock: Clock) -> LedgerLike:
    return Ledger.open(folder, options=options, clock=clock)


class Means(NamedTuple):
    """The default is the machine itself."""

    driver_for: Callable[[str, str], Driver] = driver_for  # of port text and bus. Raises: DriverError
    rand: Callable[[], float] = random.random  # of waits that must not be in step with each other; in [0, 1)
    quality: Callable[[], Quality] = clock_quality  # of its wall clock
    open_ledger: Callable[[Path, Options, Clock], LedgerLike] = _open_ledger  # Raises: as `Ledger.open`
    committer: Callable[..., Committer] = Committer  # what hands records over to the ledger


MACHINE: Final = Means()
