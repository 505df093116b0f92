"""The plugin in whole pytest runs: what is skipped and refused, on which targets, and what it costs."""

from __future__ import annotations

import pytest

from hil.trace import read
from tests.hil.plugin.runs import ALWAYS

pytest_plugins = ["pytester"]
HEAVY = ("serial", "can", "bleak", "spidev", "bumble", "construct", "cantools", "msgspec", "starlette", "hil.sim")


# ---- what a test needs


def test_a_test_is_skipped_with_what_the_rig_lacks(run):
    result = run(
        """
        import pytest
        @pytest.mark.hil(needs=["uart", "lin0", "can0", "lin0", "modem"])
        def test_that_needs_much(): assert False
        @pytest.mark.hil(needs=["uart", "can0", "power"])
        def test_that_has_all(): pass
        """,
        "-rs",
    )
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.re_match_lines([r".*: hil: missing lin0, modem$"])


def test_a_fixture_is_a_need_too(run):
    test = """
        def test_of_can(can_bus): assert False
        def test_of_uart(uart): pass
    """
    result = run(test, "-rs", "--hil-rig=rig.toml")
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.re_match_lines([r".*: hil: missing can$"])


def test_strictly_a_lack_is_an_error(run):
    result = run(
        """
        import pytest
        @pytest.mark.hil(needs=["uart", "lin0"])
        def test_that_needs_much(): assert False
        """,
        "--hil-strict",
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*hil: missing lin0*"])
    assert result.ret == 1


@pytest.mark.parametrize("marker", ["'uart'", "need=['uart']"])
def test_a_marker_that_is_none_is_told(run, marker):
    result = run(f"""
        import pytest
        @pytest.mark.hil({marker})
        def test_it(): pass
    """)
    result.stdout.fnmatch_lines(["*write @pytest.mark.hil(needs=[[]'uart0', 'can'[]])*"])
    assert result.ret != 0


# ---- wrong use


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--hil-rig=gone.toml"], "gone.toml: no such file"),
        (["--hil-target=sin"], "--hil-target sin: no such target*sim"),
        (["--hil-rig=rig.toml", "--hil-target=left,rigth"], "--hil-target rigth: no such target*right"),
        (["--hil-target=sim", "--hil-all"], "one of them"),
        (["--hil-repeat=0"], "--hil-repeat 0: at least 1"),
        (["--hil-seed=-1"], "--hil-seed -1"),
    ],
)
def test_wrong_options_are_refused_before_anything_runs(run, options, named):
    result = run("def test_it(): pass", *options)
    result.stderr.fnmatch_lines([f"*{named}*"])
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def test_a_trace_that_cannot_be_begun_is_an_error_in_one_line(run, pytester):
    pytester.path.joinpath("run").mkdir()
    pytester.path.joinpath("run/test_it").write_text("a file where the folder of its traces would be")
    result = run("def test_it(): pass", "--hil-record=run")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["hil: *run/test_it*"])
    result.stdout.no_fnmatch_line("*During handling*")


def test_a_note_keeps_what_is_no_text(run, pytester):
    run("def test_it(recorder): recorder.note('caf\\udce9'); recorder.note(7)", "--hil-record=run").assert_outcomes(
        passed=1
    )
    [trace] = pytester.path.joinpath("run").rglob("*.trace")
    assert [record.text for record in read(trace).records] == [r"caf\udce9", "7"]


def test_a_rig_file_with_mistakes_is_refused(run):
    result = run("def test_it(): pass", "--hil-rig=rig.toml", rig="[rig]\nnme = 'x'\n")
    result.stderr.fnmatch_lines(["*rig.toml:2*", "*tidegate hil check*"])
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def test_golden_files_are_not_updated_in_ci(run, monkeypatch, pytester):
    monkeypatch.setenv("CI", "true")
    result = run("def test_it(recorder): recorder.assert_golden('rows', rows=[])", "--hil-update-golden")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert not pytester.path.joinpath("golden").exists()


# ---- targets


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ([], ["test_it[sim]"]),
        (["--hil-rig=rig.toml"], ["test_it[left]"]),
        (["--hil-rig=rig.toml", "--hil-target=right"], ["test_it[right]"]),
        (["--hil-rig=rig.toml", "--hil-target=right,left"], ["test_it[right]", "test_it[left]"]),
        (["--hil-rig=rig.toml", "--hil-target=left,right,left"], ["test_it[left]", "test_it[right]"]),
        (["--hil-rig=rig.toml", "--hil-all"], ["test_it[left]", "test_it[right]"]),
    ],
)
def test_a_test_runs_over_each_target(run, cases, options, names):
    test = """
        def test_it(rig, dut, uart):
            assert rig.target == dut.name
            assert rig.get("uart7" if dut.name == "right" else "uart0") is uart
    """
    result = run(test, *options)
    result.assert_outcomes(passed=len(names))
    assert list(cases()) == names
    assert {each[0]["hil.rig"] for each in cases().values()} == {"bench" if "--hil-rig=rig.toml" in options else "sim"}


def test_a_test_that_only_says_what_it_needs_runs_over_each_target_too(run, cases):
    test = """
        import pytest
        @pytest.mark.hil(needs=["uart7"])
        def test_it(): pass
    """
    run(test, "--hil-rig=rig.toml", "--hil-all").assert_outcomes(passed=1, skipped=1)
    assert list(cases()) == ["test_it[left]", "test_it[right]"]
    assert cases()["test_it[right]"][0]["hil.target"] == "right"


# ---- nothing for nothing


def test_a_run_that_uses_no_fixture_imports_next_to_nothing(pytester):
    pytester.makepyfile(f"""
        import sys
        def test_it():
            assert [] == [name for name in {HEAVY} if name in sys.modules]
            assert {{"hil.plugin.hooks"}} <= set(sys.modules)
            assert not [name for name in sys.modules if name.startswith(("gateway", "hil.faults", "hil.rigs.sim"))]
    """)
    result = pytester.runpytest_subprocess(*ALWAYS)
    result.assert_outcomes(passed=1)


def test_a_run_that_uses_no_fixture_makes_no_rig(run, cases):
    run("def test_it(): pass").assert_outcomes(passed=1)
    assert cases() == {"test_it": ({}, [])}
