"""Layer 6: looks at a profile that was sent, in a process of low priority: `python -m gateway.runtime.examining`.

Checking and compiling a hostile megabyte takes half a minute of pure Python; the gateway's loop notices nothing of it.
What is too much for the limits here is refused as too large. One job on standard input, one answer on standard output.
"""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from gateway.errors import Problem
from gateway.profile.comparison import differences
from gateway.profile.identity import profile_id
from gateway.registry import transforms_of
from gateway.runtime.library import Library

NICE: Final = 15
CPU_S: Final = 60
LIMIT_S: Final = 120.0  # on a machine that is busy
MEMORY_BYTES: Final = 1 << 30


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be looked at."""

    folder: str  # where installed profiles lie
    profile: str  # its id
    text: str
    used: str | None  # the file of the version that a device uses
    wants_diff: bool


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it."""

    is_good: bool
    problems: list[Problem]
    diff: list[dict[str, Any]] = []


def look_at(job: Job) -> Seen:
    """Return what a process of its own makes of a profile. Blocks: not on the loop."""
    command = [sys.executable, "-m", "gateway.runtime.examining"]
    try:
        done = subprocess.run(  # noqa: S603 - our own words
            command, input=msgspec.json.encode(job), capture_output=True, timeout=LIMIT_S, check=True
        )
        return msgspec.json.decode(done.stdout, type=Seen)
    except (subprocess.SubprocessError, msgspec.MsgspecError):
        return refused(job, f"it takes more than {CPU_S} s or {MEMORY_BYTES >> 20} MiB to look at: it is too large")


def refused(job: Job, why: str) -> Seen:
    """Return what is said of a profile that could not be looked at."""
    return Seen(is_good=False, problems=[Problem(job.profile, 1, "", why)])


def seen(job: Job) -> Seen:
    """Return what is wrong with a profile, and what is new in it."""
    library, known = Library(Path(job.folder)), profile_id(job.profile)
    profile, problems = library.examine(known, job.text.encode("utf-8", "surrogatepass"))
    if profile is None or not job.wants_diff:
        return Seen(is_good=profile is not None, problems=problems)
    before = library.newest_of(known.lineage, None if job.used is None else Path(job.used))
    every = [profile] if before is None else [before, profile]
    since = None if before is None else before.profile.id
    found = differences(before, profile, transforms_of(*every))
    return Seen(is_good=True, problems=problems, diff=[each.as_json() | {"since": since} for each in found])


def main() -> None:
    """Do one job."""
    with contextlib.suppress(OSError):
        os.nice(NICE)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    sys.stdout.buffer.write(msgspec.json.encode(seen(msgspec.json.decode(sys.stdin.buffer.read(), type=Job))))


if __name__ == "__main__":
    main()
