"""`--hil-seed` and `--hil-repeat`: what comes back, and what is left of a failing schedule."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import hil.trace
from tests.hil.plugin.runs import ALWAYS, FLAKY, traces

pytest_plugins = ["pytester"]


def test_the_seed_is_what_was_given(run, cases):
    test = "def test_it(rig): assert rig.seed == 99"
    run(test, "--hil-seed=99").assert_outcomes(passed=1)
    assert cases()["test_it[sim]"][0]["hil.seed"] == "99"


def test_each_round_has_its_own_seed(run, pytester):
    test = """
        def test_it(rig):
            with open("seeds", "a") as file: print(rig.seed, file=file)
    """
    run(test, "--hil-repeat=5", "--hil-record=rec").assert_outcomes(passed=1)
    seeds = pytester.path.joinpath("seeds").read_text().split()
    assert len(set(seeds)) == 5
    assert seeds[0] == "1"
    assert len(traces(pytester.path / "rec")) == 5


def test_a_failing_round_is_minimised_and_its_seed_alone_brings_it_back(run, cases, pytester):
    run(FLAKY, "--hil-repeat=50", "--hil-record=rec", "--hil-seed=3").assert_outcomes(failed=1)
    properties, _ = cases()["test_flaky[sim]"]
    [strike] = json.loads(properties["hil.minimal"])
    assert (strike["kind"], strike["count"]) == ("drop", 1)
    failed = hil.trace.read(properties["hil.trace"])

    result = run(FLAKY, f"--hil-seed={properties['hil.seed']}", "--hil-record=again")
    result.assert_outcomes(failed=1)
    [again] = (pytester.path / "again").rglob("*.trace")
    assert hil.trace.read(again).hash == failed.hash

    alone = FLAKY.replace('"drop", probability=0.1', f"**{strike!r}")
    run(alone, f"--hil-seed={properties['hil.seed']}").assert_outcomes(failed=1)
    without = FLAKY.replace('faults.add("drop", probability=0.1)', "pass")
    run(without, "--hil-repeat=50").assert_outcomes(passed=1)


def test_probing_leaves_no_trace(run, pytester):
    run(FLAKY, "--hil-repeat=50", "--hil-record=rec", "--hil-seed=3").assert_outcomes(failed=1)
    assert not [each for each in traces(pytester.path / "rec") if "flaky" not in each]


def test_a_failure_that_has_nothing_to_do_with_faults_has_no_strikes_that_matter(run, cases):
    test = """
        def test_it(uart, faults):
            faults.add("bit_flip")
            uart.peer.send(b"ping")
            assert False
    """
    run(test, "--hil-repeat=2").assert_outcomes(failed=1)
    assert json.loads(cases()["test_it[sim]"][0]["hil.minimal"]) == []


def test_a_failure_without_faults_has_none_that_matter_and_says_nothing_of_them(run, cases):
    result = run("def test_it(uart): assert False", "--hil-repeat=2")
    assert json.loads(cases()["test_it[sim]"][0]["hil.minimal"]) == []
    result.stdout.no_fnmatch_line("*faults that matter*")


def test_one_round_that_was_asked_for_is_minimised_too(run, cases):
    certain = FLAKY.replace("probability=0.1", "after=3")
    run(certain, "--hil-repeat=1").assert_outcomes(failed=1)
    assert json.loads(cases()["test_flaky[sim]"][0]["hil.minimal"]) == [
        {"kind": "drop", "bus": "uart0", "after": 3, "count": 1}
    ]
    run(certain).assert_outcomes(failed=1)
    assert "hil.minimal" not in cases()["test_flaky[sim]"][0]


def test_a_fault_that_a_fixture_fails_of_is_found_too(run, cases):
    test = """
        import pytest
        @pytest.fixture
        def greeted(uart, faults):
            faults.add("drop")
            faults.add("bit_flip")
            uart.peer.send(b"h")
            assert uart.read(1, timeout="10ms")
        def test_it(greeted): pass
    """
    run(test, "--hil-repeat=3", "--hil-record=rec").assert_outcomes(errors=1)
    [strike] = json.loads(cases()["test_it[sim]"][0]["hil.minimal"])
    assert strike["kind"] == "drop"


def test_rounds_run_fixtures_anew_but_not_those_of_the_module(run):
    test = """
        import pytest
        made = []
        @pytest.fixture(scope="module")
        def once(): made.append("module"); yield; made.append("module ends")
        @pytest.fixture
        def anew(): made.append("function"); yield; made.append("function ends")
        def test_it(rig, once, anew): pass
        def test_after():
            assert made.count("module") == 1
            assert made.count("function") == made.count("function ends") == 3
    """
    run(test, "--hil-repeat=3").assert_outcomes(passed=2)


def test_a_fixture_of_the_module_that_ends_badly_is_reported_with_the_last_round(run):
    test = """
        import pytest
        @pytest.fixture(scope="module")
        def board(): yield; raise OSError("stuck")
        def test_it(rig, board): pass
    """
    result = run(test, "--hil-repeat=3")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["E*OSError: stuck"])


def test_the_same_seed_gives_the_same_trace_in_another_process(pytester):
    pytester.makepyfile(test_it=FLAKY)
    hashes = set()
    for folder, hash_seed in (("a", "1"), ("b", "2")):
        environ = {**os.environ, "PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-m", "pytest", "-q", *ALWAYS, f"--hil-record={folder}"]
        subprocess.run(command, cwd=pytester.path, env=environ, check=False, stdout=subprocess.DEVNULL)
        [path] = (pytester.path / folder).rglob("*.trace")
        hashes.add(hil.trace.read(path).hash)
    assert len(hashes) == 1
