"""Traces that grow."""

from __future__ import annotations

from pathlib import Path

import pytest

from hil.trace.record import Header
from hil.trace.writer import TraceWriter


def test_a_full_disk_is_told_with_the_name_of_the_file():
    full = Path("/dev/full")
    with pytest.raises(OSError, match=r"No space left on device: '/dev/full'"):
        TraceWriter(full, Header(trace=1, started="2026-01-01T00:00:00Z", seed=1, buses={}))
