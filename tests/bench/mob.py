"""A client that means no good, until it is ended: `python -m tests.bench.mob PORT WAY`."""

from __future__ import annotations

import contextlib
import random
import socket
import sys
import time
from typing import NamedTuple

GET = b"GET /v1/values HTTP/1.1\r\nHost: localhost\r\n\r\n"
PUT = b"PUT /v1/devices/node/setpoints/a/b HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


class Way(NamedTuple):
    """What it says, over and over, and whether it reads what it is answered."""

    says: bytes
    reads: bool = True


WAYS = {
    "asks without pause": Way(GET),
    "pipelines questions": Way(GET * 64),
    "watches and takes nothing": Way(GET.replace(b"values", b"watch"), reads=False),
    "sends a body in crumbs": Way(PUT + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 2_000),
    "sends half a body": Way(PUT + b"Content-Length: 60000\r\n\r\n", reads=False),
    "sends noise": Way(random.Random(1).randbytes(4_096)),
    "sends a huge head": Way(b"GET / HTTP/1.1\r\nX: " + b"y" * 60_000),
}


def main(port: int, way: Way) -> None:
    """Bother, and come again when thrown out."""
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as client:
            while True:
                client.sendall(way.says)
                if way.reads and not client.recv(1 << 20):
                    break
                if not way.reads:
                    time.sleep(0.1)
        time.sleep(0.01)


if __name__ == "__main__":
    main(int(sys.argv[1]), WAYS[sys.argv[2]])
