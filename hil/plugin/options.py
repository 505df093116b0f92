"""The plugin's options, and what a run is to do by them. Standard library and pytest alone."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

STANDARD_SEED: Final = 1


def add(parser: pytest.Parser) -> None:
    """Declare the options."""
    group = parser.getgroup("hil", "hardware in the loop (tidegate)")
    group.addoption("--hil-rig", metavar="FILE", help="Rig file to test on; without one the simulated rig serves.")
    group.addoption("--hil-target", metavar="A,B", help="Run each test over these targets of the rig [the first].")
    group.addoption("--hil-all", action="store_true", help="Run each test over all targets of the rig.")
    group.addoption(
        "--hil-strict", action="store_true", help="A test whose needs the rig lacks is an error, not a skip."
    )
    group.addoption("--hil-record", metavar="DIR", help="Keep each test's trace and results in this folder.")
    group.addoption("--hil-seed", type=int, metavar="N", help=f"Seed of all that is left to chance [{STANDARD_SEED}].")
    group.addoption("--hil-repeat", type=int, metavar="N", help="Run each test N times, each with a seed of its own.")
    group.addoption("--hil-update-golden", action="store_true", help="Write golden files anew where they differ.")


@dataclass(frozen=True, slots=True)
class Options:
    """The options, read."""

    rig: Path | None
    targets: tuple[str, ...]  # as asked for; () for the rig's first
    all_targets: bool
    is_strict: bool
    record: Path | None
    seed: int
    repeat: int | None  # None: not asked for
    updates_golden: bool

    @property
    def asks_for_a_rig(self) -> bool:
        """Whether the run is about a rig, whatever its tests ask for."""
        return self.rig is not None or self.record is not None or bool(self.targets) or self.all_targets


def read(config: pytest.Config) -> Options:
    """Return the options. Raises: pytest.UsageError (pytest's exit code 4)."""
    get: Any = config.getoption
    seed, repeat, rig, record = get("hil_seed"), get("hil_repeat"), get("hil_rig"), get("hil_record")
    if repeat is not None and repeat < 1:
        raise pytest.UsageError(f"--hil-repeat {repeat}: at least 1")
    if seed is not None and seed < 0:
        raise pytest.UsageError(f"--hil-seed {seed}: 0 or more")
    if rig is not None and not Path(rig).is_file():
        raise pytest.UsageError(
            f"--hil-rig {rig}: no such file; write one, and look at it with: tidegate hil check {rig}"
        )
    if record is not None:
        _need_folder(Path(record))
    if get("hil_update_golden") and (reason := _refusal()):
        raise pytest.UsageError(reason)
    names = tuple(dict.fromkeys(name.strip() for name in (get("hil_target") or "").split(",") if name.strip()))
    if names and get("hil_all"):
        raise pytest.UsageError("--hil-target and --hil-all: one of them")
    return Options(
        rig=None if rig is None else Path(rig),
        targets=names,
        all_targets=get("hil_all"),
        is_strict=get("hil_strict"),
        record=None if record is None else Path(record).absolute(),
        seed=STANDARD_SEED if seed is None else seed,
        repeat=repeat,
        updates_golden=get("hil_update_golden"),
    )


def _need_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise pytest.UsageError(f"--hil-record {folder}: {error.strerror}; name a folder, or one to be made") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise pytest.UsageError(f"--hil-record {folder}: it may not be written to; name another folder")


def _refusal() -> str | None:
    """Return why golden files may not be written here."""
    from hil import golden

    return golden.refusal(os.environ)
