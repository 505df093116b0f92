"""Writes frames at a pace, in a process of its own: `python -m tests.bench.generator DESCRIPTOR FRAMES_PER_SECOND`.

What a slow reader holds up is caught up on, as far as `MOST_BEHIND_S`: beyond it the pace gives way, and who measures
sees by the reader's own count what came. Ends when the other end is closed, or by SIGTERM.
"""

from __future__ import annotations

import contextlib
import sys
import time

from tests.bench.streams import uart_frames, write_all

TICK_S = 0.005
MOST_BEHIND_S = 0.1


def main(descriptor: int, frames_per_s: int) -> None:
    """Write for ever."""
    frames = uart_frames()
    whole = b"".join(frames) * (1 + int(frames_per_s * TICK_S) // len(frames))
    tick = whole[: int(frames_per_s * TICK_S) * len(whole) // (whole.count(b"\0"))]
    tick = tick[: tick.rindex(b"\0") + 1]
    each_s = tick.count(b"\0") / frames_per_s
    due_s = time.monotonic()
    while True:
        write_all(descriptor, tick)
        due_s = max(due_s + each_s, time.monotonic() - MOST_BEHIND_S)
        time.sleep(max(0.0, due_s - time.monotonic()))


if __name__ == "__main__":
    with contextlib.suppress(OSError, KeyboardInterrupt):
        main(int(sys.argv[1]), int(sys.argv[2]))
