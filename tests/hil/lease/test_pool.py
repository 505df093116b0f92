from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from gateway.errors import GatewayError, UsageError
from hil.lease import (
    LeaseBusyError,
    LeaseLostError,
    NoSuchTargetError,
    Pool,
    PoolAccessError,
    PoolDamagedError,
    PoolMissingError,
    current,
)
from tests.waiting import until

HOLDER = """
import sys, time
from hil.lease import Pool
lease = Pool(sys.argv[1]).take(sys.argv[2], ttl_s=float(sys.argv[3]), wait_s=float(sys.argv[4]))
print(lease.token, lease.target, flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def holder(pool):
    """Processes that take a target and keep it."""
    started = []

    def start(template, *, ttl_s=60.0, wait_s=0.0):
        words = [sys.executable, "-c", HOLDER, str(pool.path), template, str(ttl_s), str(wait_s)]
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def names(seen):
    return [one.target for one in seen]


def held(pool):
    return {one.target: one.lease.token for one in pool.read() if one.lease is not None}


def test_a_taken_target_is_shown_with_its_token(pool):
    with pool.take("board=c3") as lease:
        assert (lease.target, lease.token) == ("c3", 1)
        assert held(pool) == {"c3": 1}


def test_a_target_that_was_put_back_is_free(pool):
    pool.take("board=c3").put()
    assert held(pool) == {}


def test_putting_back_twice_harms_nobody(pool):
    lease = pool.take("board=c3")
    lease.put()
    other = pool.take("board=c3")
    lease.put()
    assert {"c3": other.token} == held(pool)


def test_two_takers_get_two_boards_and_the_third_none(pool):
    first, second = pool.take("board=f4"), pool.take("board=f4")
    assert {first.target, second.target} == {"f4-1", "f4-2"}
    with pytest.raises(LeaseBusyError, match=r"came free within 0 s \(held: f4-1 by .* since .*Z, f4-2 by"):
        pool.take("board=f4")


def test_no_such_target_is_said_at_once_however_long_one_would_wait(pool):
    with pytest.raises(NoSuchTargetError):
        pool.take("board=f5", wait_s=1000)


def test_tokens_rise_across_putting_dropping_and_kicking(pool):
    tokens = []
    for ending in (lambda lease: lease.put(), lambda _: pool.kick("c3"), lambda lease: (lease.put(), pool.drop("c3"))):
        lease = pool.take("name=c3")
        tokens.append(lease.token)
        ending(lease)
        pool.put("c3", ["board=c3"])
    tokens.append(pool.take("name=c3").token)
    assert tokens == sorted(set(tokens))


def test_putting_a_held_target_anew_changes_its_facts_and_keeps_its_lease(pool):
    lease = pool.take("name=c3")
    assert not pool.put("c3", ["board=c3", "rev=b"])
    lease.check()
    assert pool.read("name=c3")[0].facts == {"board": "c3", "rev": "b"}


def test_a_held_target_cannot_be_dropped(pool):
    with pool.take("name=c3"), pytest.raises(LeaseBusyError, match="kick that one first"):
        pool.drop("c3")


def test_reading_shows_what_matches(pool):
    assert names(pool.read("board=f4")) == ["f4-1", "f4-2"]
    assert names(pool.read("board=zz")) == []


def test_a_kicked_holder_writes_no_more(pool, tmp_path):
    lease = pool.take("name=c3")
    with (tmp_path / "wire").open("wb") as wire:
        guarded = lease.guard(wire)
        guarded.write(b"mine")
        who = pool.kick("c3")
        assert who is not None
        assert who.pid == os.getpid()
        with pytest.raises(LeaseLostError, match=r"lease 1 of c3 is lost: kicked by") as caught:
            guarded.write(b"not mine")
    assert isinstance(caught.value, (GatewayError, PermissionError))
    assert (tmp_path / "wire").read_bytes() == b"mine"


def test_after_a_kick_the_target_is_free_at_once(pool):
    pool.take("name=c3")
    pool.kick("c3")
    assert pool.take("name=c3").target == "c3"


def test_kicking_what_nobody_holds_kicks_nobody(pool):
    assert pool.kick("c3") is None


def test_the_killed_holder_s_target_is_free_at_once(pool, holder):
    process = holder("name=c3")
    process.stdout.readline()
    process.kill()
    process.wait()
    assert pool.take("name=c3", wait_s=0).token == 2


def test_a_stopped_holder_loses_its_lease_after_the_ttl_and_notices_when_it_goes_on(pool, holder):
    process = holder("name=c3", ttl_s=0.5)
    process.stdout.readline()
    process.send_signal(signal.SIGSTOP)
    lease = pool.take("name=c3", wait_s=30)
    process.send_signal(signal.SIGCONT)
    time.sleep(0.3)  # it must not take the lease back
    lease.check()


def test_a_lease_outlives_its_ttl_while_its_holder_lives(pool):
    lease = pool.take("name=c3", ttl_s=2.0)
    taken = pool.read("name=c3")[0].lease
    until(lambda: pool.read("name=c3")[0].lease.beat_ns > taken.beat_ns + taken.ttl_ns)
    lease.check()


def test_waiters_are_served_in_order(pool, holder):
    lease = pool.take("name=c3")
    first = holder("name=c3", wait_s=60)
    until(lambda: len(pool._folder.table().queue) == 1)
    second = holder("board=c3", wait_s=60)
    until(lambda: len(pool._folder.table().queue) == 2)
    lease.put()
    assert first.stdout.readline().strip() == "2 c3"
    first.stdin.write("\n")
    first.stdin.flush()
    assert second.stdout.readline().strip() == "3 c3"


def test_a_dead_waiter_blocks_nobody(pool, holder):
    lease = pool.take("name=c3")
    waiter = holder("name=c3", wait_s=60)
    until(lambda: len(pool._folder.table().queue) == 1)
    waiter.kill()
    waiter.wait()
    lease.put()
    assert pool.take("name=c3", wait_s=0).target == "c3"


def test_one_that_waits_is_told_who_has_the_target_and_how_many_come_first(pool, holder):
    lease = pool.take("name=c3")
    holder("name=c3", wait_s=60)
    until(lambda: len(pool._folder.table().queue) == 1)
    told = []
    with pytest.raises(LeaseBusyError, match="1 came first"):
        pool.take("name=c3", wait_s=0.2, on_wait=told.append)
    assert (1, "c3", lease.token) == (told[0].ahead, told[0].holders[0][0], told[0].holders[0][1].token)


def test_nobody_gets_a_target_while_the_last_holder_s_write_is_under_way(pool):
    written, may_end, begun = [], threading.Event(), threading.Event()

    class Slow:
        def write(self, data):
            begun.set()
            may_end.wait(30)
            written.append(data)

    lease = pool.take("name=c3")
    writer = threading.Thread(target=lambda: lease.guard(Slow()).write(b"slow"))
    writer.start()
    begun.wait(30)
    pool.kick("c3")
    with pytest.raises(LeaseBusyError, match="the last write to it is not over"):
        pool.take("name=c3")
    may_end.set()
    writer.join()
    assert (pool.take("name=c3", wait_s=30).token, written) == (2, [b"slow"])


def test_a_lease_of_another_process_is_known_by_the_environment(pool, monkeypatch):
    lease = pool.take("name=c3")
    for key, value in lease.environment().items():
        monkeypatch.setenv(key, value)
    mine = current()
    assert mine is not None
    assert ("c3", lease.token, {"board": "c3"}) == (mine.target, mine.token, mine.facts)
    pool.kick("c3")
    with pytest.raises(LeaseLostError):
        mine.check()
    with pytest.raises(LeaseLostError):
        current()


def test_without_a_lease_in_the_environment_there_is_none(pool):
    assert current() is None


def test_a_lease_s_number_that_is_none_is_refused(pool, monkeypatch):
    monkeypatch.setenv("TIDEGATE_TARGET", "c3")
    monkeypatch.setenv("TIDEGATE_POOL", str(pool.path))
    monkeypatch.setenv("TIDEGATE_TOKEN", "secret")
    with pytest.raises(UsageError, match="TIDEGATE_TOKEN is no lease's number"):
        current()


def test_a_missing_pool_says_how_to_make_one(tmp_path):
    with pytest.raises(PoolMissingError, match="tidegate hil reserve put"):
        Pool(tmp_path / "none").take("name=x")
    with pytest.raises(PoolMissingError):
        Pool(tmp_path / "none").read()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"", "is damaged"),
        (b"{", "is damaged"),
        (b"\xff\xfe", "is damaged"),
        (b"[]", "is damaged"),
        (b'{"pool":1,"last_token":"x"}', "is damaged"),
        (b'{"pool":2,"more":[]}', "is of version 2"),
        (b"x" * (4 << 20) + b"yy", "is larger than"),
    ],
)
def test_a_damaged_file_is_named(pool, text, told):
    (pool.path / "pool.json").write_bytes(text)
    with pytest.raises(PoolDamagedError, match=told) as caught:
        pool.take("name=c3")
    assert str(pool.path / "pool.json") in str(caught.value)


def test_damaged_leases_are_named(pool):
    pool.take("name=c3").put()
    (path,) = pool.path.glob("leases-*.json")
    path.write_bytes(b"{")
    with pytest.raises(PoolDamagedError, match="when nobody uses the pool's targets, remove it"):
        pool.take("name=c3")


def test_what_an_earlier_boot_left_counts_no_more(pool):
    (pool.path / "leases-1234.json").write_bytes(b"{torn")
    (pool.path / "live-1234").touch()
    pool.take("name=c3").put()
    assert not (pool.path / "leases-1234.json").exists()
    assert not (pool.path / "live-1234").exists()


def test_the_folder_keeps_no_files_of_those_that_are_over(pool, holder):
    for _ in range(3):
        process = holder("name=c3")
        process.stdout.readline()
        process.kill()
        process.wait()
    pool.take("name=c3").put()
    assert list(pool.path.glob("live-*")) == []


def test_a_stopped_process_that_holds_the_pool_s_lock_is_named(pool, monkeypatch):
    monkeypatch.setattr("hil.lease.folder.LOCK_PATIENCE_S", 0.2)
    code = "import fcntl, os, sys; fd = os.open(sys.argv[1], 0); fcntl.flock(fd, 2); os.kill(os.getpid(), 19)"
    with subprocess.Popen([sys.executable, "-c", code, str(pool.path / "lock")]) as process:
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        with pytest.raises(PoolAccessError, match=f"process {process.pid}, which is stopped; continue it: kill -CONT"):
            pool.put("new")
        process.kill()
    pool.put("new")


def test_a_file_in_place_of_the_folder_is_told(tmp_path):
    (tmp_path / "pool").write_text("")
    with pytest.raises(PoolAccessError, match="cannot be used"):
        Pool(tmp_path / "pool").put("a")


def test_a_folder_that_cannot_be_made_is_told():
    with pytest.raises(PoolAccessError, match="/proc/pool cannot be used"):
        Pool("/proc/pool").put("a")


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_told(pool):
    pool.path.chmod(0o555)
    try:
        assert len(pool.read()) == 3
        with pytest.raises(PoolAccessError):
            pool.put("new")
    finally:
        pool.path.chmod(0o755)


@pytest.mark.parametrize("ttl_s", [0.0, -1.0, float("nan"), 1e12, "5s", None])
def test_a_ttl_that_cannot_be_is_refused(pool, ttl_s):
    with pytest.raises(UsageError, match="ttl_s="):
        pool.take("name=c3", ttl_s=ttl_s)
