"""The plugin under `tidegate hil reserve take`."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

RIG = """
[rig]
name = "two"
[target.a.resource.uart0]
protocol = "uart"
sim = true
[target.b.resource.uart0]
protocol = "uart"
sim = true
"""


@pytest.mark.parametrize(
    ("options", "expected"), [((), "*::test_it[[]b[]]*"), (("--hil-target=a",), "*::test_it[[]a[]]*")]
)
def test_the_target_that_was_taken_is_tested_unless_another_is_named(run, monkeypatch, options, expected):
    monkeypatch.setenv("TIDEGATE_TARGET", "b")
    ran = run("def test_it(uart): pass", "-v", "--hil-rig=rig.toml", *options, rig=RIG)
    ran.assert_outcomes(passed=1)
    ran.stdout.fnmatch_lines([expected])
