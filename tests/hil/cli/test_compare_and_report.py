"""`tidegate hil run`, `compare` and `report`, over runs that were really recorded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

TEST = """
def test_exchange(uart, recorder, dut):
    for _ in range(10):
        uart.peer.on(b"ask", b"answer", delay="{delay}ms", ignore={ignored})
    while True:
        uart.write(b"ask")
        if uart.read(6, timeout="50ms"):
            break
    recorder.measure("supply", 3.3, "V", minimum=3.0)

def test_other(uart):
    assert {passes}
"""


def tidegate(*words, folder):
    """Run the real command."""
    command = [sys.executable, "-m", "gateway", *map(str, words)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)


def recorded(folder: Path, name: str, **differences) -> Path:
    facts = {"delay": 5, "ignored": 0, "passes": True} | differences
    (folder / name).mkdir()
    (folder / name / "test_board.py").write_text(TEST.format(**facts))
    done = tidegate("hil", "run", "-q", "-n0", "-p", "no:cacheprovider", "--hil-record", "run", folder=folder / name)
    assert done.returncode == (0 if facts["passes"] else 1), done.stdout + done.stderr
    return folder / name / "run"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two runs")
    return recorded(folder, "old"), recorded(folder, "new", delay=6, ignored=2, passes=False)


def compared(a, b, *words):
    done = tidegate("hil", "compare", a, b, "--json", *words, folder=a.parent)
    return done.returncode, {row["name"]: row for row in json.loads(done.stdout)["rows"]}


def test_a_run_is_no_worse_than_itself(runs):
    code, rows = compared(runs[0], runs[0])
    assert code == 0
    assert {"latency_p99", "retries", "errors", "drops", "coverage", "failed_tests", "measure.supply"} == set(rows)


def test_what_got_worse_is_named_and_fails(runs):
    code, rows = compared(*runs)
    assert code == 1
    assert {"latency_p99", "retries", "drops", "failed_tests"} == {
        name for name, row in rows.items() if not row["pass"]
    }
    assert rows["retries"]["change"] == 2
    assert rows["latency_p99"]["change"] == pytest.approx(1, abs=0.01)


def test_what_got_better_is_fine(runs):
    assert compared(runs[1], runs[0])[0] == 0


def test_limits_allow_as_much_as_they_say(runs):
    allowed = (
        "--limit",
        "latency_p99=+25%",
        "--limit",
        "retries=+2",
        "--limit",
        "drops=+2",
        "--limit",
        "failed_tests=+1",
    )
    assert compared(*runs, *allowed)[0] == 0
    assert compared(*runs, *allowed, "--limit", "retries=+1")[0] == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("old/run", "nowhere"), "nowhere"),
        (("old/run", "old/run", "--limit", "errors"), "NAME=+10%"),
    ],
)
def test_a_folder_that_is_none_and_a_limit_that_is_none_are_usage_errors(runs, words, told):
    done = tidegate("hil", "compare", *words, folder=runs[0].parent.parent)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_the_readable_table_marks_what_is_worse(runs):
    done = tidegate("hil", "compare", *runs, folder=runs[0].parent)
    assert "WORSE" in done.stdout
    assert "firmware simulated" in done.stdout


def test_a_report_is_one_file_with_every_test(runs, tmp_path):
    done = tidegate("hil", "report", runs[1], "-o", tmp_path / "run.html", folder=tmp_path)
    assert done.returncode == 0
    text = (tmp_path / "run.html").read_text(encoding="utf-8")
    for told in ("test_exchange[sim]", "test_other[sim]", "3.3", "at least 3.0 V", b"ask".hex(), "failed"):
        assert told in text


def test_a_report_shows_what_stands_before_the_damage_of_a_trace_and_tells_of_it(tmp_path):
    header = '{"trace":1,"started":"2026-01-01T00:00:00Z","seed":1,"buses":{}}\n'
    record = '{"t_ns":1,"bus":"uart0","dir":"rx","kind":"bytes","data":"beef"}\n'
    (tmp_path / "torn.trace").write_text(header + record + '{"t_')
    torn = tidegate("hil", "report", ".", "-o", "run.html", folder=tmp_path)
    assert (torn.returncode, "torn.trace:3: torn off" in torn.stderr) == (0, True)
    itself = tidegate("hil", "compare", ".", ".", folder=tmp_path)
    assert (itself.returncode, "torn.trace:3: torn off" in itself.stderr) == (0, True)
    (tmp_path / "bad.trace").write_text(f"{header}{record}oops\n{record}")
    (tmp_path / "cut.trace").write_text(header[:20])
    done = tidegate("hil", "report", ".", "-o", "run.html", folder=tmp_path)
    assert (done.returncode, "bad.trace:3: damaged" in done.stderr) == (1, True)
    refused = tidegate("hil", "compare", ".", ".", folder=tmp_path)
    assert (refused.returncode, "bad.trace:3: damaged" in refused.stderr) == (2, True)
    text = (tmp_path / "run.html").read_text(encoding="utf-8")
    assert text.count("beef") == 2
    for told in ("bad.trace:3: damaged", "cut.trace:1: no trace", "torn.trace:3: torn off"):
        assert told in text


def test_a_report_of_nothing_names_the_next_step(tmp_path):
    done = tidegate("hil", "report", tmp_path, "-o", "x.html", folder=tmp_path)
    assert done.returncode == 2
    assert "--hil-record" in done.stderr
