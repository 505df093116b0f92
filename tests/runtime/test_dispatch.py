"""What callers ask for, in whichever moment: a ledger that takes its time, a device that is replaced meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.runtime.shadows import Twin
from gateway.testing import FakeClock, MemoryStorage
from tests.runtime.crashing.books import ROUTES
from tests.runtime.crashing.doser import SETPOINTS
from tests.runtime.crashing.run import ADMIN, Run

SPEED = ROUTES["speed"]


def nothing(*_: Any) -> None:
    """Look at nothing."""


@pytest.fixture
def run() -> Iterator[Run]:
    made = Run(MemoryStorage(), FakeClock(), is_clock_trusted=True, witness=nothing, on_write=nothing, on_heard=nothing)
    made.now(made.connect)
    yield made
    made.kill(works_on=False)


def test_a_command_goes_on_at_the_device_that_took_another_s_place_while_its_intent_was_on_its_way(run: Run) -> None:
    run.committer.lag_s = 0.1
    asking = run.ask(run.dispatch.set(ADMIN, SPEED, 300))
    run.do(asyncio.sleep(0.05))
    run.now(lambda: run.dispatch.attach(Twin(run.device, SETPOINTS, run.clock)))
    run.do(asyncio.sleep(1))
    assert asking.result()["outcome"] == "reported"
    assert run.dispatch.twins["doser"].view()["state"]["desired"] == {"speed": 300}


def test_a_key_whose_intent_the_ledger_did_not_take_may_be_asked_for_again(run: Run) -> None:
    run.committer.lag_s = None
    first = run.ask(run.dispatch.set(ADMIN, SPEED, 300, key="k"))
    other = run.ask(run.dispatch.set(ADMIN, SPEED, 400, key="k"))
    run.do(asyncio.sleep(0))
    ledger, run.committer._ledger = run.committer._ledger, None
    run.now(run.committer._do_first)
    run.committer._ledger, run.committer.lag_s = ledger, 0.0
    run.now(run.committer.go_on)
    run.do(asyncio.sleep(1))
    assert (first.result()["reason"], other.result()["outcome"]) == ("not_durable", "reported")


@pytest.mark.parametrize("lag_s", [0.0, 1.0])
def test_a_retry_waits_until_the_attempt_before_is_on_record(run: Run, lag_s: float) -> None:
    run.doser.manner = "ignores"
    run.committer.lag_s = 0.1  # of the intent
    run.ask(run.dispatch.set(ADMIN, SPEED, 300, expires_s=20.0))
    run.do(asyncio.sleep(0.05))
    run.committer.lag_s = lag_s  # of what is recorded from then on
    run.do(asyncio.sleep(0.6))
    (running,) = run.dispatch.commander.by_id.values()
    assert running.command.attempt == (2 if lag_s == 0 else 1)
