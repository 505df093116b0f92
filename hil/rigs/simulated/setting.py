"""What every simulated bus is made with."""

from __future__ import annotations

import errno
from typing import NamedTuple

from hil.faults.faults import Faults
from hil.rigs.base import RigLostError
from hil.rigs.simulated.dut import SimulatedDut
from hil.rigs.simulated.world import World


class Setting(NamedTuple):
    """One run of one test, for the buses in it."""

    world: World
    faults: Faults
    dut: SimulatedDut


def gone(name: str) -> RigLostError:
    """Return the error of a resource that is unplugged."""
    error = RigLostError(f"{name} is gone: unplugged; end the fault, or let time pass until it is back")
    error.errno = errno.ENODEV
    return error
