"""The real `tidegate ledger append` on a medium that fails when a test says so (failing_medium.c)."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import mmap
import os
import select
import subprocess
import sys
from pathlib import Path
from typing import Any, Final, NamedTuple

SOURCE: Final = Path(__file__).with_name("failing_medium.c")
LIMIT_S: Final = 60.0  # proves that an answer comes, not how soon
FOR_EVER: Final = 2**31 - 1


class Orders(ctypes.Structure):
    """`struct orders`."""

    _fields_ = [(name, ctypes.c_int32) for name in ("syncs_fail", "writes_fail", "error", "loses", "at_most", "failed")]


class FailingMedium:
    """The orders, and the environment of a process that has to obey them."""

    def __init__(self, library: Path, file: Path) -> None:
        """Take the compiled shim, and a file for the orders that is not there yet."""
        file.write_bytes(bytes(ctypes.sizeof(Orders)))
        with file.open("r+b") as opened:
            self._map = mmap.mmap(opened.fileno(), 0)
        self.orders = Orders.from_buffer(self._map)
        self.orders.error = errno.EIO
        self.environment = {**os.environ, "LD_PRELOAD": str(library), "FAILING_MEDIUM": str(file)}


def built(folder: Path) -> Path:
    """Return the shim, compiled."""
    library = folder / "failing_medium.so"
    flags = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC")
    subprocess.run(["gcc", *flags, "-o", library, SOURCE, "-ldl", "-pthread"], check=True)
    return library


class Append:
    """A running `tidegate ledger append`; one line is one commit."""

    def __init__(self, folder: Path, environment: dict[str, str] | None = None) -> None:
        """Start it on the ledger in a folder."""
        command = [sys.executable, "-m", "gateway", "ledger", "append", "--dir", str(folder), "--stdin"]
        pipe = subprocess.PIPE
        self._child = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment)
        self.acked: dict[int, Any] = {}  # what was called durable
        self.refused: list[dict[str, Any]] = []

    def say(self, *bodies: Any) -> None:
        """Have records appended, each after the answer to the one before; keep the answers."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        for body in bodies:
            line = {"kind": "note", "route": "pump/motor/speed@desired", "class": "state", "body": body}
            self._child.stdin.write(json.dumps(line).encode() + b"\n")
            self._child.stdin.flush()
            assert select.select([self._child.stdout], [], [], LIMIT_S)[0], "no answer"
            answer = json.loads(self._child.stdout.readline())
            if answer.get("durable") is True:
                self.acked[answer["seq"]] = body
            else:
                self.refused.append(answer)

    def end(self) -> tuple[int, str]:
        """Close its input; return exit code and complaint."""
        _, complaint = self._child.communicate(timeout=LIMIT_S)
        return self._child.returncode, complaint.decode()

    def kill(self) -> None:
        """Leave no process behind."""
        self._child.kill()
        with contextlib.suppress(ValueError):  # its pipes are closed already
            self._child.communicate()


class Left(NamedTuple):
    """What lies in a ledger's folder, as its commands say."""

    verdict: str
    lost: dict[int, Any]  # what was acknowledged and is not there, or other than it was


def left(folder: Path, *appends: Append) -> Left:
    """Read a ledger, and compare it with what was acknowledged of it."""
    found = json.loads(_output("verify", str(folder), "--deep", "--json"))
    lines = map(json.loads, _output("export", "--dir", str(folder)).splitlines())
    there = {each["seq"]: each["body"] for each in lines}
    acked = {seq: body for append in appends for seq, body in append.acked.items()}
    return Left(found["verdict"], {seq: body for seq, body in acked.items() if there.get(seq) != body})


def _output(*words: str) -> bytes:
    command = [sys.executable, "-m", "gateway", "ledger", *words]
    done = subprocess.run(command, capture_output=True, check=False, timeout=LIMIT_S)
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done.stdout
