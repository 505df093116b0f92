"""`tidegate record`: what a running gateway sees, whole however the recording ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

import hil.trace
from gateway.cli.set import command as set_valve

pytestmark = pytest.mark.slow
TIDEGATE = [sys.executable, "-m", "gateway"]
LIMIT_S = 120


def record(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [*TIDEGATE, "record", "--data", "data", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=LIMIT_S)


def lines_of(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def wait_for_records(path: Path, least: int) -> None:
    until_s = time.monotonic() + LIMIT_S
    while lines_of(path) <= least:
        assert time.monotonic() < until_s, f"{path} has {lines_of(path)} lines"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    """A gateway with simulated devices that sets a valve and a motor to and fro."""
    folder = tmp_path_factory.mktemp("running")
    words = ["demo", "--plain", "--data", "data", "--no-dashboard", "--no-unplug"]
    with subprocess.Popen(
        [*TIDEGATE, *words], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as demo:
        until_s = time.monotonic() + LIMIT_S
        while record(folder, "-o", "first.trace", "--duration", "10ms").returncode != 0:
            assert time.monotonic() < until_s
        yield folder, demo
        demo.terminate()


def test_it_ends_by_itself_with_what_was_heard_and_sent_on_each_bus(gateway):
    folder, _ = gateway
    path = folder / "run.trace"
    words = [*TIDEGATE, "record", "--data", "data", "-o", path.name, "--duration", "6s"]
    with subprocess.Popen(words, cwd=folder, stderr=subprocess.PIPE, text=True) as recording:
        wait_for_records(path, 5)
        setting = CliRunner().invoke(set_valve, ["--data", str(folder / "data"), "node/node/valve", "30"])
        _, said = recording.communicate(timeout=LIMIT_S)
    trace = hil.trace.read(path)
    assert (setting.exit_code, recording.returncode) == (0, 0), (setting.output, said)
    assert {"can0", "uart0"} <= set(trace.header.buses)
    assert {"rx", "tx"} <= {each.dir for each in trace.records if each.bus == "uart0"}
    assert f"{len(trace.records)} records" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_leaves_a_whole_trace(gateway, number):
    folder, _ = gateway
    path = folder / f"{number.name}.trace"
    words = [*TIDEGATE, "record", "--data", "data", "-o", path.name]
    with subprocess.Popen(words, cwd=folder, stderr=subprocess.PIPE, text=True) as recording:
        wait_for_records(path, 5)
        recording.send_signal(number)
        _, said = recording.communicate(timeout=LIMIT_S)
    trace = hil.trace.read(path)
    assert recording.returncode == 0, said
    assert not trace.torn
    assert f"{len(trace.records)} records" in said


def test_only_the_device_that_is_named_is_recorded(gateway):
    folder, _ = gateway
    path = folder / "node.trace"
    words = [*TIDEGATE, "record", "--data", "data", "-o", path.name, "node"]
    with subprocess.Popen(words, cwd=folder) as recording:
        wait_for_records(path, 10)
        recording.terminate()
    assert len({each.bus for each in hil.trace.read(path).records}) == 1


def test_a_device_that_is_not_there_is_told_with_those_that_are(gateway):
    folder, _ = gateway
    done = record(folder, "-o", "none.trace", "--duration", "1s", "nod")
    assert done.returncode == 2
    assert "node" in done.stderr


def test_a_folder_that_is_not_there_is_told(gateway):
    folder, _ = gateway
    done = record(folder, "-o", "nowhere/x.trace", "--duration", "1s")
    assert done.returncode == 2
    assert "nowhere/x.trace" in done.stderr
    assert "Traceback" not in done.stderr


def test_on_a_full_disk_it_ends_with_its_name_and_all_that_it_had_room_for(gateway):
    folder, _ = gateway
    path = folder / "full.trace"
    limited = ["bash", "-c", 'ulimit -f 4 && exec "$@"', "bash"]  # KiB of a file
    words = [*limited, *TIDEGATE, "record", "--data", "data", "-o", path.name]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    trace = hil.trace.read(path)
    assert done.returncode == 2
    assert "full.trace cannot be written: File too large" in done.stderr
    assert f"{len(trace.records)} records" in done.stderr
    assert "Traceback" not in done.stderr
    assert (len(trace.records) > 5, path.stat().st_size) == (True, 4096)


def test_a_disk_without_any_room_is_told_before_anything_is_recorded(gateway):
    folder, _ = gateway
    done = record(folder, "-o", "/dev/full", "--duration", "1s")
    assert (done.returncode, done.stderr) == (2, "tidegate: /dev/full cannot be written: No space left on device\n")


def test_without_a_gateway_the_next_step_is_told(tmp_path):
    done = record(tmp_path, "-o", "x.trace", "--duration", "1s")
    assert done.returncode == 3
    assert "tidegate run" in done.stderr


def test_a_gateway_that_ends_meanwhile_ends_it_with_all_that_came(gateway):
    folder, demo = gateway
    words = [*TIDEGATE, "record", "--data", "data", "-o", "last.trace"]
    with subprocess.Popen(words, cwd=folder, stderr=subprocess.PIPE, text=True) as recording:
        wait_for_records(folder / "last.trace", 5)
        demo.terminate()
        _, said = recording.communicate(timeout=LIMIT_S)
    assert recording.returncode == 3
    assert "has ended" in said
    assert not hil.trace.read(folder / "last.trace").torn
