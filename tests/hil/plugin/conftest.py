"""Whole pytest runs over one test file, with the plugin, and what came of them."""

from __future__ import annotations

import tempfile
import textwrap
from xml.etree import ElementTree as ET

import pytest

from tests.hil.plugin.runs import ALWAYS, RIG


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch, tmp_path):
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture
def run(pytester):
    """Run pytest over one test file, in this process."""

    def run(test, *options, rig=RIG):
        pytester.makepyfile(test_it=test)
        pytester.path.joinpath("rig.toml").write_text(textwrap.dedent(rig))
        return pytester.runpytest_inprocess(*ALWAYS, "--junitxml=junit.xml", *options)

    return run


@pytest.fixture
def cases(pytester):
    """Give what the JUnit file says: name -> (properties, system-out)."""

    def cases():
        return {
            case.get("name"): (
                {each.get("name"): each.get("value") for each in case.iter("property")},
                "".join(each.text or "" for each in case.iter("system-out")).splitlines(),
            )
            for case in ET.parse(pytester.path / "junit.xml").iter("testcase")
        }

    return cases
