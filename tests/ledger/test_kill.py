"""Writers that are killed: 300 of them, and every record that one of them acknowledged is there afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.kills import kill_rounds

ROUNDS = 300
CHUNKS = 4


@pytest.mark.timeout(900)
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_a_killed_writer_loses_nothing_that_it_acknowledged(tmp_path: Path, chunk: int) -> None:
    assert kill_rounds(tmp_path / "ledger", ROUNDS // CHUNKS, seed=chunk) == []
