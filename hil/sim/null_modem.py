"""Two serial ports joined back to back: what is written to one is read from the other. Each is a pseudo-terminal."""

from __future__ import annotations

import select
import threading
from pathlib import Path
from typing import Final, Self

from hil.sim.pty import Cable

POLL_S: Final = 0.1


class NullModem:
    """Carries bytes as long as it is entered. Its ports are `first` and `second`, symbolic links in a folder."""

    def __init__(self, folder: Path, name: str = "uart0") -> None:
        self.first = folder / name
        self.second = folder / f"{name}-peer"
        self._cables = (Cable(self.first), Cable(self.second))
        self._is_over = False
        self._thread = threading.Thread(target=self._carry, name="null modem", daemon=True)

    def __enter__(self) -> Self:
        for cable in self._cables:
            cable.path.parent.mkdir(parents=True, exist_ok=True)
            cable.plug()
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._is_over = True
        self._thread.join()
        for cable in self._cables:
            cable.unplug()

    def _carry(self) -> None:
        one, other = self._cables
        ends = {one.fileno(): (one, other), other.fileno(): (other, one)}
        while not self._is_over:
            ready, _, _ = select.select(list(ends), [], [], POLL_S)
            for number in ready:
                source, sink = ends[number]
                sink.send(source.receive())
