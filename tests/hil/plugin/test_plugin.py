"""The plugin in whole pytest runs: what is skipped, refused, repeated, recorded and reported."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

import hil.trace

pytest_plugins = ["pytester"]

FLAKY = """
    def test_flaky(uart, faults):
        faults.add("drop", probability=0.1)
        for _ in range(10):
            uart.peer.send(b"ping")
            assert uart.read(4, timeout="20ms") == b"ping"
"""
RIG = """
    [rig]
    name = "bench"
    [target.left]
    states = ["off", "powered", "answering"]
    [target.left.resource.uart0]
    protocol = "uart"
    sim = true
    [target.right]
    states = ["off", "powered"]
    [target.right.resource.uart7]
    protocol = "uart"
    sim = true
    [target.right.resource.power]
    protocol = "power"
    sim = true
"""
HEAVY = ("serial", "can", "bleak", "spidev", "bumble", "construct", "cantools", "msgspec", "starlette", "hil.sim")
ALWAYS = ("-p", "no:schemathesis", "-p", "no:cacheprovider", "--junitxml=junit.xml")


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
        return pytester.runpytest_inprocess(*ALWAYS, *options)

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


def traces(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.trace"))


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


# ---- nothing for nothing


def test_a_run_that_uses_no_fixture_imports_next_to_nothing(pytester):
    pytester.makepyfile(f"""
        import sys
        def test_it():
            assert [] == [name for name in {HEAVY} if name in sys.modules]
            assert {{"hil.plugin.hooks"}} <= set(sys.modules)
            assert not [name for name in sys.modules if name.startswith(("gateway", "hil.faults", "hil.rigs.sim"))]
    """)
    result = pytester.runpytest_subprocess("-p", "no:schemathesis", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=1)


def test_a_run_that_uses_no_fixture_makes_no_rig(run, cases):
    run("def test_it(): pass").assert_outcomes(passed=1)
    assert cases() == {"test_it": ({}, [])}


# ---- seeds and rounds


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


def test_the_same_seed_gives_the_same_trace_in_another_process(pytester):
    pytester.makepyfile(test_it=FLAKY)
    hashes = set()
    for folder, hash_seed in (("a", "1"), ("b", "2")):
        environ = {**os.environ, "PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:schemathesis", f"--hil-record={folder}"]
        subprocess.run(command, cwd=pytester.path, env=environ, check=False, stdout=subprocess.DEVNULL)
        [path] = (pytester.path / folder).rglob("*.trace")
        hashes.add(hil.trace.read(path).hash)
    assert len(hashes) == 1


# ---- what is reported


def test_junit_has_what_passed_on_each_bus_and_what_was_measured(run, cases):
    test = """
        def test_it(uart, recorder):
            uart.peer.on(b"\\x01", b"\\x02\\x03")
            uart.write(b"\\x01")
            assert uart.read(2)
            recorder.measure("supply", 3.25, "V", minimum=3, maximum=3.6)
        def test_quiet(): pass
    """
    run(test).assert_outcomes(passed=2)
    properties, log = cases()["test_it[sim]"]
    assert {"hil.seed", "hil.trace", "hil.rig", "hil.gateway", "hil.firmware"} < set(properties)
    assert properties["supply"] == "3.25 V"
    assert log[:2] == ["uart0 tx 01", "uart0 rx 0203"]
    assert cases()["test_quiet"][1][0] == "uart0 no traffic"
    assert hil.trace.read(properties["hil.trace"]).header.seed == 1


def test_a_measurement_outside_its_limits_fails_and_is_reported(run, cases):
    test = "def test_it(recorder): recorder.measure('supply', 4, 'V', maximum=3.6)"
    run(test).assert_outcomes(failed=1)
    assert cases()["test_it[sim]"][0]["supply"] == "4 V"


def test_a_failure_shows_the_last_records_the_seed_and_the_trace(run):
    test = """
        def test_it(uart):
            uart.peer.send(b"\\xab\\xcd")
            assert uart.read(2) == b""
    """
    result = run(test)
    result.stdout.fnmatch_lines(["*last records of uart0*", '*"data":"abcd"*', "*hil*", "seed 1, trace *.trace"])


def test_a_failure_in_set_up_is_reported_with_the_run(run, cases):
    test = """
        import pytest
        @pytest.fixture
        def bad(uart):
            uart.write(b"\\x55")
            raise OSError("no such board")
        def test_it(bad): pass
    """
    result = run(test)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(['*"data":"55"*'])
    properties, log = cases()["test_it[sim]"]
    assert properties["hil.seed"] == "1"
    assert "uart0 tx 55" in log


def test_traces_are_kept_where_asked_one_for_each_test(run, pytester):
    test = """
        import pytest
        @pytest.mark.parametrize("n", [1, 2])
        def test_n(uart, n): uart.write(bytes(n))
        class TestGroup:
            def test_n(self, uart): pass
        def test_quiet(): pass
    """
    run(test, "--hil-record=rec").assert_outcomes(passed=4)
    folder = pytester.path / "rec"
    assert len(traces(folder)) == 4
    sizes = {len(hil.trace.read(folder / each).records) for each in traces(folder) if "n[" in each}
    assert sizes == {0, 1}


def test_traces_that_nobody_asked_for_go_unless_a_test_fails(pytester, monkeypatch):
    pytester.makepyfile("""
        import pytest
        @pytest.mark.parametrize("works", [True, False])
        def test_it(uart, works): assert works
    """)
    monkeypatch.setenv("TMPDIR", str(pytester.mkdir("temporary")))
    left = []
    for chosen in ("True", "False"):
        pytester.runpytest_subprocess("-p", "no:schemathesis", "-k", chosen)
        left.append(len(traces(pytester.path / "temporary")))
    assert left == [0, 1]


def test_workers_report_as_one_process_does(run, cases, pytester):
    test = """
        import pytest
        @pytest.mark.parametrize("n", range(1, 5))
        def test_it(uart, recorder, n):
            uart.write(bytes([n]))
            recorder.measure("n", n, "1")
    """
    run(test, "-n2", "--hil-record=rec").assert_outcomes(passed=4)
    found = {(properties["n"], log[0]) for properties, log in cases().values()}
    assert found == {(f"{n} 1", f"uart0 tx 0{n}") for n in range(1, 5)}
    assert len(traces(pytester.path / "rec")) == 4


# ---- kinds of tests and fixtures


def test_classes_and_unittest_and_async_tests_can_use_the_rig(run):
    test = """
        import unittest, pytest
        class TestPlain:
            def test_it(self, uart): uart.write(b"x")
        class Old(unittest.TestCase):
            @pytest.fixture(autouse=True)
            def _take(self, uart): self.uart = uart
            def test_it(self): self.uart.write(b"x")
        @pytest.mark.anyio
        @pytest.mark.parametrize("anyio_backend", ["asyncio"])
        async def test_async(uart, anyio_backend): uart.write(b"x")
    """
    run(test).assert_outcomes(passed=3)


def test_a_fixture_can_be_asked_for_in_mid_test(run, cases):
    test = """
        def test_it(request):
            uart = request.getfixturevalue("uart")
            uart.write(b"x")
        def test_after(request): assert request.getfixturevalue("clock").monotonic_ns() == 0
        def test_quiet(): pass
    """
    run(test).assert_outcomes(passed=3)
    assert cases()["test_it"][1][0] == "uart0 tx 78"
    assert cases()["test_quiet"][1][0] == "uart0 no traffic"


def test_a_fixture_of_the_module_can_stand_on_the_rig(run):
    test = """
        import pytest
        @pytest.fixture(scope="module")
        def device(rig):
            yield rig
            rig.target
        def test_one(device): device.get("uart0").write(b"x")
        def test_two(device, uart):
            assert device.get("uart0") is uart
            assert uart.peer.received == b""
    """
    run(test).assert_outcomes(passed=2)


def test_a_handle_of_a_test_that_is_over_says_so(run):
    test = """
        import pytest
        @pytest.fixture(scope="module")
        def port(rig): return rig.get("uart0")
        def test_one(port): port.write(b"x")
        def test_two(port): port.write(b"x")
    """
    result = run(test)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*RigError: *over*"])


def test_what_a_conftest_calls_by_the_same_name_counts(run, pytester):
    pytester.makeconftest("""
        import pytest
        @pytest.fixture
        def clock(): return "mine"
        @pytest.fixture
        def gateway(): return "mine"
        @pytest.fixture
        def ble(): return "mine"
    """)
    test = "def test_it(clock, gateway, ble): assert {clock, gateway, ble} == {'mine'}"
    run(test, "--hil-rig=rig.toml").assert_outcomes(passed=1)


def test_a_conftest_can_build_on_a_fixture(run, pytester):
    pytester.makeconftest("""
        import pytest
        @pytest.fixture
        def uart(uart):
            uart.peer.on(b"?", b"!")
            return uart
    """)
    run("def test_it(uart): uart.write(b'?'); assert uart.read(1) == b'!'").assert_outcomes(passed=1)


def test_no_fault_leaks_into_the_next_test(run):
    test = """
        def test_one(uart, faults, clock, power):
            faults.add("unplug", bus="uart0")
            faults.add("clock_jump", by="1h")
            power.off()
        def test_two(uart, faults, clock, dut):
            assert faults.active == []
            assert dut.state == "configured"
            assert clock.monotonic_ns() == 0
            uart.peer.send(b"x")
            assert uart.read(1) == b"x"
    """
    run(test).assert_outcomes(passed=2)


def test_the_plugin_can_be_left_out(pytester):
    pytester.makepyfile("def test_it(): pass")
    result = pytester.runpytest_subprocess("-p", "no:tidegate-hil", "-p", "no:schemathesis")
    result.assert_outcomes(passed=1)


@pytest.mark.parametrize(
    "options", [["--collect-only"], ["--setup-show"], ["--fixtures"], ["--markers"], ["-p", "no:capture"]]
)
def test_other_ways_to_run_pytest_work(run, options):
    assert run("def test_it(uart, recorder): pass", *options).ret == 0


# ---- how a run ends


@pytest.mark.parametrize(("what", "code"), [("KeyboardInterrupt", 2), ("SystemExit(3)", 1), ("pytest.exit('x')", 2)])
def test_a_test_that_stops_everything_leaves_its_trace(pytester, what, code):
    raising = what if what.startswith("pytest") else f"raise {what}"
    test = f"""
        import pytest
        @pytest.fixture
        def plugged(uart, faults):
            faults.add("unplug")
            yield
            with open("ended", "w"): pass
        def test_it(plugged):
            {raising}
    """
    pytester.makepyfile(test_it=test)
    assert pytester.runpytest_subprocess(*ALWAYS[:4], "--hil-record=rec").ret == code
    [path] = (pytester.path / "rec").rglob("*.trace")
    trace = hil.trace.read(path)
    assert not trace.torn
    assert trace.records[-1].text == "unplug ends"
    assert pytester.path.joinpath("ended").exists()


def test_ctrl_c_in_mid_test_brings_everything_to_rest(pytester):
    pytester.makepyfile("""
        import pathlib, time
        def test_it(uart, faults, power):
            faults.add("flow_stall")
            uart.write(b"x")
            pathlib.Path("running").touch()
            time.sleep(60)
    """)
    command = [sys.executable, "-m", "pytest", "-q", *ALWAYS[:4], "--hil-record=rec"]
    child = subprocess.Popen(command, cwd=pytester.path, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not Path(pytester.path, "running").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    out, _ = child.communicate(timeout=60)
    assert child.returncode == pytest.ExitCode.INTERRUPTED, out
    [path] = (pytester.path / "rec").rglob("*.trace")
    trace = hil.trace.read(path)
    assert not trace.torn
    assert [(each.dir, each.kind) for each in trace.records] == [
        ("fault", "flow_stall"),
        ("note", "note"),
        ("tx", "bytes"),
    ]


def test_the_simulated_rig_is_up_within_a_second(pytester):
    pytester.makepyfile("""
        import time
        def test_first(): pass
        def test_it(request):
            begin = time.process_time()
            request.getfixturevalue("uart")
            assert time.process_time() - begin < 1
        def test_last(uart): pass
    """)
    pytester.runpytest_subprocess("-p", "no:schemathesis", "-p", "no:cacheprovider").assert_outcomes(passed=3)
