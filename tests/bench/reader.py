"""The least that a reader of a wire can do: `python -m tests.bench.reader PATH FRAMES COALESCE_S`.

An asyncio loop waits for the tty, reads it and finds the frames; nothing is matched, decoded, kept or told. With
COALESCE_S it pauses after each read, as the gateway's pipeline does. Prints `ready`, then one JSON line.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import tty
from struct import unpack_from

from gateway.framing.build import build_framer
from gateway.framing.spec import CheckSpec, Cobs


async def main(path: str, frames: int, coalesce_s: float) -> None:
    """Read so many frames."""
    descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    tty.setraw(descriptor)
    framer = build_framer(Cobs(check=CheckSpec(kind="crc-16-ibm-3740")))
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    late_ns: list[int] = []
    begun: list[float] = []

    def read() -> None:
        if not begun:
            begun.append(time.process_time())
        for body in framer.feed(os.read(descriptor, 65536)):
            assert isinstance(body, bytes)
            late_ns.append(time.monotonic_ns() - int(unpack_from("<Q", body)[0]))
        if len(late_ns) >= frames:
            done.set_result(None)
        elif coalesce_s:
            loop.remove_reader(descriptor)
            loop.call_later(coalesce_s, loop.add_reader, descriptor, read)

    loop.add_reader(descriptor, read)
    print("ready", flush=True)
    await done
    cpu_s = time.process_time() - begun[0]
    late_ns.sort()
    told = {"delivered": len(late_ns), "cpu_s": cpu_s, "p99_ms": late_ns[len(late_ns) * 99 // 100] / 1e6}
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
