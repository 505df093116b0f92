"""Simulated devices in a process of their own, told what to do by lines of JSON on its standard input.

`Station` is that process's side, `Remote` the side of who started it. Each line is one command, each is answered by
one line: {"do": "error", "at": 0, "errno": 5} gives {}, {"do": "transfers", "at": 0} gives {"transfers": [...]}.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Self

from hil.sim.behaviour import Behaviour
from hil.sim.spi.adxl345 import Adxl345
from hil.sim.spi.analog import Max31855, Mcp3008
from hil.sim.spi.bosch import Bme280, Bmp280
from hil.sim.spi.line import Line, Transfer
from hil.sim.spi.mailbag import Mailbag
from hil.sim.spi.model import SpiModel
from hil.sim.spi.w25q import W25q

MODELS: Final[dict[str, Callable[[], SpiModel]]] = {
    "adxl345": Adxl345,
    "bme280": Bme280,
    "bmp280": Bmp280,
    "mailbag": Mailbag,
    "max31855": Max31855,
    "mcp3008": Mcp3008,
    "w25q": W25q,
}
_ROOT: Final = Path(__file__).parents[3]
_END_S: Final = 5.0


class Station:
    """The devices of one bus by chip select."""

    def __init__(self, names: Sequence[str]) -> None:
        """Take the names of models, in order of chip select. Raises: KeyError."""
        self.lines = [Line(MODELS[name]()) for name in names]

    def command(self, text: str) -> str:
        """Carry out one line and return its answer. Raises: ValueError, KeyError for what is no command."""
        order = json.loads(text)
        line = self.lines[order["at"]]
        answer: dict[str, Any] = {}
        match order["do"]:
            case "model":
                line.model = MODELS[order["name"]]()
                line.error = line.stuck = None
                line.transfers.clear()
                line.release()
            case "error":
                line.error = order["errno"]
            case "stuck":
                line.stuck = order["level"]
            case "hang":
                line.hang()
            case "release":
                line.release()
            case "behave":
                behaviour = Behaviour.of(order["behaviour"])
                line.change(lambda: line.model.behave(behaviour))
            case "restart":
                line.change(line.model.restart)
            case "unplug":
                line.is_plugged = False
                line.release()
            case "plug":
                line.is_plugged = True
            case "load" if isinstance(line.model, Mailbag):
                line.model.load(bytes.fromhex(order["hex"]))
            case "take" if isinstance(line.model, Mailbag):
                answer = {"hex": line.model.take().hex()}
            case "transfers":
                answer = {"transfers": [[each.tx.hex(), *each[1:]] for each in line.transfers]}
            case unknown:
                raise ValueError(f"no command {unknown!r} here")
        return json.dumps(answer)


class Remote:
    """A station in another process. Usable from any thread."""

    def __init__(self, command: Sequence[str]) -> None:
        """Start it, and wait until it says that it is ready."""
        self._process = subprocess.Popen(  # noqa: S603 - a command of ours
            command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self._lock = threading.Lock()
        self._answer()

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self.end()

    def end(self) -> None:
        """End the process; it ends by itself when its input does."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def do(self, what: str, at: int = 0, **facts: Any) -> dict[str, Any]:
        """Have one command carried out. Raises: ChildProcessError when the process is gone."""
        with self._lock:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps({"do": what, "at": at, **facts}) + "\n")
            return self._answer()

    def transfers(self, at: int = 0) -> list[Transfer]:
        """Return what the bus saw of one device."""
        return [Transfer(bytes.fromhex(tx), *rest) for tx, *rest in self.do("transfers", at)["transfers"]]

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        text = self._process.stdout.readline()
        if not text:
            raise ChildProcessError(f"the process of the models ended with {self._process.wait()}")
        answer: dict[str, Any] = json.loads(text)
        return answer


def python_command(module: str, *arguments: str, python: str = sys.executable) -> list[str]:
    """Return the command that runs a module of this package."""
    return [python, "-m", f"hil.sim.spi.{module}", *arguments]
