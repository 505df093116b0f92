"""The demo as a user meets it: in a process of its own, with and without a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
import urllib.request

import pytest

from gateway.screen import ENTER, LEAVE
from tests.waiting import WITHIN_S, first_met, until

COMMAND = [sys.executable, "-m", "gateway", "demo"]


def environment(**changes):
    kept = {key: value for key, value in os.environ.items() if key not in {"NO_COLOR", "TIDEGATE_DATA"}}
    return kept | {"TERM": "xterm", "PYTHONIOENCODING": "utf-8"} | changes


def _take_terminal():
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Terminal:
    """The demo in a terminal of ours."""

    def __init__(self, *options, **changes):
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [*COMMAND, *options],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment(**changes),
            start_new_session=True,
            preexec_fn=_take_terminal,  # noqa: PLW1509 - no threads in a test of one process
        )
        os.close(theirs)
        self.seen = b""

    def read_until(self, wanted, limit_s=2 * WITHIN_S):
        until_s = time.monotonic() + limit_s
        while wanted not in self.seen:
            readable, _, _ = select.select([self._ours], [], [], max(until_s - time.monotonic(), 0))
            assert readable, f"{wanted!r} did not come; last: {self.seen[-300:]!r}"
            self.seen += os.read(self._ours, 65536)

    def type(self, text):
        os.write(self._ours, text)

    def rest(self):
        """Read to the end and return the exit code."""
        while select.select([self._ours], [], [], WITHIN_S)[0]:
            try:
                chunk = os.read(self._ours, 65536)
            except OSError:  # EIO: the other end is closed
                break
            if not chunk:
                break
            self.seen += chunk
        os.close(self._ours)
        return self.process.wait(WITHIN_S)


def test_it_serves_the_dashboard_on_this_machine_and_says_where():
    demo = subprocess.Popen(
        [*COMMAND, "--seconds", "30"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment()
    )
    try:
        address = next(
            found[1] for line in demo.stderr if (found := re.match(r"browser: (http://127\.0\.0\.1:\d+/) ", line))
        )
        with until(lambda: _opened(address)) as page:
            assert b"main.js" in page.read()
    finally:
        demo.terminate()
        demo.stderr.close()
        demo.wait(WITHIN_S)


def _opened(address):
    try:
        return urllib.request.urlopen(address, timeout=WITHIN_S)
    except OSError:
        return None


def test_without_a_terminal_it_prints_plain_lines_and_ends_by_itself():
    for seconds in (2.5, 10, 40):  # by when a busy machine has brought up all devices nobody knows
        command = [*COMMAND, "--seconds", str(seconds)]
        answer = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=80, check=False)
        lines = answer.stdout.splitlines()
        if {line.split()[1].split("/")[0] for line in lines} >= {"node", "gps", "pump", "tag"}:
            break
    assert answer.returncode == 0
    assert all(re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3} [a-z0-9_-]+(/[a-z0-9_-]+){2} \S.*", line) for line in lines)
    assert {line.split()[1].split("/")[0] for line in lines} == {"node", "gps", "pump", "tag"}
    assert "\x1b" not in answer.stdout + answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_within_two_seconds_and_gives_the_terminal_back(number):
    def ended():
        terminal = Terminal()
        terminal.read_until(b"temperature")
        sent_s = time.monotonic()
        terminal.process.send_signal(number)
        assert terminal.rest() == 0
        took_s = time.monotonic() - sent_s
        assert terminal.seen.count(ENTER.encode()) == 1
        assert LEAVE.encode() in terminal.seen
        assert terminal.seen.index(LEAVE.encode()) > terminal.seen.rindex(b"temperature")
        assert b"Traceback" not in terminal.seen
        return took_s

    assert first_met(ended, lambda took_s: took_s < 2) < 2


def test_q_ends_it():
    terminal = Terminal()
    terminal.read_until(b"temperature")
    terminal.type(b"q")
    assert terminal.rest() == 0
    assert LEAVE.encode() in terminal.seen


def test_no_color_is_respected():
    terminal = Terminal(NO_COLOR="1")
    terminal.read_until(b"temperature")
    terminal.type(b"q")
    assert terminal.rest() == 0
    assert re.findall(rb"\x1b\[[0-9;]+m", terminal.seen.replace(LEAVE.encode(), b"")) == []


def test_a_dumb_terminal_gets_plain_lines():
    terminal = Terminal(TERM="dumb")
    terminal.read_until(b"node/node/temperature")
    terminal.process.terminate()
    assert terminal.rest() == 0
    assert b"\x1b" not in terminal.seen


def test_a_reader_that_leaves_ends_it_well():
    with subprocess.Popen(COMMAND, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as process:
        process.stdout.readline()
        process.stdout.close()
        errors = process.stderr.read()
    assert process.returncode == 0
    assert b"Traceback" not in errors


def test_a_data_folder_that_cannot_be_is_told_in_one_line():
    answer = subprocess.run(
        [*COMMAND, "--data", "/dev/null/x"], capture_output=True, text=True, env=environment(), timeout=120, check=False
    )
    assert answer.returncode == 2
    assert answer.stderr == "tidegate: --data /dev/null/x: Not a directory\n"


def test_a_second_demo_in_the_same_folder_leaves_the_first_alone(tmp_path):
    data, printed = tmp_path / "data", tmp_path / "printed"
    status = [sys.executable, "-m", "gateway", "status", "--data", str(data)]

    def answered(command):
        return subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=120, check=False)

    with (
        printed.open("wb") as out,
        subprocess.Popen(
            [*COMMAND, "--data", str(data)], stdout=out, stderr=subprocess.DEVNULL, env=environment()
        ) as first,
    ):
        until(lambda: printed.stat().st_size)
        second = answered([*COMMAND, "--data", str(data)])
        until(lambda: answered(status).stdout.count("CONNECTED") == 4)
        first.terminate()
    assert second.returncode == 2
    assert "another gateway runs" in second.stderr
    assert first.returncode == 0
    assert [path.name for path in data.iterdir() if path.name.startswith("devices")] == []
