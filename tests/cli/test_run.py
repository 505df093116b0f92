"""`run` and the commands that ask a running gateway, as processes: exit codes, messages, lines."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.framing.cobs import stuff
from tests.runtime.kit import COBS, reading, state

TIDEGATE = [sys.executable, "-m", "gateway"]


def tidegate(*arguments: str | Path, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*TIDEGATE, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **(environment or {})},
    )


@contextlib.contextmanager
def running(*arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """Give a gateway that has said its first line; it is stopped behind the block."""
    process = subprocess.Popen([*TIDEGATE, "run", *map(str, arguments)], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        process.first = process.stderr.readline()  # type: ignore[attr-defined]
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site whose device plays a recording for ever."""
    (tmp_path / "node.toml").write_text(COBS.format(extra="", state=""))
    bodies = [reading(number) for number in range(20)] + [state(30)]
    (tmp_path / "log.bin").write_bytes(b"".join(stuff(body) + b"\0" for body in bodies))
    file = tmp_path / "site.toml"
    file.write_text(
        f'[gateway]\nname = "boiler-room"\ndata = "{tmp_path / "data"}"\n'
        f'[device.node]\nprofile = "node.toml"\nport = "replay:{tmp_path / "log.bin"}?loop=1"\n'
    )
    return file


def answer(data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Ask until the gateway is up."""
    for _ in range(100):
        done = tidegate(*arguments, "--data", data)
        if done.returncode != 3:
            return done
    raise AssertionError(done.stderr)


def test_a_running_gateway_answers_every_question(site: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(site) as process:
        assert process.first == f"boiler-room: 1 device on 1 port; see values with: tidegate watch --data {data}\n"  # type: ignore[attr-defined]
        status = json.loads(answer(data, "status", "--json").stdout)
        frames = status["devices"][0]["frames"]
        assert (status["name"], status["devices"][0]["state"]) == ("boiler-room", "CONNECTED")
        assert frames["in"] == sum(frames[part] for part in ("delivered", "dropped", "refused", "pending"))
        assert "boiler-room" in tidegate("status", "--data", data).stdout
        assert "test/node@1.0.0" in tidegate("devices", "--data", data).stdout
        assert json.loads(tidegate("devices", "--json", "--data", data).stdout)["devices"][0]["name"] == "node"
        routes = json.loads(tidegate("routes", "node/climate", "--json", "--data", data).stdout)
        assert [(each["route"], each["units"]) for each in routes["routes"]] == [("node/climate/temperature", "Cel")]
        assert "node/health/load" in tidegate("routes", "--data", data).stdout
        assert tidegate("routes", "nothing", "--data", data).returncode == 1
        assert tidegate("routes", "a/b/c/d", "--data", data).returncode == 2
        by_variable = tidegate("status", environment={"TIDEGATE_DATA": str(data)})
        assert by_variable.returncode == 0


@pytest.mark.parametrize("as_json", [True, False])
def test_watching_prints_lines_as_they_come(site: Path, tmp_path: Path, as_json: bool) -> None:
    data = tmp_path / "data"
    with running(site):
        answer(data, "status")
        options = ["--json"] if as_json else []
        watching = subprocess.Popen(
            [*TIDEGATE, "watch", "node/climate", *options, "--data", str(data)], stdout=subprocess.PIPE, text=True
        )
        assert watching.stdout is not None
        line = watching.stdout.readline()
        watching.send_signal(signal.SIGINT)
        assert watching.wait(10) == 0
    if as_json:
        record = json.loads(line)
        assert list(record) == ["device", "message", "seq", "t", "values", "taints"]
        assert abs(record["t"] - time.time()) < 60
        assert list(record["values"]) == ["temperature"]
    else:
        _, route, _, unit = line.split()
        assert (route, unit) == ("node/climate/temperature", "Cel")


def test_a_watcher_learns_that_the_gateway_has_ended(site: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(site) as process:
        answer(data, "status")
        watching = subprocess.Popen(
            [*TIDEGATE, "watch", "--json", "--data", str(data)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert watching.stdout is not None
        watching.stdout.readline()
        process.send_signal(signal.SIGTERM)
        _, errors = watching.communicate(timeout=10)
    assert watching.returncode == 3
    assert "has ended" in errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_within_two_seconds(site: Path, tmp_path: Path, number: signal.Signals) -> None:
    with running(site) as process:
        answer(tmp_path / "data", "status")
        before = time.monotonic()
        process.send_signal(number)
        assert process.wait(5) == 0
        assert time.monotonic() - before < 2
    assert not (tmp_path / "data" / "gateway.sock").exists()


def test_a_signal_right_after_the_first_line_ends_it_cleanly_too(site: Path) -> None:
    with running(site) as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0


def test_a_killed_gateway_leaves_nothing_that_stops_the_next(site: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(site) as process:
        answer(data, "status")
        process.kill()
        process.wait()
        assert (data / "gateway.sock").exists()
        assert tidegate("status", "--data", data).returncode == 3
    with running(site):
        assert answer(data, "status").returncode == 0
        second = tidegate("run", site)
        assert second.returncode == 2
        assert second.stderr.startswith("tidegate: another gateway runs in")


def test_a_data_folder_with_a_very_long_path_works(site: Path, tmp_path: Path) -> None:
    data = tmp_path.joinpath(*["long" * 25] * 4)
    with running(site, "--data", data, "--coalesce", "0ms"):
        assert answer(data, "status").returncode == 0


@pytest.mark.parametrize("asking", ["status", "devices", "routes", "watch"])
def test_where_no_gateway_answers_the_exit_is_3_and_the_next_step_is_told(tmp_path: Path, asking: str) -> None:
    done = tidegate(asking, "--data", tmp_path)
    assert done.returncode == 3
    assert "tidegate run" in done.stderr
    assert done.stdout == ""


def test_a_wrong_site_file_is_refused_with_line_and_key(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text(COBS.format(extra="", state=""))
    site = tmp_path / "site.toml"
    site.write_text('[device.a]\nprofile = "node.toml"\nport = "x"\nprot = 1\n')
    done = tidegate("run", site)
    assert done.returncode == 2
    assert done.stderr.startswith(f"{site}:4: device.a.prot: ")
    site.write_text('[device.a]\nprofile = "node.toml"\nport = "x"\n\n[device.b]\nprofile = "missing"\nport = "y"\n')
    done = tidegate("run", site)
    assert done.returncode == 2
    assert done.stderr.startswith(f"{site}:6: device.b.profile: ")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "nothing to run"),
        (["x=y"], "NAME=PROFILE@PORT"),
        (["x=cobs-nod@/dev/null"], "cobs-node"),
        (["missing.toml"], "missing.toml"),
        (["x=cobs-node@/dev/null", "--coalesce", "soon"], "no duration"),
        (["x=cobs-node@/dev/null", "--coalesce", "1s"], "at most 100ms"),
    ],
)
def test_arguments_that_mean_nothing_are_refused_with_a_hint(arguments: list[str], told: str) -> None:
    done = tidegate("run", *arguments)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
