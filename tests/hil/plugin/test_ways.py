"""Kinds of tests and fixtures on the rig, and how a run ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import hil.trace
from tests.hil.plugin.runs import ALWAYS

pytest_plugins = ["pytester"]


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
    result = pytester.runpytest_subprocess("-p", "no:tidegate-hil", *ALWAYS)
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
            faults.add("unplug", bus="uart0")
            yield
            with open("ended", "w"): pass
        def test_it(plugged):
            {raising}
    """
    pytester.makepyfile(test_it=test)
    assert pytester.runpytest_subprocess(*ALWAYS, "--hil-record=rec").ret == code
    [path] = (pytester.path / "rec").rglob("*.trace")
    trace = hil.trace.read(path)
    assert not trace.torn
    assert "unplug ends" in [each.get("text") for each in trace.records]
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
    command = [sys.executable, "-m", "pytest", "-q", *ALWAYS, "--hil-record=rec"]
    child = subprocess.Popen(command, cwd=pytester.path, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not Path(pytester.path, "running").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    out, _ = child.communicate(timeout=120)
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
    pytester.runpytest_subprocess(*ALWAYS).assert_outcomes(passed=3)
