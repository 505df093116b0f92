"""A guest whose power is cut again and again while it writes to its disks; then it boots once more, for its tests.

What the guest says of itself over `tidegate.hands` is kept as it came, over all boots, in the file `told` of its share:

    acked JSON      this was acknowledged to whoever wrote it
    anything else   kept, too
"""

from __future__ import annotations

import contextlib
import random
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from hil.kernel.disk import Disk, DiskServer, Power
from hil.kernel.guest import Guest
from hil.kernel.host import Progress
from hil.kernel.image import Image
from hil.kernel.machine import MakeHands, Obey, run_guest
from hil.kernel.qmp import Qmp
from hil.kernel.totals import Result

ACKS: Final = (20, 60)  # so many lines `acked` come before a cut is due, at least and at most
WRITES: Final = (1, 12)  # so many writes later it comes


class Cutter:
    """Keeps what one boot of a guest says, and has its power cut once enough was acknowledged."""

    def __init__(self, told: Path, acks: int, cut: Callable[[], object]) -> None:
        """Take the file, after how many acknowledgements a cut is due (0: never), and what has it come."""
        self._told = told
        self._left = acks
        self._cut = cut

    def obey(self, line: str) -> str:
        """Keep a line."""
        with self._told.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        if self._left and line.startswith("acked "):
            self._left -= 1
            if not self._left:
                self._cut()
        return "ok"


def run_with_cuts(
    guest: Guest, image: Image, *, files: Mapping[str, Path], options: Sequence[str], progress: Progress, seed: int
) -> Result:
    """Boot a guest's writer as often as its power is to be cut, then its tests; return what they reported."""
    chance = random.Random(seed)  # noqa: S311 - reproducible, not secret
    power = Power(chance)
    with contextlib.ExitStack() as undo:
        folder = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="tidegate-")))
        told = folder / "told"
        told.touch()
        places: dict[str, Path] = {}
        for name in guest.disks:
            disk = Disk(folder / f"{name}.img", power)
            undo.callback(disk.close)
            places[name] = undo.enter_context(DiskServer(disk, folder / name)).path
        given = {**files, "told": told}
        for turn in range(guest.cuts):
            acks, writes = chance.randint(*ACKS), chance.randint(*WRITES)
            hands = _hands(told, power, acks, writes)
            result = run_guest(guest.writing, image, files=given, disks=places, hands=hands)
            if power.is_on:
                fault = f"boot {turn + 1} ended before its power was cut; {result.fault}"
                return Result(guest.name, fault=fault)
            progress.say(f"power cut {turn + 1} of {guest.cuts} (seed {seed}): {power.loss}")
            power.on()
        hands = _hands(told, power, 0, 0)
        return run_guest(guest, image, files=given, options=options, disks=places, hands=hands)


def _hands(told: Path, power: Power, acks: int, writes: int) -> MakeHands:
    @contextlib.contextmanager
    def hands(_guest: Qmp, kill: Callable[[], object]) -> Iterator[Obey]:
        yield Cutter(told, acks, lambda: power.cut_after(writes, kill)).obey

    return hands
