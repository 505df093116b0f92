"""The folder of a recorded run (`--hil-record`): a trace for each test, its results beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Sized
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from gateway.errors import UsageError
from hil.measure import Measurement


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One run of one test."""

    test: str
    outcome: str = "unknown"  # passed failed skipped; unknown: its runner did not live to tell
    reason: str = ""  # why it did not pass
    duration_s: float = 0.0
    rig: str = ""
    target: str = ""
    seed: int = 0
    round: int = 0
    trace: str = ""  # the file's name, in the same folder
    gateway: str = ""
    firmware: str = ""
    measurements: tuple[Measurement, ...] = ()
    covered: dict[str, Any] = {}
    minimal: list[dict[str, Any]] | None = None
    folder: Path = Path()

    @property
    def path(self) -> Path:
        """Where its trace is."""
        return self.folder / self.trace


def read_results(folder: Path) -> list[Result]:
    """Return all runs in a folder, by path; a trace without results beside it is one, too.

    Raises: UsageError for a folder that is none, or holds no trace.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; make one with: tidegate hil run --hil-record {folder}")
    found = [_read(path) for path in sorted(folder.rglob("*.trace"))]
    if not found:
        raise UsageError(f"{folder}: no traces in it; make some with: tidegate hil run --hil-record {folder}")
    return found


def runs_text(results: Sized) -> str:
    """Return how many runs there are, as a person says it."""
    return "1 run" if len(results) == 1 else f"{len(results)} runs"


def names_of(results: Iterable[Result]) -> dict[str, str]:
    """Return what the runs have in common: gateway, firmware, rig; several are joined."""
    listed = list(results)
    return {
        name: ", ".join(sorted({getattr(each, name) for each in listed} - {""}))
        for name in ("rig", "gateway", "firmware")
    }


class Kept(NamedTuple):
    """What a run's trace still holds."""

    records: Sequence[Any]
    problem: str = ""  # with the rest of it, as FILE:LINE: ...; "" for none
    is_torn: bool = False  # the problem is what a crash leaves, and no damage


def kept_of(result: Result) -> Kept:
    """Return a run's records as far as they can be read. Raises: OSError."""
    from hil.trace.errors import TraceError
    from hil.trace.reader import TraceStream

    records: list[Any] = []
    try:
        with TraceStream(result.path) as stream:
            for record in stream:
                records.append(record)  # noqa: PERF402 - what stands before damage is kept
    except TraceError as error:
        return Kept(records, str(error))
    torn = "" if stream.torn_line is None else f"{result.path}:{stream.torn_line}: torn off; the rest is used"
    return Kept(records, torn, bool(torn))


def _read(trace: Path) -> Result:
    path = trace.with_suffix(".json")
    bare = Result(test=trace.stem, trace=trace.name, folder=trace.parent)
    try:
        result = msgspec.json.decode(path.read_bytes(), type=Result, strict=False)
    except FileNotFoundError:
        return bare
    except (OSError, msgspec.DecodeError) as error:
        raise UsageError(f"{path}: {error}; it is written by the run itself, record it again") from error
    return msgspec.structs.replace(result, trace=trace.name, folder=trace.parent)
