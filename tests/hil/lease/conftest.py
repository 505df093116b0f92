from __future__ import annotations

import pytest

from hil.lease.pool import Pool


@pytest.fixture
def pool(tmp_path, monkeypatch):
    """A pool of two boards of one kind and one of another."""
    for name in ("TARGET", "TOKEN", "POOL"):
        monkeypatch.delenv(f"TIDEGATE_{name}", raising=False)
    pool = Pool(tmp_path / "pool")
    pool.put("f4-1", ["board=f4"])
    pool.put("f4-2", ["board=f4"])
    pool.put("c3", ["board=c3"])
    return pool
