"""A gateway's socket that answers as a test scripts it, and the command line before it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, Self

from gateway.runtime.doorway import Doorway

Answer = dict[str, Any] | bytes | None
"""An object to answer with; bytes as they are, behind which a line that is cut hangs up; None: hang up at once."""


def error(kind: str, message: str) -> dict[str, Any]:
    return {"error": {"type": kind, "message": message}}


class Answerer:
    """Serves one connection after the other; each request takes the next answer, and hangs up when there is none."""

    def __init__(self, folder: Path, answers: Iterable[Answer]) -> None:
        self.asked: list[dict[str, Any]] = []
        self.connections = 0
        self._answers = list(answers)
        self._doorway = Doorway(folder)
        self._thread = threading.Thread(target=self._serve, name="answerer")

    def __enter__(self) -> Self:
        self._doorway.socket.setblocking(True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._doorway.socket.shutdown(socket.SHUT_RDWR)  # ends the accept that waits
        self._thread.join()
        self._doorway.close()

    def _serve(self) -> None:
        while True:
            try:
                visitor, _ = self._doorway.socket.accept()
            except OSError:
                return
            self.connections += 1
            with visitor, visitor.makefile("rb") as lines:
                for line in lines:
                    self.asked.append(json.loads(line))
                    answer = self._answers.pop(0) if self._answers else None
                    if answer is None:
                        break
                    said = answer if isinstance(answer, bytes) else json.dumps(answer).encode() + b"\n"
                    visitor.sendall(said)
                    if said and not said.endswith(b"\n"):
                        break


class Ran(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON line that was printed."""
        (line,) = self.out.splitlines()
        return json.loads(line)


class Gate(NamedTuple):
    """A data folder, the command line, and a way to put an answerer behind the one before the other."""

    folder: Path
    run: Callable[..., Ran]

    def answering(self, *answers: Answer) -> Answerer:
        return Answerer(self.folder, answers)

    def ask(self, *arguments: str, answer: Answer) -> tuple[Ran, dict[str, Any]]:
        """Run a command before a gateway that gives one answer; return what it left behind and what it asked."""
        with self.answering(answer) as gateway:
            ran = self.run(*arguments)
        (asked,) = gateway.asked
        return ran, asked
