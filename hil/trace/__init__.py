"""Traces: what passed on every bus of a test, with times, errors, faults and notes, a line each."""

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
