"""Tidegate's commands on the guest's disks, each in a process of its own."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
import time
from pathlib import Path

import drivers._recordings
import drivers.replay
import gateway.app
import gateway.profile.load
from gateway import cli
from gateway.cli import ledger_append, run
from gateway.cli.client import ask
from gateway.errors import GatewayError
from tests.kernel.flash.promises import line_of

PRELOADED = (ledger_append, run, drivers.replay, drivers._recordings, gateway.app, gateway.profile.load)  # once
PROFILE = Path(__file__).parents[3] / "profiles" / "uart" / "pms5003" / "profile.toml"
FRAME = bytes.fromhex("424d001c00000008000800000008000800d20046002d001e00000000970002c5")
LIMIT_S = 60.0
LOOK_S = 0.3


def until(condition, what):
    """Wait until it holds; return what it gave."""
    end_s = time.monotonic() + LIMIT_S
    while not (found := condition()):
        assert time.monotonic() < end_s, what
        time.sleep(LOOK_S)
    return found


class Command:
    """One command at work. It is forked: to start Python takes ten seconds in a guest."""

    def __init__(self, *arguments):
        ends = [os.pipe() for _ in range(3)]  # its input, output and complaints
        theirs, ours = (ends[0][0], ends[1][1], ends[2][1]), (ends[0][1], ends[1][0], ends[2][0])
        self.pid = os.fork()
        if not self.pid:
            for end, name in zip(theirs, range(3), strict=True):
                os.dup2(end, name)
            os.closerange(3, 1024)
            _work(arguments)
        for end in theirs:
            os.close(end)
        self.input, self.output, self._complaint = ours[0], os.fdopen(ours[1], "rb"), os.fdopen(ours[2], "rb")

    def end(self):
        """Close its input; return exit code and complaint once it has ended."""
        os.close(self.input)
        complaint = self._complaint.read().decode()
        _, status = os.waitpid(self.pid, 0)
        self.output.close()
        self._complaint.close()
        return os.waitstatus_to_exitcode(status), complaint


def _work(arguments):
    code = 99
    logging.getLogger().handlers.clear()  # pytest's write to what is another file here by now
    try:
        sys.stdin, sys.stdout, sys.stderr = (os.fdopen(name, mode) for name, mode in enumerate("rww"))
        sys.argv = ["tidegate", *arguments]
        cli.main()
    except SystemExit as end:
        code = end.code
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


class Append(Command):
    """A `ledger append` that is fed."""

    def __init__(self, folder):
        super().__init__("ledger", "append", "--dir", str(folder), "--stdin")

    def answers(self, numbers):
        """Return what is answered to records, in order; None where it has ended."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self.input, b"".join(map(line_of, numbers)))
        return [self._answer() for _ in numbers]

    def acked(self, numbers):
        """Return the pairs of sequence number and body's number; everything is acknowledged."""
        answers = self.answers(numbers)
        assert [each and each.get("durable") for each in answers] == [True] * len(answers), answers
        return [(answer["seq"], number) for answer, number in zip(answers, numbers, strict=True)]

    def _answer(self):
        line = self.output.readline()
        return json.loads(line) if line else None


class Run(Command):
    """A gateway on a replayed sensor, ten frames a second, every one of them recorded; its data are in a folder."""

    def __init__(self, folder):
        folder.mkdir(exist_ok=True)
        self.folder = folder
        home = Path(os.environ.get("TMPDIR", "/tmp")) / f"site-{folder.parent.name}"  # not on a disk that fails
        home.mkdir(exist_ok=True)
        (home / "dust.bin").write_bytes(FRAME * 30)
        (home / "dust.toml").write_text(PROFILE.read_text() + '\n[record]\nat_most = "0s"\n')
        (home / "site.toml").write_text(
            f'[gateway]\nname = "flash"\ndata = "{folder}"\n'
            '[ledger]\nwindow = "0.3s"\nring = "512KiB"\nsegment = "64KiB"\n'
            f'[device.dust]\nprofile = "dust.toml"\nport = "replay:{home}/dust.bin?loop=1&speed=0.3"\n'
        )
        super().__init__("run", str(home / "site.toml"))

    def status(self):
        """Return what it says of itself, None while it does not answer."""
        try:
            return ask(str(self.folder), None, "status")
        except GatewayError:
            return None

    def ledger(self):
        return (self.status() or {}).get("ledger", {})

    def frames(self):
        return self.status()["devices"][0]["frames"]["delivered"]

    def stop(self):
        """Tell it to end; return exit code and what it logged."""
        os.kill(self.pid, signal.SIGTERM)
        return self.end()
