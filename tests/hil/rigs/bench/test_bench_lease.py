"""A bench under a lease: whoever loses the board does nothing to it any more."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("serial")

from hil.lease.errors import LeaseLostError
from hil.lease.pool import Pool
from hil.rigs.base import Round
from hil.rigs.bench.rig import BenchRig
from hil.rigs.file import load
from hil.sim.pty import Cable
from tests.waiting import heard

FILE = """\
[rig]
name = "bench"
[target.a.resource.uart0]
protocol = "uart"
port = "{cable}"
"""


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pool = Pool(tmp_path / "pool")
    pool.put("a", ["board=x"])
    lease = pool.take("name=a", ttl_s=60)
    for name, value in (("TARGET", "a"), ("TOKEN", str(lease.token)), ("POOL", str(pool.path))):
        monkeypatch.setenv(f"TIDEGATE_{name}", value)
    return pool


@pytest.fixture
def rig(pool, tmp_path: Path):
    cable = Cable(tmp_path / "board")
    cable.plug()
    (tmp_path / "rig.toml").write_text(FILE.format(cable=cable.path))
    rig = BenchRig(load(tmp_path / "rig.toml"), "a")
    rig.begin(Round("t", 1, tmp_path / "data"), tmp_path / "1.trace")
    yield rig, cable
    rig.close()
    cable.unplug()


def test_as_long_as_it_lasts_the_board_is_written_to(rig):
    bench, cable = rig
    bench.get("uart0").write(b"x")
    assert heard(cable.receive, 1) == b"x"


def test_whoever_was_displaced_writes_nothing_and_the_rig_comes_to_rest(rig, pool):
    bench, cable = rig
    pool.kick("a")
    with pytest.raises(LeaseLostError, match="lease"):
        bench.get("uart0").write(b"x")
    assert cable.receive() == b""
    assert bench.end() == []
