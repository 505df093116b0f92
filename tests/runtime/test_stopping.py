from __future__ import annotations

import subprocess
import sys
import time

HANGS = """
import sys, time
from gateway.runtime.stopping import limit_stop
limit_stop({argument})
print("stopping", flush=True)
time.sleep(60)
"""


def run(argument: str) -> tuple[int, str, float]:
    began_s = time.monotonic()
    script = HANGS.format(argument=argument)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout, time.monotonic() - began_s


def test_a_process_that_hangs_while_stopping_is_left_behind() -> None:
    code, said, took_s = run("")
    assert (code, said) == (0, "stopping\n")
    assert 1.7 <= took_s < 20


def test_the_last_thing_is_done_before_leaving_even_if_it_fails() -> None:
    code, said, _ = run("lambda: (print('left', flush=True), 1 / 0)")
    assert (code, said) == (0, "stopping\nleft\n")
