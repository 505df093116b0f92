"""From what a rig file says of a target to the rig that serves it."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from hil.rigs.base import Rig
from hil.rigs.standard import SIMULATED_RESOURCES


def read_file(path: Path) -> Any:
    """Return a rig file, checked. Raises: GatewayError with each mistake on a line."""
    return import_module("hil.rigs.file").load(path)


def make_rig(file: Any, target: str) -> Rig:
    """Return the rig of a target; `file` is a `hil.rigs.file.RigFile`, None: the simulated rig."""
    from hil.rigs.simulated.rig import SimulatedRig

    if file is None:
        return SimulatedRig(resources=SIMULATED_RESOURCES)
    spec = file.target[target]
    if all(resource.sim for resource in spec.resource.values()):
        resources = {name: resource.protocol for name, resource in spec.resource.items()}
        return SimulatedRig(file.rig.name, target, resources, tuple(spec.states))
    rig: Rig = import_module("hil.rigs.bench.rig").BenchRig(file, target)
    return rig
