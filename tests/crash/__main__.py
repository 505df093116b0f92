"""`make crash [STATES=N] [SEED=S] [STATE=ID] [KILLS=N]`, or `python -m tests.crash ...`: campaign.py and kills.py."""

from __future__ import annotations

import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.crash.campaign import campaign, reproduce
from tests.crash.kills import kill_rounds

STATES = 2_000_000
KILLS_EACH = 250  # on one ledger
NAMES = ("STATES", "SEED", "STATE", "KILLS", "SUBJECT")


def main(arguments: list[str]) -> int:
    """Return 1 where anything was violated, 2 where the arguments make no sense."""
    given = {name: os.environ[name] for name in NAMES if os.environ.get(name)}
    for argument in arguments:
        name, _, value = argument.partition("=")
        if name not in NAMES:
            print(f"{argument!r} is none of STATES=N, SEED=S, STATE=ID, KILLS=N, SUBJECT=NAME", file=sys.stderr)
            return 2
        given[name] = value
    if "STATE" in given:
        return min(1, reproduce(given["STATE"]))
    try:
        states, seed = int(given.get("STATES", STATES)), int(given.get("SEED", "1"))
        kills = int(given.get("KILLS", "0"))
    except ValueError as error:
        print(f"STATES and SEED are numbers: {error}", file=sys.stderr)
        return 2
    if kills:
        return _kill(kills, seed)
    return min(1, campaign(states, seed, given.get("SUBJECT", "ledger")))


def _kill(rounds: int, seed: int) -> int:
    """Kill so many writers, some hundreds one after another on each ledger, on all cores."""
    chunks = [min(KILLS_EACH, rounds - at) for at in range(0, rounds, KILLS_EACH)]
    done, found = 0, 0
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor() as pool:
        work = [
            pool.submit(kill_rounds, Path(folder) / f"ledger-{number}", count, seed + number)
            for number, count in enumerate(chunks)
        ]
        for number, each in enumerate(work):
            problems = each.result()
            done, found = done + chunks[number], found + len(problems)
            for problem in problems:
                print(f"violation KILLS={chunks[number]} SEED={seed + number} {problem}")
            print(f"kills: {done:,} of {rounds:,}", file=sys.stderr, flush=True)
    print(f"total: {rounds} kills, {found} violations, seed {seed}")
    return min(1, found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
