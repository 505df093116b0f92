"""A command under a lease ends with it, whoever is killed: real processes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hil.lease.children import descendants
from tests.waiting import first_met, until

TAKER = """
import sys
from hil.lease import Pool
from hil.lease.running import run
lease = Pool(sys.argv[1]).acquire(sys.argv[2], ttl_s=float(sys.argv[3]))
code, lost = run(lease, sys.argv[4:])
print(lost or "", file=sys.stderr)
sys.exit(code)
"""
# A tree that resists: it ignores SIGTERM, and its grandchild leaves the process group and its parent.
TREE = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.write(1, b"%d\\n" % os.getpid())
        time.sleep(1000)
    os._exit(0)
os.wait()
os.write(1, b"%d\\n" % os.getpid())
time.sleep(1000)
"""


class Taker:
    """A process that runs a command under a lease."""

    def __init__(self, pool, words, ttl_s):
        arguments = [sys.executable, "-c", TAKER, str(pool.path), "name=c3", str(ttl_s), *words]
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.pids = []

    def told_pids(self, count=2):
        """Wait until the tree stands."""
        self.pids = [int(self.process.stdout.readline()) for _ in range(count)]
        return self.pids

    @property
    def guardian(self):
        """The process between the taker and its command."""
        (pid,) = [pid for pid in descendants(self.process.pid) if parent_of(pid) == self.process.pid]
        return pid

    def end(self):
        out, err = self.process.communicate(timeout=120)
        return self.process.returncode, out, err


def parent_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[1])


def runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


def gone(pids):
    return until(lambda: not any(map(runs, pids)))


@pytest.fixture
def take(pool):
    takers = []

    def start(*words, ttl_s=60.0):
        takers.append(Taker(pool, words, ttl_s))
        return takers[-1]

    yield start
    for taker in takers:
        for pid in (*taker.pids, *descendants(taker.process.pid)):
            if runs(pid):
                os.kill(pid, signal.SIGKILL)
        taker.process.kill()
        taker.process.communicate()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 7"], 7),
        (["sh", "-c", "kill -9 $$"], 137),
        (["sh", "-c", "kill -INT $$"], 130),
        (["no-such-program"], 127),
        (["/etc/passwd"], 126),
    ],
)
def test_the_command_s_end_is_the_taker_s(take, pool, words, expected):
    assert take(*words).end()[0] == expected
    assert pool.take("name=c3").target == "c3"


def test_the_command_knows_its_lease(take, pool):
    code, out, _ = take("sh", "-c", "echo $TIDEGATE_TARGET $TIDEGATE_TOKEN $TIDEGATE_POOL").end()
    assert (code, out.split()) == (0, ["c3", "1", str(pool.path)])


def test_what_the_command_leaves_running_ends_with_the_lease(take):
    _, out, _ = take("sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 & echo $!").end()
    assert gone([int(out)])


def test_a_kicked_command_is_gone_within_a_second_with_all_that_it_started(take, pool):
    def kicked():
        taker = take(sys.executable, "-c", TREE)
        pids = taker.told_pids()
        started_s = time.monotonic()
        pool.kick("c3")
        assert gone(pids)
        took_s = time.monotonic() - started_s
        code, _, err = taker.end()
        assert code == 137
        assert re.search(r"lease \d of c3 is lost: kicked by", err)
        return took_s

    assert first_met(kicked, lambda took_s: took_s < 1.0) < 1.0


@pytest.mark.parametrize("victim", ["holder", "guardian"])
def test_when_holder_or_guardian_is_killed_the_whole_tree_dies_and_the_target_is_free(take, pool, victim):
    taker = take(sys.executable, "-c", TREE)
    pids = taker.told_pids()
    os.kill(taker.process.pid if victim == "holder" else taker.guardian, signal.SIGKILL)
    assert gone(pids)
    assert pool.take("name=c3", wait_s=30).token == 2


def test_nobody_gets_the_target_of_a_killed_holder_before_its_command_is_dead(take, pool):
    taker = take(sys.executable, "-c", TREE)
    pids = taker.told_pids()
    taker.process.kill()
    pool.take("name=c3", wait_s=30)
    assert not any(map(runs, pids))


def test_when_holder_and_guardian_are_killed_at_once_the_command_dies_at_least(take):
    taker = take("sh", "-c", "echo $$; exec sleep 1000")
    (pid,) = taker.told_pids(1)
    guardian = taker.guardian
    os.kill(taker.process.pid, signal.SIGSTOP)  # or it would still do its duty
    os.kill(guardian, signal.SIGKILL)
    os.kill(taker.process.pid, signal.SIGKILL)
    assert gone([pid])


def test_the_command_of_a_stopped_holder_ends_after_the_ttl(take, pool):
    taker = take(sys.executable, "-c", TREE, ttl_s=2.0)
    pids = taker.told_pids()
    os.kill(taker.process.pid, signal.SIGSTOP)
    assert gone(pids)
    pool.take("name=c3", wait_s=30)
    os.kill(taker.process.pid, signal.SIGCONT)
    code, _, err = taker.end()
    assert code == 137
    assert "lease 1 of c3 is lost: " in err


def test_a_signal_to_the_holder_reaches_the_command(take):
    taker = take("sh", "-c", "trap 'echo told; exit 3' TERM; echo $$; while :; do sleep 0.05; done")
    taker.told_pids(1)
    taker.process.terminate()
    code, out, _ = taker.end()
    assert (code, out) == (3, "told\n")


def test_whoever_ignored_the_end_of_children_for_us_changes_nothing(pool):
    code = (
        "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.executable, sys.argv[1:])"
    )
    words = [
        sys.executable,
        "-c",
        code,
        sys.executable,
        "-c",
        TAKER,
        str(pool.path),
        "name=c3",
        "60",
        "sh",
        "-c",
        "exit 5",
    ]
    assert subprocess.run(words, timeout=120, check=False).returncode == 5
