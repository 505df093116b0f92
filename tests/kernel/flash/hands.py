"""The channel to the rig: what the guest says is kept there over power cuts, and comes back with the next boot."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import NamedTuple

PORT = "/dev/virtio-ports/tidegate.hands"
TOLD = Path("/run/rig/told")


class Hands:
    """Says things to the rig, one at a time; returns when the rig has kept them."""

    def __init__(self):
        self._port = os.open(PORT, os.O_RDWR)
        self._turn = threading.Lock()

    def say(self, what, name, facts):
        with self._turn:
            os.write(self._port, f"{what} {name} {json.dumps(facts)}\n".encode())
            answer = b""
            while not answer.endswith(b"\n"):
                answer += os.read(self._port, 4096)
            assert answer == b"ok\n", answer


class Told(NamedTuple):
    what: str
    name: str
    facts: object


def told():
    """Return everything that was said in earlier boots."""
    words = (line.split(" ", 2) for line in TOLD.read_text().splitlines())
    return [Told(what, name, json.loads(facts)) for what, name, facts in words]


def acked(name, said):
    """Return the pairs of sequence number and body's number that were acknowledged to a writer."""
    return [tuple(pair) for each in said if (each.what, each.name) == ("acked", name) for pair in each.facts]


def last_head(name, said):
    """Return the last end of a ledger that was durable, None where there is none."""
    heads = [each.facts for each in said if (each.what, each.name) == ("durable", name)]
    return heads[-1] if heads else None
