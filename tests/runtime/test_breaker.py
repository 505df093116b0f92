"""A polled device that falls silent: the lifecycle is its breaker, over the whole runtime on fake time."""

from __future__ import annotations

import asyncio
import random
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.frame import Address
from gateway.lifecycle import Event, State
from gateway.runtime.looks import DeviceLooks
from gateway.testing import AnsweringPort
from tests.runtime.test_connect import Bench, sleep

METER = """
[profile]
id = "test/probe@1.0.0"
[link]
bus = "ble"
mode = "gatt"
match = { service = "180d" }
[lifecycle]
reconnect = "1s..30s"
[message.battery]
ask = { characteristic = "2a19" }
every = "1s"
fields = [{ name = "battery", type = "u8" }]
[message.name]
ask = { characteristic = "2a00" }
every = "5s"
fields = [{ name = "name", type = "u8" }]
"""


class Meter:
    """Answers, unless it is silent; knows when it was asked."""

    def __init__(self) -> None:
        self.is_silent = False
        self.asked_s: list[float] = []
        self.bench: Bench | None = None

    def __call__(self, _request: bytes, _address: Address) -> list[bytes]:
        assert self.bench is not None
        self.asked_s.append(self.bench.clock.monotonic_ns() / 1e9)
        return [] if self.is_silent else [b"\x57"]


def meter(folder: Path) -> tuple[Bench, Meter, list[tuple[str, State, int]]]:
    far = Meter()
    bench = Bench(folder, METER, "hci0", lambda clock: AnsweringPort("hci0", far, clock))
    far.bench = bench
    moves: list[tuple[str, State, int]] = []

    def moved(before: object, event: Event) -> None:
        life = bench.device.lifecycle
        if life.state is not before.state:  # type: ignore[attr-defined]
            moves.append((str(event), life.state, life.attempt))

    bench.device.listeners.append(moved)
    return bench, far, moves


def test_a_device_that_answers_nothing_opens_is_tried_with_one_question_and_closes(tmp_path: Path) -> None:
    bench, far, moves = meter(tmp_path)

    async def fall_silent() -> None:
        far.is_silent = True

    async def speak() -> None:
        far.is_silent = False

    bench.play(sleep(5.5), fall_silent, sleep(30), speak, sleep(35))
    names = [state for _, state, _ in moves]
    tries = names.count(State.CONNECTING) - 2  # the first opens, the last closes
    assert tries >= 3
    assert names == [
        *(State.CONNECTING, State.CONNECTED, State.BACKING_OFF),
        *(State.CONNECTING, State.BACKING_OFF) * tries,
        *(State.CONNECTING, State.CONNECTED),
    ]
    assert bench.device.first_error is None
    assert bench.device.last_error in {"battery: no answer", "name: no answer"}


def test_a_device_that_is_out_tells_when_it_is_asked_next_and_why(tmp_path: Path) -> None:
    bench, far, _ = meter(tmp_path)
    far.is_silent = True
    told: list[dict[str, object]] = []

    async def look() -> None:
        while bench.device.lifecycle.state is not State.BACKING_OFF:  # noqa: ASYNC110 - fake time, watched from outside
            await asyncio.sleep(0.1)
        told.extend(DeviceLooks(bench.keepers, bench.clock).lifecycles())

    bench.play(look)
    entry = told[0]
    assert (entry["lifecycle"], entry["target"], entry["stale"]) == ("BACKING_OFF", "CONNECTED", True)
    assert entry["first_error"] in {"battery: no answer", "name: no answer"}
    assert isinstance(entry["next_retry_s"], float)
    assert 0 < entry["next_retry_s"] <= 1.2


def test_each_attempt_is_one_question(tmp_path: Path) -> None:
    bench, far, moves = meter(tmp_path)
    far.is_silent = True
    bench.play(sleep(200))
    attempts = max(attempt for _, state, attempt in moves if state is State.CONNECTING)
    out_s = next(at for at, gap in zip(far.asked_s, _gaps(far.asked_s), strict=False) if gap > 0.75)
    assert attempts >= 5
    assert len([at for at in far.asked_s if at > out_s]) == pytest.approx(attempts, abs=2)


def test_a_device_that_speaks_by_itself_is_not_out_though_it_answers_nothing(tmp_path: Path) -> None:
    bench, far, _ = meter(tmp_path)
    far.is_silent = True

    async def speak() -> None:
        for _ in range(60):
            await asyncio.sleep(0.5)
            bench.device.heard(bench.clock.monotonic_ns())

    bench.play(speak)
    assert bench.device.lifecycle.state is State.CONNECTED


def test_a_device_that_is_quiesced_while_it_is_out_is_asked_nothing_more(tmp_path: Path) -> None:
    bench, far, _ = meter(tmp_path)
    far.is_silent = True

    async def quiesce() -> None:
        bench.keepers[0].lead(bench.device, "quiesce")
        far.asked_s.clear()

    bench.play(sleep(10), quiesce, sleep(100))
    assert bench.device.lifecycle.state is State.QUIESCED
    assert len(far.asked_s) <= 1  # one may have been under way


@settings(max_examples=20, deadline=None)
@given(outages=st.lists(st.tuples(st.integers(1, 60), st.integers(1, 200)), min_size=1, max_size=4), seed=st.integers())
def test_however_often_it_falls_silent_it_is_connected_again_within_its_backoff(
    tmp_path_factory: pytest.TempPathFactory, outages: list[tuple[int, int]], seed: int
) -> None:
    random.seed(seed)
    bench, far, moves = meter(tmp_path_factory.mktemp("meter"))
    opens_s: list[float] = []
    bench.device.listeners.append(
        lambda _before, event: opens_s.append(bench.clock.monotonic_ns() / 1e9) if event is Event.REFUSED else None
    )

    async def scenario() -> None:
        for fine_s, silent_s in outages:
            far.is_silent = False
            await asyncio.sleep(fine_s)
            far.is_silent = True
            await asyncio.sleep(silent_s)
        far.is_silent = False
        await asyncio.sleep(30 + 5)

    bench.play(scenario)
    assert bench.device.lifecycle.state is State.CONNECTED
    for since_s in opens_s:
        assert not [at for at in far.asked_s if since_s < at < since_s + 0.8 - 1e-6]
    assert moves


def _gaps(times: list[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(times)]
