"""Figures of a recorded run."""

from __future__ import annotations

from pathlib import Path

from hil.measure import Measurement
from hil.report.figures import answering, coverage_of, exchange_of, figures_of
from hil.report.results import Result
from hil.trace.record import make

ASK, ANSWER = b"ask", b"answer"


def exchange(*steps):
    return exchange_of(make(t_ms * 1_000_000, "uart0", direction, "bytes", data) for t_ms, direction, data in steps)


def drops(*exchanges):
    return figures_of([], exchanges)["drops"].value


def test_a_latency_is_from_a_send_to_the_first_answer():
    found = exchange((0, "tx", ASK), (3, "rx", ANSWER), (4, "rx", ANSWER), (10, "tx", ASK), (11, "rx", ANSWER))
    assert found.latencies_ns == (3_000_000, 1_000_000)


def test_what_is_sent_again_without_an_answer_is_a_retry_and_a_drop():
    found = exchange((0, "tx", ASK), (5, "tx", ASK), (6, "rx", ANSWER), (9, "tx", b"other"))
    assert (found.retries, drops(found)) == (1, 2)


def test_a_bus_that_never_answers_drops_nothing():
    assert drops(exchange((0, "tx", ASK), (5, "tx", b"more"))) == 0


def test_a_bus_that_answers_in_another_test_or_run_drops_what_it_does_not_answer():
    silent, fine = exchange((0, "tx", ASK), (5, "tx", b"more")), exchange((0, "tx", ASK), (1, "rx", ANSWER))
    assert drops(silent, fine) == 2
    assert figures_of([], [silent], answering([fine]))["drops"].value == 2


def test_flags_and_error_frames_are_errors():
    records = [
        make(0, "uart0", "rx", "bytes", b"x", errors=["parity"]),
        make(0, "can0", "rx", "error", bytes(8), id="20000080"),
        make(0, "can0", "rx", "data", b"x", id="123"),
        make(0, "uart0", "fault", "parity", b"x", params={}),
    ]
    assert exchange_of(records).errors == 2


def test_a_transfer_carries_its_answer():
    found = exchange_of(
        [make(0, "spi0", "tx", "transfer", b"\x80", rx="ff"), make(1, "spi0", "tx", "transfer", b"\x80")]
    )
    assert (found.retries, drops(found)) == (0, 0)


def about(profile, exercised):
    part = {"exercised": exercised, "all": ["a", "b"]}
    return {"dev": {"profile": profile, "values": part, "setpoints": {"exercised": [], "all": []}}}


def test_coverage_is_what_any_test_exercised_of_all_profiles():
    results = [Result(test="1", covered=about("x", ["a"])), Result(test="2", covered=about("x", ["b"])),
               Result(test="3", covered=about("y", []))]  # fmt: skip
    assert coverage_of(results) == 50.0
    assert coverage_of([Result(test="1")]) is None


def test_a_measurement_counts_by_its_worst():
    low, high = (Measurement("supply", value, "V", minimum=3.0) for value in (3.1, 3.4))
    results = [Result(test="1", measurements=(low,)), Result(test="2", measurements=(high,))]
    figures = figures_of(results, [])
    assert figures["measure.supply"] == (3.1, "V", -1)
    assert figures["latency_p99"].value is None


def test_a_folder_without_results_beside_its_traces_is_read_all_the_same(tmp_path: Path):
    from hil.report.results import read_results

    (tmp_path / "one.trace").write_text('{"trace":1,"started":"2026-01-01T00:00:00Z","seed":1,"buses":{}}\n')
    assert [(each.test, each.outcome) for each in read_results(tmp_path)] == [("one", "unknown")]


def test_a_test_whose_runner_did_not_live_to_tell_has_not_passed():
    results = [Result(test=outcome, outcome=outcome) for outcome in ("passed", "skipped", "failed", "unknown")]
    assert figures_of(results, [])["failed_tests"].value == 2
