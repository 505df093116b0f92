"""One pytest run on a rig: its targets, the rig of each, and the run of a test that is under way."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from hil.plugin.options import Options
from hil.rigs.standard import SIMULATED, SIMULATED_RESOURCES

if TYPE_CHECKING:
    from hil.faults.faults import Faults
    from hil.rigs.base import Rig

KEY: Final = pytest.StashKey["Hil"]()
TARGET: Final = "hil_target"  # the fixture that is parametrised, behind all others
_UNFIT: Final = re.compile(r"[^A-Za-z0-9._\[\]-]+")


def hil_of(config: pytest.Config) -> Hil:
    """Return the run's."""
    return config.stash[KEY]


@dataclass(slots=True)
class Running:
    """A run of a test that is under way, or over."""

    rig: Rig
    trace: Path
    seed: int
    number: int  # of the round, from 0
    outcome: str = "passed"
    reason: str = ""  # why it failed or was skipped, as pytest's summary has it
    duration_s: float = 0.0
    measurements: list[Any] = field(default_factory=list)
    covered: dict[str, Any] = field(default_factory=dict)

    def note(self, outcome: str, duration_s: float, reason: str) -> None:
        """Take in how a phase went: set-up, call or tear-down; the worst counts, and of those the first."""
        self.duration_s += duration_s
        if outcome != "passed" and self.outcome not in {"failed", outcome}:
            self.outcome, self.reason = outcome, reason


class Hil:
    """The state of a run. Makes nothing before a test needs it."""

    def __init__(self, options: Options, make_folder: Callable[[], Path]) -> None:
        """`make_folder`: for traces that nobody asked for. Raises: pytest.UsageError for a rig file or targets."""
        self._make_folder = make_folder
        self.options = options
        self.is_wanted = options.asks_for_a_rig  # for every test, also those that ask for no fixture
        self.round = 0  # of the test that runs
        self.only: Collection[tuple[int, int]] | None = None  # strikes of faults that happen: see `Faults`
        self.probes: Path | None = None  # where rounds go that only look which strikes matter
        self.running: Running | None = None
        self.begin_now: Callable[[], Running]  # for the test that is under way, which asks late
        self.last_faults: Faults | None = None  # of the round that ended last
        self.last_results: Path | None = None  # likewise
        self.updates: list[str] = []  # what the test that runs changed in golden files
        self._file: Any = None
        self.rig_name, self._resources = self._read()
        self.targets = self._chosen()
        self._rigs: dict[str, Rig] = {}
        self._folder: Path | None = options.record
        self._paths: set[Path] = set()

    def resources(self, target: str) -> Mapping[str, str]:
        """Return a target's resources: name -> protocol."""
        return self._resources[target]

    def missing(self, target: str, needs: Collection[str]) -> list[str]:
        """Return which of `needs`, resource names or protocols, a target lacks."""
        has = self._resources[target]
        return list(dict.fromkeys(need for need in needs if need not in has and need not in has.values()))

    def seed_of(self, number: int) -> int:
        """Return a round's seed; the first has the run's own, so that any round's seed alone brings it back."""
        if number == 0:
            return self.options.seed
        digest = hashlib.sha256(f"{self.options.seed}/{number}".encode()).digest()
        return int.from_bytes(digest[:4], "big")

    def begin(self, node_id: str, target: str) -> Running:
        """Begin a run of a test on a target's rig. Raises: RigError."""
        from hil.rigs.base import Round

        rig = self._rig(target)
        seed = self.seed_of(self.round)
        trace = self._path(node_id)
        rig.begin(Round(node_id, seed, _data_of(trace), self.only), trace)
        self.running = Running(rig, trace, seed, self.round)
        return self.running

    def end(self) -> list[str]:
        """End the run; return what was left wrong, which no next test may find."""
        running, self.running = self.running, None
        if running is None:
            return []
        left = running.rig.end()
        if running.outcome != "failed" or self.probes is not None:
            shutil.rmtree(_data_of(running.trace), ignore_errors=True)
        self.last_faults = running.rig.faults
        return [*left, *(f"fault {fault.kind} is still active on {fault.bus}" for fault in running.rig.faults.active)]

    def close(self) -> None:
        """Bring everything to rest, however the run ended."""
        try:
            self.end()
        finally:
            for rig in self._rigs.values():
                rig.close()

    # ---- what a run is made of

    def _read(self) -> tuple[str, Mapping[str, Mapping[str, str]]]:
        if self.options.rig is None:
            return SIMULATED, {SIMULATED: SIMULATED_RESOURCES}
        from gateway.errors import GatewayError
        from hil.rigs.making import read_file

        try:
            self._file = read_file(self.options.rig)
        except GatewayError as error:
            raise pytest.UsageError(f"{error}\nlook at it with: tidegate hil check {self.options.rig}") from error
        named = {
            name: {each: spec.protocol for each, spec in target.resource.items()}
            for name, target in self._file.target.items()
        }
        return self._file.rig.name, named

    def _chosen(self) -> tuple[str, ...]:
        known = tuple(self._resources)
        for name in self.options.targets:
            if name not in known:
                from gateway.spelling import did_you_mean

                raise pytest.UsageError(f"--hil-target {name}: no such target{did_you_mean(name, known)}")
        if self.options.targets or self.options.all_targets:
            return self.options.targets or known
        leased = os.environ.get("TIDEGATE_TARGET")  # by `tidegate hil reserve take`
        return (leased,) if leased in known else known[:1]

    def _rig(self, target: str) -> Rig:
        if target not in self._rigs:
            from hil.rigs.making import make_rig

            self._rigs[target] = make_rig(self._file, target)
        return self._rigs[target]

    def _path(self, node_id: str) -> Path:
        if self._folder is None:
            self._folder = self._make_folder()
        if self.probes is not None:
            return self.probes / "probe.trace"
        file, _, name = node_id.partition("::")
        parts = [_UNFIT.sub("_", part) for part in (*Path(file).with_suffix("").parts, name) if part not in ("..", "/")]
        stem = parts[-1][:150] + (f".r{self.round}" if self.round else "")
        path = self._folder.joinpath(*parts[:-1], f"{stem}.trace")
        number = 1
        while path in self._paths:
            number += 1
            path = path.with_name(f"{stem}~{number}.trace")
        self._paths.add(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def _data_of(trace: Path) -> Path:
    """Return the folder of what a round keeps beside its trace, a gateway's ledger for one; made by who needs it."""
    return trace.with_suffix(".data")
