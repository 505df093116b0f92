"""The README's test with a recorded trace as the device."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest

from tests.hil.plugin.runs import ALWAYS

pytest_plugins = ["pytester"]

README = (Path(__file__).parents[3] / "README.md").read_text()
[EXAMPLE] = re.findall(r"^```python\n(def test_the_pump.*?)^```", README, re.MULTILINE | re.DOTALL)
TRACE = """\
{"trace":1,"started":"2026-01-01T00:00:00Z","seed":1,"buses":{"can0":{"protocol":"can"}}}
{"t_ns":300000,"bus":"can0","dir":"tx","kind":"data","data":"01","id":"201"}
{"t_ns":900000,"bus":"can0","dir":"rx","kind":"data","data":"0101","id":"181"}
"""
HOST = """
def run_the_pump(can_bus):
    can_bus.send(0x201, b"\\x01")
    assert can_bus.recv().data == b"\\x01\\x01"
"""


@pytest.fixture(autouse=True)
def _own_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # where the traces of failed tests stay


def test_it_passes_as_it_stands(pytester):
    pytester.makepyfile(test_pump=HOST + EXAMPLE)
    pytester.path.joinpath("pump.trace").write_text(TRACE)
    pytester.runpytest_inprocess(*ALWAYS).assert_outcomes(passed=1)


def test_it_shows_where_a_host_does_otherwise(pytester):
    pytester.makepyfile(test_pump=HOST.replace("x01", "x02", 1).replace("    assert", "    #") + EXAMPLE)
    pytester.path.joinpath("pump.trace").write_text(TRACE)
    shown = pytester.runpytest_inprocess(*ALWAYS)
    shown.assert_outcomes(failed=1)
    shown.stdout.fnmatch_lines(["*diverged at record 1:", "*expected * 201 01 *", "*got * 201 02 *"])
