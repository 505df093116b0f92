from __future__ import annotations

from pathlib import Path

import pytest

from gateway.profile.load import find_profile
from gateway.runtime import examining
from gateway.runtime.examining import Job, look_at

TEXT = find_profile("cobs-node").read_text().replace("cobs-node@1.0.0", "cobs-node@1.1.0")


def job(folder: Path, text: str = TEXT) -> Job:
    return Job(folder=str(folder), profile="tidegate/cobs-node@1.1.0", text=text, used=None, wants_diff=True)


def test_a_process_of_its_own_says_what_is_wrong_and_what_is_new(tmp_path: Path) -> None:
    good, wrong = look_at(job(tmp_path)), look_at(job(tmp_path, TEXT.replace("[lifecycle]", "[lifecycle]\nmore = 1")))
    assert (good.is_good, good.problems, good.diff) == (True, [], [])
    assert (wrong.is_good, [problem.key for problem in wrong.problems]) == (False, ["lifecycle.more"])


def test_what_takes_too_long_to_look_at_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examining, "LIMIT_S", 0.01)
    told = look_at(job(tmp_path))
    assert not told.is_good
    assert "too large" in told.problems[0].message
