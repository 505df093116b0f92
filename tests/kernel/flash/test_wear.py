"""What reaches the disk, by the disk's own counters, once the ring has been written all over."""

from __future__ import annotations

import sys

import pytest

from gateway.ledger import Ledger
from gateway.ledger.base import Options
from tests.kernel.flash.medium import FILE_SYSTEMS, counters, disk, make, mounted

UNIT_BYTES = 4096
COMMITS = 400
OPTIONS = Options(ring_bytes=8 << 20, segment_bytes=1 << 20)  # 256 commits a segment: two rolls are in it, no sealing


@pytest.fixture(params=sorted(FILE_SYSTEMS))
def spare(request):
    """A ledger's place on a fresh file system, and its disk."""
    device = disk("spare")
    make(request.param, device)
    with mounted(request.param, device, "spare") as place:
        yield place / "ledger", device


def test_a_durable_commit_is_one_unit_and_one_flush(request, spare):
    folder, device = spare
    Ledger.create(folder, OPTIONS)
    with Ledger.open(folder) as ledger:
        for _ in range(10):
            ledger.append("note", None, bytes(32), "audit")
        before = counters(device)
        for _ in range(COMMITS):
            ledger.append("note", None, bytes(32), "audit")
        spent = counters(device).since(before)
    units, flushes = spent.written_bytes / UNIT_BYTES / COMMITS, spent.flushes / COMMITS
    sys.stdout.write(f"{request.node.callspec.id}: {units:.4f} units, {flushes:.4f} flushes a durable commit\n")
    assert 1 <= units <= 1.01
    assert flushes == 1
