"""What a run leaves behind: JUnit, the terminal, traces."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

import hil.trace
from hil.report.results import read_results
from tests.hil.plugin.runs import ALWAYS, traces

pytest_plugins = ["pytester"]


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
    result.assert_outcomes(failed=1)
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


def test_traces_that_nobody_asked_for_are_in_pytests_own_temporary_folder(pytester):
    pytester.makepyfile("def test_it(uart): pass")
    pytester.runpytest_subprocess(*ALWAYS, "--basetemp=own")
    assert len(traces(pytester.path / "own")) == 1


def test_a_wrong_use_is_shown_at_the_line_of_the_test(run):
    test = """
        def test_uart(uart): uart.peer.on(b"a", b"b", delay=0.1)
        def test_can(can_bus): can_bus.send(0x800, b"")
        def test_spi(spi): spi.transfer(b"")
        def test_gateway(gateway): gateway.wait("a/b/c")
    """
    result = run(test)
    result.assert_outcomes(failed=4)
    result.stdout.fnmatch_lines(["> *delay=0.1)", "E *ValueError: 0.1 is no duration*"])
    result.stdout.no_fnmatch_line("*hil/*.py:*: ValueError*")
    result.stdout.no_fnmatch_line("*hil/*.py:*: in *")


def test_results_say_why_a_test_did_not_pass(run, pytester):
    test = """
        import pytest
        @pytest.fixture
        def board(): yield; raise OSError("stuck")
        def test_call(uart, board): assert uart.read(4, timeout=0) == b"pong", "caf\\udce9"
        def test_end(uart, board): pass
        def test_skip(uart): pytest.skip("not today")
        def test_good(uart): pass
    """
    run(test, "--hil-record=rec")
    found = {each.test.partition("::")[2]: (each.outcome, each.reason) for each in read_results(pytester.path / "rec")}
    outcome, reason = found["test_call[sim]"]
    assert (outcome, reason.partition("\n")[0]) == ("failed", r"AssertionError: caf\udce9")
    assert found["test_end[sim]"] == ("failed", "OSError: stuck")
    assert found["test_skip[sim]"] == ("skipped", "Skipped: not today")
    assert found["test_good[sim]"] == ("passed", "")


@pytest.mark.parametrize("options", [[], ["-n2"], ["--hil-repeat=2"]])
def test_what_an_update_changes_in_golden_files_is_shown(run, options):
    test = "def test_it(recorder): recorder.assert_golden('rows', rows=[{'v': 1}])"
    result = run(test, "--hil-update-golden", *options)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["+++ *rows.jsonl", '+{"v":1}'])


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


def test_a_test_that_is_run_again_has_the_facts_of_its_last_run_alone(run, pytester):
    pytester.makeconftest("""
        from _pytest.runner import runtestprotocol
        def pytest_runtest_protocol(item, nextitem):  # as plugins do that run failed tests again
            runtestprotocol(item, nextitem=nextitem, log=False)
            item._initrequest()
            for report in runtestprotocol(item, nextitem=nextitem, log=False):
                item.ihook.pytest_runtest_logreport(report=report)
            return True
    """)
    run("def test_it(recorder): recorder.measure('v', 3, 'V')")
    said = [(each.get("name"), each.get("value")) for each in ET.parse(pytester.path / "junit.xml").iter("property")]
    names = [name for name, _ in said]
    assert sorted(names) == sorted({"v", "hil.seed", *names})
    assert dict(said)["hil.trace"].endswith("~2.trace")
