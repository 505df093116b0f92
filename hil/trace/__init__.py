"""Traces: what passed on every bus of a test, with times, errors, faults and notes, a line each.

- `record.py` is a line, `writer.py` and `reader.py` a file, `recording.py` makes one of a running gateway
- `diff.py`, `show.py`, and `convert.py` with `formats`: compared, shown, from other programs and to them
- `player.py` and `orders.py` decide what a trace that is played says and expects, pure; `playing.py` with `targets.py`
  does it on ports of this machine, `hil.peers.playing` on a rig
"""

from hil.trace.errors import TraceDamagedError, TraceError, TraceHeaderError
from hil.trace.reader import Trace, TraceStream, read
from hil.trace.record import Header, Record, make
from hil.trace.writer import TraceWriter

__all__ = [
    "Header",
    "Record",
    "Trace",
    "TraceDamagedError",
    "TraceError",
    "TraceHeaderError",
    "TraceStream",
    "TraceWriter",
    "make",
    "read",
]
