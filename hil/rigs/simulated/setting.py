"""What every simulated bus is made with."""

from __future__ import annotations

from typing import NamedTuple

from hil.faults.faults import Faults
from hil.rigs.simulated.dut import SimulatedDut
from hil.rigs.simulated.world import World


class Setting(NamedTuple):
    """One run of one test, for the buses in it."""

    world: World
    faults: Faults
    dut: SimulatedDut
