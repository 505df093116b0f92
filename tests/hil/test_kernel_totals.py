"""When the kernel rig has succeeded, and what its last line says."""

from __future__ import annotations

import json

import pytest

from hil.kernel.totals import OUTCOMES, Result, reasons, result_of, summary


def result(guest="buses", exit_code=0, **counts):
    return Result(guest, exit_code, dict.fromkeys(OUTCOMES, 0) | counts)


def test_enough_passed_tests_and_nothing_else_is_a_success():
    assert reasons([result(passed=30), result("usb", passed=10)]) == []


@pytest.mark.parametrize("outcome", ["failed", "error", "skipped", "xfailed", "xpassed"])
def test_one_test_that_ended_otherwise_fails_the_rig(outcome):
    found = reasons([result(passed=50), result("usb", passed=10, **{outcome: 1})])
    assert found == [f"usb: 1 {outcome}"]


def test_a_guest_without_a_test_fails_the_rig():
    assert reasons([result(passed=50), result("usb", exit_code=5)]) == ["usb: no test ran"]
    assert reasons([result(passed=50), result("usb", exit_code=5, deselected=20)]) == ["usb: no test ran"]


def test_a_guest_without_a_report_fails_the_rig_and_says_why():
    found = reasons([result(passed=50), Result("usb", fault="it had not ended after 200 s")])
    assert found == ["usb: it had not ended after 200 s"]


def test_pytest_s_own_exit_code_counts_even_where_the_counts_are_fine():
    assert reasons([result(passed=50, exit_code=3)]) == ["buses: pytest ended with exit code 3"]


def test_fewer_than_forty_passed_tests_fail_the_rig():
    assert reasons([result(passed=29), result("usb", passed=10)]) == ["39 tests passed, the rig wants at least 40"]


def test_no_guest_at_all_fails_the_rig():
    assert "no guest ran" in reasons([])


def test_a_report_is_read_as_it_was_written():
    counts = dict.fromkeys(OUTCOMES, 0) | {"passed": 3, "failed": 1}
    assert result_of("usb", json.dumps({"exit": 1, "counts": counts})) == Result("usb", 1, counts)


@pytest.mark.parametrize("report", ["", "{", "[]", "{}", '{"exit": 0}', '{"exit": 0, "counts": {"passed": 3}}', "null"])
def test_a_report_that_was_cut_is_a_fault_and_no_success(report):
    assert result_of("usb", report).fault.startswith("its report cannot be read")


@pytest.mark.parametrize(
    ("results", "elapsed_s", "line"),
    [
        ([result(passed=30), result("usb", passed=27)], 213.45, "57 passed in 213.45s (0:03:33)"),
        (
            [result(passed=30, failed=2), result("usb", passed=27, skipped=1)],
            9,
            "2 failed, 57 passed, 1 skipped in 9.00s",
        ),
        ([result(passed=30), Result("usb", fault="gone")], 9, "30 passed, 1 error in 9.00s"),
        ([Result("buses", fault="gone"), Result("usb", fault="gone")], 9, "2 errors in 9.00s"),
        ([], 1, "no tests ran in 1.00s"),
    ],
)
def test_the_last_line_is_pytest_s_for_all_guests_together(results, elapsed_s, line):
    written = summary(results, elapsed_s, 80)
    assert written.strip("=") == f" {line} "
    assert len(written) == 80


def test_a_narrow_terminal_gets_the_whole_line():
    assert summary([result(passed=57)], 213.45, 10) == "= 57 passed in 213.45s (0:03:33) ="
