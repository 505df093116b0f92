"""`tidegate top` on a real terminal, with a real gateway."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.screen import ENTER, LEAVE

WITHIN_S = 60.0
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A terminal with a command on it."""

    def __init__(self, *args: str, columns: int = 80, lines: int = 24, **more: str) -> None:
        self._ours, theirs = pty.openpty()
        self.resize(columns, lines)
        env = {"PATH": os.environ["PATH"], "TERM": "xterm", "LC_ALL": "C.UTF-8", "HOME": "/nonexistent", **more}

        def take() -> None:
            fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

        command = [sys.executable, "-m", "gateway", "top", *args]
        self.process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=env,
            start_new_session=True,
            preexec_fn=take,  # noqa: PLW1509 - no threads in a test of one process
        )
        os.close(theirs)
        self.seen = ""

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def press(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def frame(self) -> list[str]:
        """Return the newest whole picture."""
        whole = self.seen.rpartition("\x1b[J")[0].rpartition("\x1b[H")[2]
        return re.split(r"\r+\n", ESCAPES.sub("", whole))

    def until(self, what: str) -> list[str]:
        """Return the first picture with this in it."""
        end_s = time.monotonic() + WITHIN_S
        while time.monotonic() < end_s:
            if any(re.search(what, line) for line in self.frame()):
                return self.frame()
            if select.select([self._ours], [], [], 0.5)[0]:
                self._read()
        raise AssertionError(f"{what!r} did not come:\n" + "\n".join(self.frame()))

    def ended(self) -> int:
        code = self.process.wait(WITHIN_S)
        while select.select([self._ours], [], [], 0.1)[0] and self._read():
            pass
        os.close(self._ours)
        return code

    def _read(self) -> bool:
        try:
            data = os.read(self._ours, 65_536)
        except OSError:  # the other end is closed
            return False
        self.seen = (self.seen + data.decode("utf-8", "replace"))[-400_000:]
        return bool(data)


@pytest.fixture
def data(tmp_path: Path) -> Iterator[str]:
    with running(tmp_path):
        yield str(tmp_path / "data")


@contextlib.contextmanager
def running(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Give a gateway that can be asked; it is gone behind the block."""
    gateway = begun(folder)
    try:
        yield gateway
    finally:
        gateway.kill()
        gateway.communicate()


def begun(folder: Path) -> subprocess.Popen[bytes]:
    """Return a gateway that plays a log for ever, when it can be asked."""
    log = folder / "log.jsonl"
    if not log.exists():
        payload = "0512fc5394c37c0004fffc040cac364200cdcbb8334c884f"
        told = {"t": 0.0, "address": "CB:B8:33:4C:88:4F", "manufacturer_data": {"1177": payload}, "rssi": -60}
        log.write_text("".join(json.dumps(told | {"t": each / 10}) + "\n" for each in range(20)))
    command = [sys.executable, "-m", "gateway", "run", f"tag=ruuvitag-df5@replay:{log}?loop=1"]
    gateway = subprocess.Popen([*command, "--data", str(folder / "data")], stderr=subprocess.PIPE)
    assert gateway.stderr is not None
    assert b"tidegate watch" in gateway.stderr.readline()
    return gateway


def printed(*args: str) -> str:
    command = [sys.executable, "-m", "gateway", "top", *args]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=WITHIN_S).stdout


def test_a_terminal_shows_scrolls_filters_looks_closely_resizes_and_is_given_back(data: str) -> None:
    terminal = Terminal("--data", data)
    first = terminal.until(r"tag/climate/temperature +24\.3 +°C")
    assert len(first) == 24
    assert [line for line in first if len(line) > 80] == []
    terminal.press("/pressure\r")
    filtered = terminal.until(r"filter 'pressure'")
    assert any("tag/climate/pressure" in line for line in filtered)
    assert not any("tag/climate/temperature" in line for line in filtered)
    terminal.press("\x1b")
    terminal.until("tag/climate/temperature")
    terminal.press("\x1b[Bd")
    terminal.until(r"profile +ruuvi/ruuvitag-df5@1\.0\.0")
    terminal.press("d")
    terminal.resize(132, 40)
    wide = terminal.until("PROFILE +PORT")
    assert len(wide) == 40
    terminal.press("p")
    terminal.until("PAUSED")
    terminal.press("q")
    assert terminal.ended() == 0
    assert terminal.seen.count(LEAVE) == 1


def test_a_gateway_that_goes_away_is_waited_for(tmp_path: Path) -> None:
    with running(tmp_path):
        terminal = Terminal("--data", str(tmp_path / "data"), NO_COLOR="1")
        terminal.until("1 of 1 devices connected")
    terminal.until("LOST .* trying again: .*")
    with running(tmp_path):
        terminal.until("no door but the socket")
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.ended() == 0
    assert "\x1b[3" not in terminal.seen.replace(ENTER, "").replace(LEAVE, "")


def test_what_is_no_terminal_gets_one_plain_frame_or_objects(data: str) -> None:
    plain = printed("--data", data)
    assert "tag/climate/temperature" in plain
    assert "\x1b" not in plain
    told: dict[str, Any] = json.loads(printed("--once", "--json", "--data", data))
    assert set(told) == {"status", "devices", "values", "rates"}
    assert told["rates"]["frames"].keys() == {"tag"}


def test_without_a_gateway_who_does_not_wait_is_told_so(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gateway", "top", "--once", "--data", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN_S, check=False)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
