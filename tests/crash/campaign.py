"""So many states of each fault class, by as many processes as there are cores, and the report."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import count
from random import Random
from typing import Final, NamedTuple

from tests.crash.faults import ALL, FAULTS, Selection, State, history
from tests.crash.judge import Judge, Verdict
from tests.crash.memory import remember
from tests.crash.scenarios import scenarios_of

SHARES: Final = {
    "torn": 0.34,
    "reordered": 0.10,
    "recovery": 0.20,
    "lying": 0.12,
    "dead-page": 0.08,
    "eio": 0.10,
    "enospc": 0.06,
}
"""Which part of all states each fault class gets."""
LEAST_PER_JOB: Final = 250
MOST_PER_JOB: Final = 12_000
STATES_PER_PREFIX: Final = 40  # of a nested class: rather some states each of many recoveries and failures
NESTED: Final = {"recovery": 50, "eio": 30, "enospc": 30}
"""Classes that play histories of their own, with about how many different states each of those comes to."""
MOST_SHOWN: Final = 20  # violations of one job; all are counted


class Job(NamedTuple):
    """The states of one fault class in one history."""

    subject: str
    fault: str
    scenario: str
    seed: int
    most: int  # states; where there are more, a sample of that size


class Found(NamedTuple):
    """What came of a job."""

    states: int
    violations: int
    lines: list[str]


def state_id(job: Job, path: str) -> str:
    """Return what names a state: everything that is needed to make it again."""
    return f"{job.subject}:{job.scenario}:{job.seed}:{job.fault}:{path}"


def run_job(job: Job) -> Found:
    """Put the states of a job to the test, each different one once."""
    remember()
    run = history(job.subject, job.scenario, job.seed)
    judge = Judge(job.subject, run.options, run.clock)
    seen: set[int] = set()
    states = violations = 0
    lines: list[str] = []
    for state in _sample(job):
        image = state.image()
        promise = state.promise
        key = hash((tuple(sorted(image.items())), promise.durable, promise.is_honest, promise.fragile))
        if key in seen:
            continue
        seen.add(key)
        states += 1
        if not (problems := problems_of(judge, state)):
            continue
        violations += 1
        if violations <= MOST_SHOWN:
            lines += [f"violation STATE={state_id(job, state.path)}", f"  {problems[0]} [{state.what()}]"]
    return Found(states, violations, lines)


def problems_of(judge: Judge, state: State) -> list[str]:
    """Return what is wrong with a state."""
    if state.path.endswith("/run"):
        return [state.what()]  # the history itself was wrong, before any cut
    return judge.judge(state.image(), state.promise).problems


def _sample(job: Job) -> Iterator[State]:
    """Yield all states of a job, or about so many of them, spread over the whole history."""
    make = FAULTS[job.fault]
    seed = f"{job.fault}:{job.scenario}:{job.seed}"
    if job.fault in NESTED:
        most = max(3, job.most // NESTED[job.fault])

        def some(prefixes: list[str]) -> set[str]:
            return set(Random(seed).sample(prefixes, min(most, len(prefixes))))

        yield from make(job.subject, job.scenario, job.seed, Selection(some, STATES_PER_PREFIX))
        return
    total = sum(1 for _ in make(job.subject, job.scenario, job.seed, ALL))
    chosen = set(Random(seed).sample(range(total), min(job.most, total)))
    for place, state in enumerate(make(job.subject, job.scenario, job.seed, ALL)):
        if place in chosen:
            yield state


def rounds(subject: str, fault: str, states: int, seed: int) -> Iterator[list[Job]]:
    """Yield round after round of jobs: every history with the next seed, each with its part of the states."""
    names = scenarios_of(subject)
    most = min(MOST_PER_JOB, max(LEAST_PER_JOB, states // len(names)))
    for number in count(seed):
        yield [Job(subject, fault, name, number, most) for name in names]


def enumerate_fault(
    subject: str, fault: str, states: int, seed: int, pool: ProcessPoolExecutor | None = None
) -> Iterator[Found]:
    """Yield what each job came to, until there were so many states. Which jobs are run depends on nothing else."""
    done = 0
    for jobs in rounds(subject, fault, states, seed):
        waiting = list(jobs)
        while waiting and done < states:
            # one job after the other decides whether the next is needed, so that the report never depends on speed
            batch, waiting = waiting[:BATCH], waiting[BATCH:]
            for found in pool.map(run_job, batch) if pool else map(run_job, batch):
                done += found.states
                yield found
        if done >= states:
            return


BATCH: Final = 4


def campaign(states: int, seed: int, subject: str = "ledger") -> int:
    """Run everything and print the report; return how many violations there were."""
    total = violations = 0
    start = time.monotonic()
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        for fault, share in SHARES.items():
            mine = 0
            for found in enumerate_fault(subject, fault, round(states * share), seed, pool):
                mine += found.states
                violations += found.violations
                for line in found.lines:
                    print(line, flush=True)
                rate = (total + mine) / (time.monotonic() - start)
                print(f"\r{fault}: {mine:,} states, {rate:,.0f}/s ", end="", file=sys.stderr, flush=True)
            print(file=sys.stderr)
            print(f"{fault}: {mine} states", flush=True)
            total += mine
    print(f"total: {total} states, {violations} violations, seed {seed}")
    return violations


def reproduce(name: str) -> int:
    """Make one state again and tell in detail what happened; return how many violations there were."""
    parts = name.split(":", 4)
    if len(parts) != 5 or parts[3] not in FAULTS or parts[1] not in scenarios_of(parts[0]) or not parts[2].isdigit():
        print(
            f"{name!r} is no state; an id is subject:history:seed:fault:path, as a violation prints it", file=sys.stderr
        )
        return 1
    subject, scenario, seed, fault, path = parts
    run = history(subject, scenario, int(seed))
    judge = Judge(subject, run.options, run.clock)
    prefix = path.partition("/")[0] + "/"
    for state in FAULTS[fault](subject, scenario, int(seed), Selection(lambda _: {prefix})):
        if state.path != path:
            continue
        print(f"{fault}: 1 states")
        verdict = Verdict([state.what()], []) if path.endswith("/run") else judge.judge(state.image(), state.promise)
        _tell(state, verdict)
        if verdict.problems:
            print(f"violation STATE={name}")
        print(f"total: 1 states, {len(verdict.problems[:1])} violations, seed {seed}")
        return len(verdict.problems)
    print(f"the history {scenario} with seed {seed} has no state {path}", file=sys.stderr)
    return 1


def _tell(state: State, verdict: Verdict) -> None:
    promise = state.promise
    print(f"  {state.what()}")
    print(f"  promised: {promise.durable} records durable, {promise.last} issued, cursors {dict(promise.cursors)}")
    for name, data in sorted(state.image().items() if not state.path.endswith("/run") else ()):
        print(f"  {name}: {len(data)} bytes" if not name.endswith("/") else f"  {name}")
    for line in verdict.story:
        print(f"  {line}")
    for line in verdict.problems:
        print(f"  WRONG {line}")


def violations_in(founds: Iterable[Found]) -> tuple[int, Sequence[str]]:
    """Return how many states there were and the violations among them."""
    states = 0
    lines: list[str] = []
    for found in founds:
        states += found.states
        lines += found.lines
    return states, lines
