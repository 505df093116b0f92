"""What the rig does on this machine: commands that must succeed, children that never outlive it, progress lines.

Standard library only: `hil.kernel.packages` runs before anything is installed.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from gateway.errors import GatewayError

ROOT: Final = Path(__file__).resolve().parent.parent.parent  # of the repository
CACHE: Final = ROOT / ".rig"
STOP_S: Final = 3.0  # a QEMU that is told to end needs a few milliseconds
TAIL_LINES: Final = 40


class RigError(GatewayError):
    """The rig cannot do its work; the message says what to do."""


class Progress:
    """Lines that say what happens, each with the time since the rig began."""

    def __init__(self) -> None:
        self._start_s = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the rig began."""
        return time.monotonic() - self._start_s

    def say(self, text: str) -> None:
        """Print one line."""
        sys.stdout.write(f"rig {self.elapsed_s:6.1f} s: {text}\n")
        sys.stdout.flush()


def run(
    command: Sequence[str | Path],
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    take: bytes | None = None,
) -> str:
    """Run a command with `take` as its input; return its output. Raises: RigError with what it said."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(  # noqa: S603 - words of our own, no shell
            words,
            cwd=folder,
            env={**os.environ, **(environment or {})},
            input=take if take is not None else b"",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
    except FileNotFoundError as error:
        raise RigError(f"{words[0]} is not installed; see what is missing with: make rig") from error
    output = done.stdout.decode(errors="replace")
    if done.returncode != 0:
        raise RigError(f"failed with exit code {done.returncode}: {shlex.join(words)}\n{tail(output)}")
    return output


def tail(text: str, lines: int = TAIL_LINES) -> str:
    """Return the last lines of `text`."""
    return "\n".join(text.splitlines()[-lines:])


def start(command: Sequence[str | Path], *, log: Path, fds: Sequence[int] = ()) -> subprocess.Popen[bytes]:
    """Start a child in a process group of its own; the kernel kills it when this process dies, however it dies.

    Call it in the main thread: the kernel counts the death of the thread that started it.
    """
    words = ["setpriv", "--pdeathsig", "KILL", "--", *map(str, command)]
    with log.open("wb") as output:
        return subprocess.Popen(  # noqa: S603 - words of our own, no shell
            words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=fds,
        )


def stop(child: subprocess.Popen[bytes]) -> None:
    """End a child and all of its group; returns when it is gone."""
    for number, limit_s in ((signal.SIGTERM, STOP_S), (signal.SIGKILL, None)):
        if child.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(limit_s)


def escaped(path: Path) -> str:
    """Return a path for QEMU's comma-separated options, where a comma is written twice."""
    return str(path).replace(",", ",,")
