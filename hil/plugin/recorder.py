"""The fixture `recorder`: what a test says about itself, kept with its trace."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hil import golden
from hil.measure import Measurement
from hil.plugin.session import Running
from hil.rows import Tolerance

__tracebackhide__ = True  # pytest shows the line of the test instead


class Recorder:
    """Notes into the trace, measurements into the report, golden files beside the test."""

    def __init__(self, rig: Any, running: Running, test_file: Path, show: Callable[[str], None] | None) -> None:
        """`show`: where to print what changes in golden files; None: they are not updated."""
        self._rig = rig
        self._running = running
        self._test_file = test_file
        self._show = show

    def note(self, text: str) -> None:
        """Write a note into the trace; half a character, as a wrongly decoded name has them, as its escape."""
        self._rig.record_note(str(text).encode(errors="backslashreplace").decode())

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
        tolerance: Tolerance | None = None,
        ignore: Sequence[str] = (),
    ) -> None:
        """Hold rows, or what passed on a bus so far, against `golden/NAME.jsonl` beside the test file.

        Raises: AssertionError naming the first difference, or a file that is not there.
        """
        if (rows is None) == (bus is None):
            raise ValueError("give `rows`, or `bus`")
        if bus is not None:
            rows = golden.traffic(self._rig.trace.records, bus, self._rig.resources)
        golden.assert_golden(
            golden.path_of(self._test_file, name),
            rows or (),
            tolerance,
            ignore,
            update=self._show is not None,
            show=self._show or print,
        )
