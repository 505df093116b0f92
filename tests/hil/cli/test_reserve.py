"""`tidegate hil reserve`, as a user types it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from gateway.environment import token

RESERVE = [sys.executable, "-m", "gateway", "hil", "reserve"]


class Pool:
    """A pool by its commands."""

    def __init__(self, folder):
        self.folder = folder
        self.takers = []

    def __call__(self, *words, **options):
        name, *rest = words
        command = [*RESERVE, name, "--pool", str(self.folder), *rest]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **options)
        assert "Traceback" not in done.stderr
        return done

    def start(self, *words):
        command = [*RESERVE, "take", "--pool", str(self.folder), *words]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.takers.append(process)
        return process

    def read(self, *words):
        return {one["target"]: one for one in json.loads(self("read", *words, "--json").stdout)["targets"]}


@pytest.fixture
def pool(tmp_path, monkeypatch):
    for name in ("TARGET", "TOKEN", "POOL"):
        monkeypatch.delenv(f"TIDEGATE_{name}", raising=False)
    pool = Pool(tmp_path / "pool")
    assert pool("put", "f4-1", "board=f4").returncode == 0
    assert pool("put", "c3", "board=c3", "probe=jtag").returncode == 0
    yield pool
    for process in pool.takers:
        process.kill()
        process.communicate()


def test_a_target_is_put_taken_and_read(pool):
    done = pool("take", "board=f4", "--", "sh", "-c", "echo $TIDEGATE_TARGET $TIDEGATE_TOKEN; exit 7")
    assert (done.returncode, done.stdout) == (7, "f4-1 1\n")
    assert pool.read() == {
        "c3": {"target": "c3", "facts": {"board": "c3", "probe": "jtag"}, "lease": None},
        "f4-1": {"target": "f4-1", "facts": {"board": "f4"}, "lease": None},
    }
    assert list(pool.read("board=c*")) == ["c3"]


def test_what_stands_behind_two_dashes_is_the_command_s(pool):
    done = pool("take", "board=f4", "--ttl", "5s", "--", "echo", "--pool", "x", "--", "--ttl")
    assert done.stdout == "--pool x -- --ttl\n"


def test_a_held_target_is_shown_busy_waited_for_and_kicked(pool):
    holder = pool.start("name=c3", "--", "sh", "-c", "echo up; exec sleep 1000")
    holder.stdout.readline()
    lease = pool.read()["c3"]["lease"]
    assert (lease["token"], lease["pid"]) == (1, holder.pid)
    busy = pool("take", "name=c3", "--", "true")
    assert busy.returncode == 1
    assert f"held: c3 by {lease['user']} (pid {holder.pid})" in busy.stderr
    waiter = pool.start("name=c3", "--wait", "1m", "--", "sh", "-c", "echo $TIDEGATE_TOKEN")
    assert waiter.stderr.readline().startswith("tidegate: waiting as number 1: c3 held by ")
    assert pool("kick", "c3").returncode == 0
    _, err = holder.communicate(timeout=120)  # how soon, tests/hil/lease/test_running.py measures
    assert holder.returncode == 143
    assert "lease 1 of c3 is lost: kicked by" in err
    assert waiter.communicate(timeout=120)[0] == "2\n"


def test_a_killed_taker_takes_its_command_along_and_leaves_the_target_free(pool):
    holder = pool.start("name=c3", "--", "sh", "-c", "echo $$; exec sleep 1000")
    pid = int(holder.stdout.readline())
    holder.kill()
    holder.wait()
    assert pool("take", "name=c3", "--wait", "30s", "--", "true").returncode == 0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_waiter_that_is_interrupted_leaves_the_queue(pool):
    holder = pool.start("name=c3", "--", "sh", "-c", "echo up; exec sleep 1000")
    holder.stdout.readline()
    waiter = pool.start("name=c3", "--wait", "1m", "--", "true")
    waiter.stderr.readline()
    waiter.send_signal(signal.SIGINT)
    assert waiter.wait(30) == 130


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["take", "board=f5", "--", "true"], "none has board=f5; there is c3, f4"),
        (["take", "board=f5", "--wait", "1h", "--", "true"], "none has board=f5"),
        (["take", "board=f4"], "nothing to run"),
        (["take", "--", "true"], "TEMPLATE"),
        (["take", "f4-1", "--", "true"], "'f4-1' is no template"),
        (["take", "board=f4", "--ttl", "soon", "--", "true"], "'soon' is no duration"),
        (["kick", "f4-2"], "did you mean name=f4-1?"),
        (["put", "../x"], "is no name of a target"),
        (["put", "x", "y"], "'y' is no fact"),
        (["read", "--pool", "/proc/none"], "no pool of targets in /proc/none"),
    ],
)
def test_what_cannot_be_is_told_in_a_line_with_exit_2(pool, words, told):
    done = pool(*words)
    assert done.returncode == 2
    assert told in done.stderr


def test_a_target_may_be_taken_out_of_the_pool(pool):
    assert pool("drop", "c3").returncode == 0
    assert list(pool.read()) == ["f4-1"]


def test_without_a_pool_the_option_is_named(pool):
    done = subprocess.run([*RESERVE, "read"], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (2, "tidegate: which pool? Give --pool DIR, or set TIDEGATE_POOL\n")


def test_the_pool_may_stand_before_the_deed_and_in_the_environment(pool, monkeypatch):
    before = subprocess.run([*RESERVE, "--pool", pool.folder, "read"], capture_output=True, text=True, check=True)
    monkeypatch.setenv("TIDEGATE_POOL", str(pool.folder))
    assert before.stdout == subprocess.run([*RESERVE, "read"], capture_output=True, text=True, check=True).stdout


def test_a_person_reads_who_has_what(pool):
    holder = pool.start("name=c3", "--", "sh", "-c", "echo up; exec sleep 1000")
    holder.stdout.readline()
    c3, f4 = pool("read").stdout.splitlines()
    assert c3.startswith("c3    held by ")
    assert c3.endswith(", lease 1  board=c3 probe=jtag")
    assert f4 == "f4-1  free  board=f4"


def test_the_number_of_a_lease_is_no_one_s_right_at_a_gateway(monkeypatch):
    monkeypatch.setenv("TIDEGATE_TOKEN", "17")
    assert token() == "17"
    monkeypatch.setenv("TIDEGATE_TARGET", "c3")
    assert token() is None
    monkeypatch.setenv("TIDEGATE_TOKEN", "")
    assert token() == ""
