"""What hypothesis plays with: callers, a device that disobeys, a ledger that lags, and crashes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any, Final

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.authority.decision import Caller
from gateway.ledger.readonly import ReadOnlyLedger
from gateway.shadow.reconcile import coherence
from gateway.testing import FakeClock, MemoryStorage
from gateway.testing.storage import Image
from tests.crash.power import image_of, pending_of, torn_choices
from tests.runtime.crashing.books import ROUTES, Books, Wanted
from tests.runtime.crashing.doser import MANNERS, NAMES, SETPOINTS, Frame
from tests.runtime.crashing.run import ADMIN, DEVICE, PRINCIPALS, Run

S: Final = 1_000_000_000
STALE_NS: Final = 5 * S
LONG_S: Final = 25.0  # beyond every expiry


class Commands(RuleBasedStateMachine):
    """Runs of one gateway, one after another, on what the one before left."""

    def __init__(self) -> None:
        super().__init__()
        self.books = Books()
        self.image: Image = {}
        self.wall_error_ns = 0
        self.verdicts: list[asyncio.Task[Any]] = []
        self.calls: list[tuple[Wanted, asyncio.Task[Any]]] = []
        self.keys: list[tuple[str, str, str, int]] = []  # principal, key, setpoint, value of what was asked for
        self.next_value = 100
        self.doser_values = dict.fromkeys(NAMES, 5)
        self.heard: tuple[int, dict[str, int]] | None = None  # in this run: when the device last spoke, and what
        self.has_spoken = False
        self.manner = "obeys"
        self.last_wall = 0
        self.violation: AssertionError | None = None
        self.clock = FakeClock()
        self.machine = 0  # starts of the machine, not of the gateway
        self.run: Run
        self.start(is_clock_trusted=True, is_plugged=True)

    # ---- runs

    def start(self, *, is_clock_trusted: bool, is_plugged: bool) -> None:
        self.storage = MemoryStorage(self.image)
        self.heard, self.has_spoken = None, False
        self.run = Run(
            self.storage, self.clock, is_clock_trusted=is_clock_trusted, machine=f"m{self.machine}",
            witness=self.record_seen, on_write=self.write_seen, on_heard=self.heard_of,
        )  # fmt: skip
        self.run.doser.values, self.run.doser.manner = self.doser_values, self.manner
        if is_plugged:
            self.run.now(self.run.connect)

    @property
    def true_ns(self) -> int:
        return self.clock.wall_ns() - self.wall_error_ns

    def write_seen(self, name: str, value: int) -> None:
        ledger = self.run.committer._ledger
        assert ledger is not None
        self.judge(self.books.wrote, name, value, self.true_ns, ledger.durable_seq)

    def record_seen(self, seq: int, kind: str, route: str | None, body: Any) -> None:
        self.judge(self.books.took, seq, kind, route, body, self.wall_error_ns)

    def judge(self, look: Callable[..., None], *seen: Any) -> None:
        """Remember what is wrong: the gateway, in whose midst it was seen, is not to hear of it."""
        try:
            look(*seen)
        except AssertionError as violation:
            self.violation = self.violation or violation

    def heard_of(self, frame: Frame) -> None:
        self.has_spoken = True
        if frame.key == "status":
            self.heard = (self.clock.monotonic_ns(), dict(self.run.doser.values))

    def live(self, seconds: float) -> None:
        self.run.do(asyncio.sleep(seconds))
        self.collect()

    def collect(self) -> None:
        if self.violation is not None:
            raise self.violation
        assert not any(task.done() for task in self.run.tasks), "a part of the gateway broke"
        done = [(wanted, task) for wanted, task in self.calls if task.done()]
        self.calls = [each for each in self.calls if not each[1].done()]
        for task in [each for each in self.verdicts if each.done()]:
            self.verdicts.remove(task)
            task.result()
        for wanted, task in (each for each in done if not each[1].cancelled()):
            self.books.answered(wanted, task.result())

    # ---- callers

    def ask(self, name: str, value: int, principal: str, key: str | None, expires_s: float) -> None:
        wanted = Wanted(name, value, principal, key)
        caller = Caller(principal=principal, is_local=True)
        work = self.run.dispatch.set(caller, ROUTES[name], value, expires_s=expires_s, key=key, wait_s=3.0)
        self.calls.append((wanted, self.run.ask(work)))

    @rule(
        name=st.sampled_from(NAMES), principal=st.sampled_from(PRINCIPALS), key=st.sampled_from([None, None, "a", "b"]),
        expires_s=st.sampled_from([2.0, 2.0, 0.3, 20.0]),
    )  # fmt: skip
    def somebody_sets(self, name: str, principal: str, key: str | None, expires_s: float) -> None:
        self.next_value += 10  # no two commands write the same: the wire tells whose bytes these are
        if key is not None:
            self.keys.append((principal, key, name, self.next_value))
        self.ask(name, self.next_value, principal, key, 20.0 if name == "gate" else expires_s)
        self.live(0)

    @precondition(lambda self: self.keys)
    @rule(data=st.data(), times=st.integers(1, 3))
    def somebody_asks_again(self, data: st.DataObject, times: int) -> None:
        self.somebody_asks_again_for(data.draw(st.sampled_from(self.keys)), times)

    def somebody_asks_again_for(self, known: tuple[str, str, str, int], times: int) -> None:
        principal, key, name, value = known
        for _ in range(times):
            self.ask(name, value, principal, key, 2.0)
        self.live(0)

    @precondition(lambda self: any(r.policy.needs_approval for r in self.run.dispatch.commander.by_id.values()))
    @rule(verdict=st.sampled_from(["approve", "approve", "reject"]))
    def an_operator_decides(self, verdict: Any) -> None:
        waiting = [each for each, r in self.run.dispatch.commander.by_id.items() if r.policy.needs_approval]
        self.verdicts.append(self.run.ask(self.run.dispatch.decide(ADMIN, waiting[0], verdict)))
        self.live(0)

    @rule(state=st.sampled_from(["off", "on", "on"]))
    def somebody_raises_or_lifts_a_wall(self, state: Any) -> None:
        self.books.walled = False  # until it is answered, either may hold
        self.last_wall = number = self.last_wall + 1

        async def walling() -> None:
            await self.run.warden.wall(ADMIN, DEVICE, "write", state)
            self.books.walled = state == "off" and number == self.last_wall

        self.run.ask(walling())
        self.live(0)

    # ---- the device and its wire

    @rule(manner=st.sampled_from(MANNERS))
    def the_device_behaves(self, manner: str) -> None:
        self.run.doser.manner = self.manner = manner

    @rule(name=st.sampled_from([None, *NAMES]))
    def the_device_reports(self, name: str | None) -> None:
        if name is not None:
            self.doser_values[name] = 3  # somebody turned it by hand
        self.run.now(self.run.doser.report)
        self.collect()

    @rule()
    def the_wire_is_pulled_or_plugged(self) -> None:
        self.run.now(self.run.lose if self.run.is_up else self.run.connect)
        self.collect()

    @precondition(lambda self: not self.run.is_up)
    @rule()
    def the_wire_is_plugged(self) -> None:
        self.run.now(self.run.connect)
        self.run.now(self.run.doser.report)
        self.live(0.05)

    # ---- time and the ledger

    @rule(seconds=st.sampled_from([0.001, 0.03, 0.3, 0.31, 1.0, 2.5, 30.0]))
    def time_passes(self, seconds: float) -> None:
        self.live(seconds)

    @rule(lag_s=st.sampled_from([0.0, 0.0, 0.01, 0.5, None]), news_s=st.sampled_from([0.0, 0.0, 0.005, 0.4]))
    def the_ledger_lags(self, lag_s: float | None, news_s: float) -> None:
        self.run.committer.lag_s, self.run.committer.news_s = lag_s, news_s
        self.run.now(self.run.committer.go_on)
        self.collect()

    # ---- ends

    @rule(
        wanted=st.sampled_from([None, *NAMES, "speed"]), expires_s=st.sampled_from([2.0, 20.0]),
        hangs=st.booleans(), soon_s=st.sampled_from([0.0, 0.03, 0.35, 0.8]),
        seed=st.integers(0, 1 << 16), how=st.sampled_from(["killed", "killed", "power", "quits"]),
        works_on=st.booleans(), down_s=st.sampled_from([0.0, 0.1, 1.7, 3.0]),
        is_clock_trusted=st.sampled_from([True, True, False]), is_plugged=st.sampled_from([True, True, False]),
    )  # fmt: skip
    def it_ends_and_starts_again(
        self, wanted: str | None, expires_s: float, soon_s: float, seed: int, how: str, *, hangs: bool, works_on: bool,
        down_s: float, is_clock_trusted: bool, is_plugged: bool,
    ) -> None:  # fmt: skip
        if wanted is not None:
            self.one_more(wanted, expires_s, hangs=hangs)
        self.live(soon_s)
        run, rng = self.run, Random(seed)
        if how == "quits":
            run.quit()
            self.image = self.storage.image()
        else:
            self.image = self.left_of(*run.kill(works_on=works_on), rng, is_power=how == "power")
        self.calls.clear()
        self.verdicts.clear()
        true_ns = self.true_ns + round(down_s * S)
        monotonic_ns = self.clock.monotonic_ns() + round(down_s * S) if how != "power" else rng.randrange(10 * S)
        self.machine += how == "power"
        self.wall_error_ns = 0 if is_clock_trusted else rng.choice((-400 * 86_400, -1, 1, 3600)) * S
        self.clock = FakeClock(monotonic_ns, true_ns + self.wall_error_ns)
        self.books.reread(list(ReadOnlyLedger(MemoryStorage(self.image)).read()))
        self.start(is_clock_trusted=is_clock_trusted, is_plugged=is_plugged)
        for told in self.run.dispatch.commander.listing():
            if told["outcome"] is not None:
                self.books.ended(told["id"], told["outcome"], told["receipt"])

    def one_more(self, name: str, expires_s: float, *, hangs: bool) -> None:
        """Let somebody set something just before an end; the ledger `hangs` when it has the intent and nothing else."""
        self.run.committer.news_s = 0.03
        self.next_value += 10
        self.ask(name, self.next_value, PRINCIPALS[0], None, expires_s)
        self.live(0)
        if hangs:
            self.run.committer.lag_s = None
        self.run.committer.news_s = 0.0

    def left_of(self, floor: int, end: int, rng: Random, *, is_power: bool) -> Image:
        """Return what lies there after a crash at any operation since what anybody heard of."""
        left = MemoryStorage(self.image)
        for operation in self.storage.operations[: rng.randint(floor, end)]:
            left.apply(operation)
        if not is_power:
            return left.image()
        return image_of(left, rng.choice(list(torn_choices(pending_of(left), rng))))

    # ---- what must hold

    @invariant()
    def the_shadow_says_what_the_ledger_and_the_device_say(self) -> None:
        view = self.run.twin.view()
        assert view["version"] >= self.books.told_version, "the version of a shadow went back"
        self.books.told_version = view["version"]
        assert self.has_spoken or view["stale"], "nothing was heard of the device in this run"
        if self.heard is None:
            assert set(view["coherence"].values()) <= {"STALE", "UNKNOWN"}
        if self.run.is_quiet:
            for name in NAMES:
                self.compare(name, view)

    def compare(self, name: str, view: dict[str, Any]) -> None:
        desired = self.books.latest.get(("desired", name))
        effective = self.books.latest.get(("effective", name))
        wanted = None if desired is None else desired["value"]
        settled = effective["value"] if effective and desired and effective["version"] == desired["version"] else None
        state = view["state"]
        assert state["desired"].get(name) == wanted
        assert state["effective"].get(name) == settled, (name, state, effective)
        is_open = any(i.name == name for c, i in self.books.intents.items() if c not in self.books.results)
        assert is_open == (name in self.run.twin.open), f"{name}: the ledger says open: {is_open}"
        if self.heard is not None:
            at_ns, values = self.heard
            lost_ns = self.run.twin.device.lost_ns
            is_lost = not self.run.is_up or (lost_ns is not None and at_ns <= lost_ns)
            is_stale = is_lost or self.clock.monotonic_ns() - at_ns > STALE_NS
            word = coherence(
                wanted, values[name], settled, tolerance=SETPOINTS[name].tolerance, is_stale=is_stale, is_open=is_open
            )
            assert view["coherence"][name] == word, (name, view, values)

    def teardown(self) -> None:
        """In the end every command has its outcome, and everybody who waited an answer."""
        if self.run.loop.is_closed():  # between two runs something was wrong
            return
        try:
            self.run.committer.lag_s, self.run.committer.news_s = 0.0, 0.0
            self.run.now(self.run.committer.go_on)
            self.live(LONG_S)
            assert set(self.books.results) == set(self.books.intents), "a command has no outcome"
            assert not self.calls, "somebody waits for an answer"
        finally:
            self.run.kill(works_on=False)
