"""A board on a serial line of this machine, and the rig file of the agent beside it."""

from __future__ import annotations

import contextlib
import os
import sys
import tty

from tests.waiting import WITHIN_S, heard

AGENT = [sys.executable, "-m", "gateway", "hil", "agent"]


class Board:
    """The far end of a serial cable."""

    def __init__(self, folder):
        self.end, near = os.openpty()
        for fd in (self.end, near):
            tty.setraw(fd)
        os.set_blocking(self.end, False)
        self._near = near
        (folder / "tty").symlink_to(os.ttyname(near))
        self.rig = folder / "rig.toml"
        resource = f'protocol = "uart"\nport = "{folder / "tty"}"\nbaud = 115200\n'
        self.rig.write_text(f'[rig]\nname = "r"\n[target.a.resource.uart0]\n{resource}')

    def say(self, data):
        os.write(self.end, data)

    def heard(self, count, within_s=WITHIN_S):
        def read():
            with contextlib.suppress(BlockingIOError):
                return os.read(self.end, 4096)

        return heard(read, count, within_s)

    def close(self):
        os.close(self.end)
        os.close(self._near)
