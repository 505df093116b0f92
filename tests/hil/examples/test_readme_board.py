"""The README's test of one's own board: ten lines, and it finds what it is for."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest

from tests.hil.plugin.runs import ALWAYS

pytest_plugins = ["pytester"]

README = (Path(__file__).parents[3] / "README.md").read_text()
[EXAMPLE] = re.findall(r"^```python\n(def supply_v.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(autouse=True)
def _own_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # where the traces of failed tests stay


def test_it_is_ten_lines():
    assert len([line for line in EXAMPLE.splitlines() if line.strip()]) == 10


def test_it_passes_as_it_stands(pytester):
    pytester.makepyfile(test_board=EXAMPLE)
    pytester.runpytest_inprocess(*ALWAYS, "--hil-repeat=5").assert_outcomes(passed=1)


def test_it_fails_for_a_driver_that_does_not_try_again(pytester):
    pytester.makepyfile(test_board=EXAMPLE.replace("range(3)", "range(1)"))
    result = pytester.runpytest_inprocess(*ALWAYS, "--hil-repeat=5")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(['[[]{"kind":"drop","bus":"uart0",*"after":0}]'])


@pytest.mark.parametrize("shown", ["--hil-rig", "--hil-repeat", "--hil-record", "--hil-seed"])
def test_the_options_that_are_shown_beside_it_are_there(pytester, shown):
    assert shown in README
    pytester.runpytest_inprocess(*ALWAYS, "--help").stdout.fnmatch_lines([f"*{shown}=*"])
