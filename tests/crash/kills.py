"""Writers killed in the middle of their work: `tidegate ledger append` and SIGKILL, round after round on one ledger."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

TIDEGATE = (sys.executable, "-m", "gateway")
MOST_ALIVE_S = 0.25
VERIFY_EVERY = 25


def kill_rounds(folder: Path, rounds: int, seed: int) -> list[str]:
    """Kill so many writers of the ledger in a folder; return everything that was acknowledged and is not there."""
    rng = Random(f"kills:{seed}")
    subprocess.run([*TIDEGATE, "ledger", "init", str(folder), "--ring", "2MiB", "--segment", "256KiB"],
                   check=True, stdout=subprocess.DEVNULL)  # fmt: skip
    acknowledged: dict[int, str] = {}
    problems: list[str] = []
    for number in range(1, rounds + 1):
        acknowledged.update(_killed(folder, rng, number))
        if number % VERIFY_EVERY == 0 or number == rounds:
            problems += _missing(folder, acknowledged)
        if problems:
            return problems
    if len(acknowledged) < rounds:
        problems.append(f"only {len(acknowledged)} records were acknowledged in {rounds} rounds")
    return problems


def _killed(folder: Path, rng: Random, number: int) -> dict[int, str]:
    """Run one writer until it is killed; return what it acknowledged: number and body."""
    child = subprocess.Popen(
        [*TIDEGATE, "ledger", "append", "--dir", str(folder), "--stdin"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert child.stdin is not None
    assert child.stdout is not None
    bodies = [f"{number}-{place}-" + "x" * rng.randrange(200) for place in range(rng.choice((40, 400)))]
    lines = [
        json.dumps(
            {"kind": "note", "route": "pump/motor/speed", "class": rng.choice(("telemetry", "state")), "body": body}
        )
        for body in bodies
    ]
    answers = bytearray()
    try:
        child.stdin.write(lines[0].encode() + b"\n")
        child.stdin.flush()
        answers += child.stdout.readline()  # it has started
        os.set_blocking(child.stdin.fileno(), False)
        os.write(child.stdin.fileno(), "".join(line + "\n" for line in lines[1:]).encode())
        time.sleep(rng.random() * MOST_ALIVE_S * rng.random())
    finally:
        child.send_signal(signal.SIGKILL)
        answers += child.stdout.read()
        child.wait()
    whole = [json.loads(line) for line in bytes(answers).split(b"\n")[:-1]]
    return {answer["seq"]: bodies[place] for place, answer in enumerate(whole) if "seq" in answer}


def _missing(folder: Path, acknowledged: dict[int, str]) -> list[str]:
    done = subprocess.run([*TIDEGATE, "ledger", "export", "--dir", str(folder)], capture_output=True, check=False)
    found = {record["seq"]: record["body"] for record in map(json.loads, done.stdout.splitlines())}
    problems = [] if done.returncode == 0 else [f"export says {done.returncode}: {done.stderr.decode()[-300:]}"]
    wrong = [seq for seq, body in acknowledged.items() if found.get(seq) != body]
    return problems + ([f"acknowledged and not there: {wrong[:5]} of {len(acknowledged)}"] if wrong else [])
