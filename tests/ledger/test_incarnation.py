"""Numbers that left the machine before they were durable are never taken for others that were given again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gateway.ledger import Ledger
from gateway.ledger.base import Options

ROUTE = "a/b/c@frame"


@pytest.fixture(params=["ldg1", "sqlite"])
def options(request: pytest.FixtureRequest) -> Options:
    small = {"ring_bytes": 2 << 20, "segment_bytes": 256 << 10, "is_small": True} if request.param == "ldg1" else {}
    return Options(backend=request.param, tells_early=True, **small)


def killed(folder: Path, options: Options) -> Path:
    """Return a ledger as its writer's sudden death leaves it: with a record in memory that is lost."""
    with Ledger.open(folder / "one", options=options) as ledger:
        ledger.append("note", None, {"kept": 1}, "state")
        ledger.append("reading", ROUTE, b"lost", "telemetry")
        shutil.copytree(folder / "one", folder / "two")
    return folder / "two"


def test_after_a_sudden_death_numbers_are_of_a_new_incarnation(tmp_path: Path, options: Options) -> None:
    with Ledger.open(killed(tmp_path, options), options=options) as ledger:
        seq = ledger.append("note", None, {"after": 1}, "state")
        found = {record.seq: record.incarnation for record in ledger.read() if record.kind == "note"}
        assert found[seq] == 2
        assert ledger.verify().verdict == "intact"
        assert ledger.verify().gaps == []


def test_after_a_clean_end_they_go_on(tmp_path: Path, options: Options) -> None:
    for count in range(1, 4):
        with Ledger.open(tmp_path / "one", options=options) as ledger:
            ledger.append("note", None, {"count": count}, "state")
            assert ledger.status()["incarnation"] == 1


def test_where_nothing_leaves_early_a_sudden_death_changes_nothing(tmp_path: Path, options: Options) -> None:
    import msgspec

    plain = msgspec.structs.replace(options, tells_early=False)
    with Ledger.open(killed(tmp_path, plain), options=plain) as ledger:
        assert ledger.status()["incarnation"] == 1
