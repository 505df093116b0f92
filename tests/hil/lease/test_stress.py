"""Many takers on few boards, killed, stopped and kicked at random moments: the invariants that hold all the same."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from hil.lease import PoolAccessError

WORKERS, LEASES, LIMIT_S = 16, 60, 240.0
STOPPED_S = 0.7  # longer than the leases live
# Each takes, writes its token to the board's log for a while through the fence, and puts back; for ever.
WORKER = """
import os, random, sys, time
from hil.lease import LeaseBusyError, LeaseLostError, Pool, PoolAccessError
pool, logs, rng = Pool(sys.argv[1]), sys.argv[2], random.Random(int(sys.argv[3]))
print("up", flush=True)
while True:
    try:
        lease = pool.take(rng.choice(["name=*", "kind=f4", "name=c3"]), ttl_s=0.4, wait_s=20)
    except (LeaseBusyError, PoolAccessError):
        continue
    with open(f"{logs}/{lease.target}", "ab", buffering=0) as log:
        guarded = lease.guard(log)
        try:
            for _ in range(rng.randrange(1, 30)):
                guarded.write(b"%d\\n" % lease.token)
                time.sleep(rng.random() * 0.005)
        except LeaseLostError:
            pass
    lease.put()
"""


@pytest.mark.slow
@pytest.mark.timeout(300)  # machines are busy
def test_no_token_writes_after_a_greater_one_whoever_is_killed_stopped_or_kicked(pool, tmp_path, monkeypatch):
    monkeypatch.setattr("hil.lease.folder.LOCK_PATIENCE_S", 0.3)  # of this process; it has others to continue
    for name in ("f4-1", "f4-2"):
        pool.put(name, ["kind=f4"])
    logs = tmp_path / "logs"
    logs.mkdir()
    rng = random.Random(7)
    workers = []

    def start():
        words = [sys.executable, "-c", WORKER, str(pool.path), str(logs), str(rng.random()).removeprefix("0.")]
        workers.append(subprocess.Popen(words, stdout=subprocess.PIPE))

    try:
        for _ in range(WORKERS):
            start()
        for worker in workers:
            worker.stdout.readline()
        stopped = {}
        deadline_s = time.monotonic() + LIMIT_S
        while pool._folder.stock().last_token < LEASES or stopped:
            now_s = time.monotonic()
            assert now_s < deadline_s, pool._folder.table()
            for victim in [victim for victim, until_s in stopped.items() if now_s >= until_s]:
                victim.send_signal(signal.SIGCONT)
                del stopped[victim]
            time.sleep(rng.random() * 0.08)
            if pool._folder.stock().last_token >= LEASES:
                continue
            victim = rng.choice(workers)
            match rng.choice(["kill", "stop", "stop", "kick"]):
                case "kill":
                    victim.kill()
                    victim.wait()
                    victim.stdout.close()
                    workers.remove(victim)
                    stopped.pop(victim, None)
                    start()
                case "stop":
                    victim.send_signal(signal.SIGSTOP)
                    stopped[victim] = now_s + STOPPED_S
                case "kick":
                    with contextlib.suppress(PoolAccessError):  # one was stopped while it held the pool's lock
                        pool.kick(rng.choice(["f4-1", "f4-2", "c3"]))
    finally:
        for worker in workers:
            os.kill(worker.pid, signal.SIGKILL)
            worker.wait()
            worker.stdout.close()
    written = {path.name: [int(line) for line in path.read_bytes().split()] for path in logs.iterdir()}
    assert set(written) == {"f4-1", "f4-2", "c3"}
    for tokens in written.values():
        assert tokens == sorted(tokens)
    of_one = [set(tokens) for tokens in written.values()]
    assert sum(map(len, of_one)) == len(set().union(*of_one))  # no token was given twice
    assert pool.take("name=c3", wait_s=20).token > max(map(max, written.values()))
