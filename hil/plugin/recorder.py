"""The fixture `recorder`: what a test says about itself, kept with its trace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hil import golden
from hil.measure import Measurement
from hil.plugin.session import Running


class Recorder:
    """Notes into the trace, measurements into the report, golden files beside the test."""

    def __init__(self, rig: Any, running: Running, test_file: Path, *, updates_golden: bool) -> None:
        self._rig = rig
        self._running = running
        self._test_file = test_file
        self._updates_golden = updates_golden

    def note(self, text: str) -> None:
        """Write a note into the trace."""
        self._rig.record_note(text)

    def measure(
        self, name: str, value: float, unit: str, minimum: float | None = None, maximum: float | None = None
    ) -> None:
        """Keep a measurement. Raises: AssertionError outside its limits, ValueError for what is none."""
        measurement = Measurement(name, value, unit, minimum, maximum)
        self._running.measurements.append(measurement)
        measurement.check()

    def assert_golden(
        self,
        name: str,
        rows: Sequence[Any] | None = None,
        bus: str | None = None,
        tolerance: Mapping[str, Any] | None = None,
        ignore: Sequence[str] = (),
    ) -> None:
        """Hold rows, or what passed on a bus so far, against `golden/NAME.jsonl` beside the test file.

        Raises: AssertionError naming the first difference, or a file that is not there.
        """
        if (rows is None) == (bus is None):
            raise ValueError("give `rows`, or `bus`")
        golden.hold(
            golden.path_of(self._test_file, name),
            rows if rows is not None else golden.rows_of_bus(self._rig.trace.records, str(bus)),
            tolerance=tolerance or {},
            ignore=ignore,
            updates=self._updates_golden,
        )
