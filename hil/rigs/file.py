r"""A rig file: which boards there are, by which wires they are reached, and how each state of theirs is reached.

    [rig]
    name = "bench-3"

    [target.a]
    states = ["off", "powered", "answering", "configured"]

    [target.a.resource.uart0]
    protocol = "uart"
    port = "usb:10c4:ea60:0001"       # what stays when the cable is plugged in elsewhere; or: sim = true
    baud = 115200

    [target.a.resource.power]
    protocol = "power"
    hub = "1-1"
    hub_port = 2

    [target.a.state.answering]
    timeout = "5s"
    send = "version\r\n"
    expect = "cobs-node \\d+"

Texts may hold `${NAME}` and `${NAME:-default}` of the environment. Everything here is data: `hil/rigs/check.py` says
what is wrong with it, and `load` raises that.
"""

from __future__ import annotations

from pathlib import Path

from gateway.errors import ConfigError, UsageError
from hil.rigs.check import examine
from hil.rigs.model import RigFile


def load(path: Path | str) -> RigFile:
    """Return what a rig file says. Raises: UsageError for one that cannot be read, ConfigError with all mistakes."""
    examined = examine(Path(path))
    if examined.unreadable is not None:
        raise UsageError(examined.unreadable)
    errors = [problem for problem in examined.problems if problem.severity == "error"]
    if examined.rig is None or errors:
        raise ConfigError(errors)
    return examined.rig
