"""Whole runs of pytest in a fresh folder, as a user has them: what happens when something is odd, and what is left."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import hil.trace
from hil.report.results import read_results

LIMIT_S = 120


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    return tmp_path


def command(*options):
    return [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]


def environment(folder, hash_seed="0"):
    return {**os.environ, "TMPDIR": str(folder), "PYTHONHASHSEED": hash_seed, "LC_ALL": "C"}


def run(folder, test, *options, hash_seed="0", before=()):
    (folder / "test_it.py").write_text(textwrap.dedent(test), encoding="utf-8")
    done = subprocess.run(
        [*before, *command(*options)],
        cwd=folder,
        env=environment(folder, hash_seed),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def hashes(folder):
    """Return of each trace the SHA-256 of all that stands behind its header line."""
    return {
        path.name: hashlib.sha256(path.read_bytes().partition(b"\n")[2]).hexdigest() for path in folder.rglob("*.trace")
    }


NOISY = """
    import pytest
    @pytest.mark.parametrize("n", [0, 1])
    def test_noisy(uart, faults, n):
        for kind in ("bit_flip", "drop", "duplicate", "noise", "reorder"):
            faults.add(kind, probability=0.3)
        faults.add("jitter", by="0ms..9ms")
        for value in range(30):
            uart.peer.send(bytes([value, n, 7]))
            uart.read_some()
"""


def test_a_seed_alone_decides_whatever_the_order_of_sets_and_the_worker(folder):
    seen = []
    for name, options, hash_seed in (("a", (), "1"), ("b", ("-n", "2"), "2"), ("c", ("--hil-seed", "8"), "1")):
        run(folder, NOISY, "--hil-seed", "7", *options, f"--hil-record={name}", hash_seed=hash_seed)
        seen.append(hashes(folder / name))
    assert (len(seen[0]), seen[0] == seen[1], seen[0] == seen[2]) == (2, True, False)


def test_a_folder_that_cannot_be_made_is_wrong_use(folder):
    (folder / "file").write_text("")
    status, told = run(folder, "def test_it(uart): pass", "--hil-record=file/run")
    assert (status, "Not a directory; name a folder" in told, "Traceback" in told) == (4, True, False), told


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_ended_in_mid_test_keeps_what_was_on_the_wire(folder, number):
    (folder / "test_it.py").write_text(
        textwrap.dedent("""
            import pathlib, time
            def test_hangs(uart):
                uart.peer.send(b"before")
                uart.read(6)
                pathlib.Path("ready").touch()
                time.sleep(60)
        """)
    )
    with subprocess.Popen(
        command("--hil-record=run"), cwd=folder, env=environment(folder), stdout=subprocess.PIPE, text=True
    ) as running:
        until = time.monotonic() + LIMIT_S
        while not (folder / "ready").exists() and time.monotonic() < until:
            time.sleep(0.01)
        running.send_signal(number)
        told = running.communicate(timeout=LIMIT_S)[0]
    [trace] = (folder / "run").rglob("*.trace")
    assert trace.read_bytes().endswith(b'"data":"6265666f7265"}\n')
    assert running.returncode == (-signal.SIGKILL if number == signal.SIGKILL else 2)
    assert [Path(path).name for path in folder.glob("tidegate-hil-*")] == []
    assert "Traceback" not in told


def test_a_test_whose_trace_finds_a_full_disk_fails_with_its_name_and_keeps_what_it_had_room_for(folder):
    status, told = run(
        folder,
        """
        def test_first(uart): uart.write(b"x")
        def test_long(uart):
            for _ in range(40):
                uart.peer.send(bytes(1000)); uart.read(1000)
        def test_last(uart): uart.write(b"x")
        """,
        "--hil-record=run",
        before=["bash", "-c", 'ulimit -f 50 && exec "$@"', "bash"],  # KiB of a file
    )
    assert (status, "1 failed, 2 passed" in told) == (1, True), told
    assert re.search(r"File too large: '.*test_long\[sim\]\.trace'", told), told
    [path] = (folder / "run").rglob("test_long*.trace")
    trace = hil.trace.read(path)
    assert (trace.torn, len(trace.records) > 10) == (True, True)
    assert sorted(each.outcome for each in read_results(folder / "run")) == ["failed", "passed", "passed"]


def test_a_worker_that_dies_takes_no_other_test_with_it(folder):
    status, told = run(
        folder,
        """
        import os
        def test_dies(uart): uart.peer.send(b"bye"); uart.read(3); os._exit(3)
        def test_lives(uart, faults): assert faults.active == []
        """,
        "-n1",
        "--hil-record=run",
    )
    assert (status, "1 failed, 1 passed" in told) == (1, True), told
    assert any(b"627965" in path.read_bytes() for path in (folder / "run").rglob("*.trace"))
    assert sorted(each.outcome for each in read_results(folder / "run")) == ["passed", "unknown"]


def test_what_is_wrong_in_a_test_is_shown_in_its_own_line_and_not_in_ours(folder):
    status, told = run(
        folder,
        """
        def test_fault(faults): faults.add("drp")
        def test_measurement(recorder): recorder.measure("boot", 2.0, "s", maximum=1)
        def test_golden(recorder): recorder.assert_golden("none", rows=[{"a": 1}])
        """,
    )
    assert (status, "3 failed" in told, "did you mean 'drop'?" in told) == (1, True, True), told
    assert not any(name in told for name in ("hil/faults/", "hil/measure.py", "hil/golden.py", "recorder.py")), told
