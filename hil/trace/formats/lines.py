"""Reads other programs' logs through python-can: their lines counted, their faults told with FILE:LINE."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from gateway.registry import require
from hil.trace.errors import ForeignError
from hil.trace.formats.base import Import

_SILENT: Final = logging.NullHandler()


class CountedLines(io.TextIOWrapper):
    """A text file that knows which line it gave last, whether that has an end, and how many look like frames."""

    def __init__(self, path: Path, is_frame: Callable[[str], bool]) -> None:
        super().__init__(path.open("rb"), encoding="utf-8", errors="surrogateescape")
        self.number = 0
        self.frames = 0
        self.is_torn = False
        self._is_frame = is_frame

    def __next__(self) -> str:  # type: ignore[override]  # typeshed has bytes, for the base of all files
        line = super().__next__()
        self.number += 1
        self.frames += self._is_frame(line)
        self.is_torn = not line.endswith("\n")
        return line

    def settle(self, reading: Import, count: int, what: str) -> None:
        """Tell what became of the lines when `count` frames were read; `what`: those of which none was, in words."""
        lost = self.frames - count
        if self.is_torn:
            reading.told.append(f"{reading.path}:{self.number}: torn off; what stands there is used as far as it goes")
            lost -= 1
        if lost > 0 and not reading.is_damaged:
            reading.is_damaged = True
            reading.told.append(f"{reading.path}: {lost} {what}")


def messages(reading: Import, make: Callable[[Any], Any]) -> Iterator[tuple[Any, Any]]:
    """Give (reader, message) of a log; a reader that fails on a damaged file ends it, and that is told.

    Raises: ForeignError for a file of which not even the header can be read.
    """
    can = require("can", "can")
    logging.getLogger("can.io").addHandler(_SILENT)  # what it says of lines it skips is counted and told here
    try:
        reader = make(can)
    except Exception as error:
        raise ForeignError(reading.path, 1, f"its header is damaged ({type(error).__name__}: {error})") from error
    try:
        for message in reader:
            int(message.timestamp)  # fails on one that overflowed
            yield reader, message
    except GeneratorExit:
        raise
    except Exception as error:  # noqa: BLE001 - python-can fails on damaged files in any way; what came before counts
        file = getattr(reader, "file", None)
        if isinstance(file, CountedLines) and file.is_torn:
            return  # `settle` tells of it
        reading.is_damaged = True
        number = getattr(file, "number", None)
        place = f"{reading.path}:{number}" if number is not None else str(reading.path)
        reading.told.append(f"{place}: damaged ({type(error).__name__}: {error}); what stands before it is used")
