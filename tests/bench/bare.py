"""The least that can stand between a caller and a wire: `python -m tests.bench.bare SOCKET WIRE PAGE`.

Whatever comes on the socket is answered by one page written and synced, and then one byte on the wire. Two changes of
process and a sync: what the machine takes for itself, from everybody.
"""

from __future__ import annotations

import os
import sys


def main(caller: int, wire: int, page: str) -> None:
    """Answer until the caller is gone."""
    descriptor = os.open(page, os.O_RDWR | os.O_CREAT, 0o600)
    data = os.urandom(4096)
    os.pwrite(descriptor, data, 0)
    while os.read(caller, 4096):
        os.pwrite(descriptor, data, 0)
        os.fdatasync(descriptor)
        os.write(wire, b"\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
