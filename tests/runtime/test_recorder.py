"""What a gateway tells its ledger, and what comes back: fold(replay) == live recorded state, whatever happened."""

from __future__ import annotations

import errno
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from gateway.frame import Element
from gateway.ledger import Record
from gateway.ledger.base import Options
from gateway.ledger.fold import State as Folded
from gateway.ledger.frame import QUALITIES
from gateway.ledger.ldg1 import Ldg1Ledger
from gateway.ledger.opening import create
from gateway.ledger.reader import Commit, Reader
from gateway.ledger.reading import decode_reading
from gateway.lifecycle import Event
from gateway.profile.build import CompiledProfile
from gateway.profile.recorded import Schemas
from gateway.runtime import committer as committer_module
from gateway.runtime.device import Device
from gateway.runtime.digest import digest_of
from gateway.runtime.message import Adjust, Message
from gateway.runtime.parcel import Parcel
from gateway.runtime.recorder import Recorder
from gateway.runtime.thinning import AT_ONCE, EVERY_S
from gateway.runtime.timekeeping import Quality
from gateway.taint import DELIVERY_DEFERRED, DELIVERY_DROPPED, TRUST_ADJUSTED, names_of
from gateway.testing import FakeClock
from gateway.testing.storage import Fault, FaultyStorage, MemoryStorage
from tests.runtime.kit import BEACON, COBS, cobs_profile, compiled, conserves, reading, state

OPTIONS = Options(ring_bytes=8 << 16, segment_bytes=1 << 16, unit_bytes=512, budget_bytes_per_day=0)
EVERYTHING = '[record]\nat_most = "0s"\n'


class Bench:
    """A gateway's recorder with one device, run after run over one ledger; the ledger's thread is the test's hand."""

    def __init__(
        self, extra: str = EVERYTHING, *, profile: CompiledProfile | None = None, options: Options = OPTIONS
    ) -> None:
        self.quality: Quality = "none"
        self.storage = MemoryStorage()
        create(self.storage, OPTIONS)
        self.faulty = FaultyStorage(self.storage)
        self.clock = FakeClock()
        self.options = options
        self.boots = 0
        self.begin(profile or cobs_profile(extra))

    def begin(self, profile: CompiledProfile | None = None, **options: Any) -> None:
        """Start a run, as after a reboot: monotonic time is another one."""
        self.boots += 1
        self.clock = FakeClock(monotonic_ns=self.boots * 7_000_000, wall_ns=self.clock.wall_ns())
        self.profile = profile or self.profile if self.boots > 1 else profile
        assert self.profile is not None
        self.recorder = Recorder(
            self.open, self.clock, boot={"boot": f"run-{self.boots}", "version": "1"}, quality=lambda: self.quality
        )
        self.device = Device("node", self.profile, self.clock, **options)
        self.recorder.attach(self.device)

    def open(self) -> Ldg1Ledger:
        self.ledger = Ldg1Ledger(self.faulty, self.options, self.clock, background=False)
        return self.ledger

    def start(self) -> None:
        assert self.recorder.committer.open()
        self.work()

    def restart(self, profile: CompiledProfile | None = None, *, is_kill: bool = False, **options: Any) -> None:
        if not is_kill:
            self.work()
            self.ledger.close()
        self.begin(profile, **options)
        self.start()

    def work(self) -> None:
        self.recorder.committer.work()

    def hear(self, *frames: tuple[str, bytes]) -> None:
        stamp = Parcel([], None, self.clock.monotonic_ns(), self.clock.wall_ns())
        for mailbox, parcel in self.device.parcels([body for _, body in frames], [name for name, _ in frames], stamp):
            self.device.in_hand -= len(parcel.items)
            mailbox.put_nowait(parcel)
            while (taken := mailbox.take_nowait()) is not None:
                self.device.serve(taken)

    def records(self, kind: str) -> list[Record]:
        return [item for item in self.ledger.read() if isinstance(item, Record) and item.kind == kind]

    def live(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            message.name: None if message.row is None else (message.row[:-1], message.sequence, message.wall_ns)
            for message in self.device.all_messages()
        }
        return found


def opened(extra: str = EVERYTHING, **options: Any) -> Bench:
    bench = Bench(extra, **options)
    bench.start()
    return bench


# ---- what is told


def test_a_run_begins_with_a_boot_and_a_clock_record() -> None:
    bench = opened()
    (boot,), (clock,) = bench.records("boot"), bench.records("clock")
    assert boot.body == {"boot": "run-1", "version": "1", "unclean": False, "opening": 1}
    assert (clock.body["reason"], clock.body["quality"]) == ("start", "none")
    assert clock.body["wall_ns"] - clock.body["monotonic_ns"] == bench.clock.wall_ns() - bench.clock.monotonic_ns()


def test_a_layout_and_a_profile_are_told_once_in_a_ledger_and_before_the_first_reading() -> None:
    bench = opened()
    bench.hear(("reading", reading(1)))
    bench.restart()
    bench.hear(("reading", reading(2)), ("state", state(3)))
    bench.work()
    assert [record.route for record in bench.records("schema")] == [
        "node/climate/reading@frame",
        "node/health/state@frame",
    ]
    assert len(bench.records("profile")) == 1
    assert bench.records("schema")[0].seq < bench.records("reading")[0].seq


def test_a_layout_that_comes_again_after_another_is_told_again_so_that_the_newest_is_in_force() -> None:
    bench = opened()
    for scale in ("0.5", "0.25", "0.5"):
        bench.restart(compiled(COBS.format(extra=EVERYTHING, state="").replace("scale = 0.5", f"scale = {scale}")))
        bench.hear(("reading", reading(1)))
        bench.work()
    digests = [record.body["digest"] for record in bench.records("schema")]
    assert (len(digests), digests[0], digests[1] != digests[0]) == (3, digests[2], True)


def test_readings_decode_with_the_schema_of_their_time() -> None:
    bench = opened()
    bench.hear(("reading", reading(10)))
    bench.restart(compiled(COBS.format(extra=EVERYTHING, state="").replace("scale = 0.5", "scale = 2")))
    bench.hear(("reading", reading(10)))
    bench.work()
    schemas, values = Schemas(), []
    for item in bench.ledger.read():
        if isinstance(item, Record) and item.kind == "schema":
            schemas.learn(item.body)
        elif isinstance(item, Record) and item.kind == "reading":
            values.append(schemas.decode("node", decode_reading(item.raw))[1][0])
    assert values == [5.0, 20.0]


def test_adjusted_values_keep_their_raw_bytes_and_their_taint() -> None:
    adjust: dict[str, Adjust] = {"temperature": (2.0, 1.0)}
    bench = opened()
    bench.restart(adjust=adjust)
    bench.hear(("reading", reading(10)))
    bench.work()
    kept = decode_reading(bench.records("reading")[-1].raw)
    assert (kept.payload, kept.taints) == (reading(10), TRUST_ADJUSTED)
    bench.restart(adjust=adjust)
    message = bench.device.messages["reading"]
    assert message.row == (11.0, TRUST_ADJUSTED)


def test_every_change_of_a_connection_is_told_with_reason_and_attempt() -> None:
    bench = opened()
    for event, reason in (
        (Event.ATTEMPT, ""),
        (Event.MISSING, "nothing there"),
        (Event.ATTEMPT, ""),
        (Event.MISSING, "nothing there"),
        (Event.ATTEMPT, ""),
        (Event.OPENED, ""),
        (Event.LOST, "unplugged"),
        (Event.ATTEMPT, ""),
        (Event.REFUSED, "busy"),
    ):
        bench.device.happened(event, reason)
    bench.work()
    told = [record.body for record in bench.records("lifecycle")]
    assert [(body["state"], body["reason"], body["attempt"]) for body in told] == [
        ("CONNECTING", "", 1),
        ("ABSENT", "nothing there", 1),
        ("CONNECTED", "", 3),
        ("DISCONNECTED", "unplugged", 0),
        ("CONNECTING", "", 1),
        ("BACKING_OFF", "busy", 1),
    ]
    assert bench.records("lifecycle")[0].class_ == "state"


def test_attempts_in_a_row_are_told_ever_more_seldom_and_their_number_tells_of_the_others() -> None:
    bench = opened()
    for _ in range(100):
        bench.device.happened(Event.ATTEMPT)
        bench.device.happened(Event.REFUSED, "busy")
    bench.work()
    told = [(record.body["state"], record.body["attempt"]) for record in bench.records("lifecycle")]
    assert told == [(state, 1 << power) for power in range(7) for state in ("CONNECTING", "BACKING_OFF")]


def test_a_connection_that_flaps_is_told_a_bounded_number_of_times_and_what_was_passed_over_is_counted() -> None:
    bench = opened()
    for _ in range(1000):
        for event in (Event.ATTEMPT, Event.OPENED, Event.LOST):
            bench.device.happened(event, "unplugged" if event is Event.LOST else "")
    bench.recorder.tick()
    bench.work()
    assert len(bench.records("lifecycle")) == AT_ONCE
    bench.clock.advance(EVERY_S)
    bench.recorder.tick()
    bench.recorder.tick()
    bench.work()
    *_, last = bench.records("lifecycle")
    assert len(bench.records("lifecycle")) == AT_ONCE + 1
    assert (last.body["state"], last.body["reason"]) == ("DISCONNECTED", "unplugged")
    assert last.body["skipped"] == 3000 - AT_ONCE


def test_drops_are_declared_once_a_second_by_who_dropped_them() -> None:
    bench = opened()
    bench.device.lose(2)
    bench.device.lose(3)
    bench.recorder.tick()
    bench.recorder.tick()
    bench.device.lose(1)
    bench.recorder.tick()
    bench.work()
    assert [record.body for record in bench.records("gap")] == [
        {"dropped": 5, "reason": "driver"},
        {"dropped": 1, "reason": "driver"},
    ]


def test_a_clock_that_is_set_is_told() -> None:
    bench = opened()
    bench.clock.advance(20)
    bench.clock.step_wall(-3600)
    bench.recorder.tick()
    bench.work()
    told = bench.records("clock")[-1].body
    assert (told["reason"], told["step_ns"]) == ("step", -3_600_000_000_000)


def test_the_signal_strength_of_advertisements_is_kept_too() -> None:
    bench = opened(profile=compiled(BEACON.replace("[link]", EVERYTHING + "[link]")))
    stamp = Parcel([], None, bench.clock.monotonic_ns(), bench.clock.wall_ns())
    bench.device.advertise([Element("AA:BB:CC:DD:EE:FF", rssi=-70, manufacturer=0x0499)], stamp)
    bench.work()
    bench.restart()
    assert bench.device.all_messages()[-1].row == (-70, 0)


# ---- what does not fit


def test_a_payload_that_no_record_holds_is_counted_and_declared() -> None:
    profile = compiled(
        '[profile]\nid = "t/t@1.0.0"\n[link]\nbus = "uart"\n[framing]\nkind = "cobs"\nmax = 65535\n'
        '[record]\nat_most = "0s"\n[message.big]\nfields = [{ name = "x", type = "u8" }]\n'
    )
    bench = opened(profile=profile)
    bench.hear(("big", bytes(40_000)), ("big", b"\x01"))
    bench.recorder.tick()
    bench.work()
    assert [decode_reading(record.raw).payload for record in bench.records("reading")] == [b"\x01"]
    assert bench.records("gap")[0].body == {"dropped": 1, "reason": "too long for a record"}


def test_what_finds_no_room_is_counted_declared_and_marks_what_comes_next(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = opened()
    bench.hear(("reading", reading(1)))
    monkeypatch.setattr(committer_module, "MOST_RECORDS", 0)
    bench.hear(("reading", reading(2)), ("reading", reading(3)))
    monkeypatch.undo()
    bench.hear(("reading", reading(4)))
    assert names_of((bench.device.messages["reading"].row or (0,))[-1]) == ["delivery.dropped"]
    bench.recorder.tick()
    bench.work()
    kept = [decode_reading(record.raw) for record in bench.records("reading")]
    assert [(each.payload, each.taints) for each in kept] == [(reading(1), 0), (reading(4), DELIVERY_DROPPED)]
    (gap,) = bench.records("gap")
    assert (gap.route, gap.body) == ("node/climate/reading@frame", {"dropped": 2, "reason": "the ledger is slow"})
    assert bench.recorder.status()["shed"] == {"the ledger is slow": 2}


def test_states_are_not_shed_where_telemetry_is(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = opened('[record]\nat_most = "0s"\nclass = "state"\n')
    bench.hear(("reading", reading(1)))
    bench.work()
    monkeypatch.setattr(committer_module, "MOST_RECORDS", 0)
    bench.hear(("reading", reading(2)))
    bench.work()
    assert [record.class_ for record in bench.records("reading")] == ["state", "state"]


def test_but_states_in_streams_are_bounded_while_the_medium_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = opened('[record]\nat_most = "0s"\nclass = "state"\n')
    monkeypatch.setattr(committer_module, "MOST_RECORDS", 4)
    for number in range(100):
        bench.hear(("reading", reading(number)))
    assert bench.recorder.status()["queue"]["records"] <= 16
    assert bench.recorder.shed["the ledger is slow"] > 80


def test_a_medium_that_fills_up_stops_the_recording_and_nothing_else_until_there_is_room() -> None:
    bench = opened()
    bench.hear(("reading", reading(1)))
    bench.work()
    bench.faulty._faults = [Fault(frozenset({"write"}), 1, errno.ENOSPC, lasts=True)]
    bench.faulty._seen = [0]
    bench.device.happened(Event.ATTEMPT)
    bench.device.happened(Event.OPENED)
    bench.work()
    assert bench.recorder.status()["mode"] == "memory"
    assert "No space left on device" in bench.recorder.status()["reason"]
    bench.hear(("reading", reading(2)))
    assert (bench.device.messages["reading"].row or ())[0] == 1.0
    assert conserves(bench.device)
    bench.faulty._faults, bench.faulty._seen = [], []
    bench.start()
    bench.recorder.tick()
    bench.work()
    assert bench.recorder.status()["mode"] == "recording"
    assert [record.body["state"] for record in bench.records("lifecycle")][-1] == "CONNECTED"
    assert {"dropped": 1, "reason": "no ledger"} in [record.body for record in bench.records("gap")]
    assert bench.records("boot")[-1].body["opening"] == 2
    bench.hear(("reading", reading(3)))
    assert bench.device.messages["reading"].sequence == 3


# ---- what comes back


def message_after(bench: Bench, name: str = "reading") -> Message:
    return bench.device.messages[name]


def test_values_come_back_as_old_as_they_are_and_stale_until_the_device_speaks() -> None:
    bench = opened()
    bench.hear(("reading", reading(42)))
    wall_ns = bench.clock.wall_ns()
    bench.clock.advance(100)
    bench.restart()
    message = message_after(bench)
    now_ns = bench.clock.monotonic_ns()
    told = message.latest(now_ns)
    assert (told["values"], told["seq"], told["stale"]) == ({"temperature": 21.0}, 1, True)
    assert told["age"] == pytest.approx(100, abs=0.1)
    assert message.wall_ns == wall_ns
    assert "coherence.stale" in told["taints"]
    assert message.envelope(0, "port", "now").runtime == "run-1"
    bench.hear(("reading", reading(43)))
    told = message.latest(now_ns)
    assert (told["values"], told["seq"], told["stale"], told["taints"]) == ({"temperature": 21.5}, 2, False, [])
    assert message.envelope(0, "port", "now").runtime == "now"


def test_a_clock_in_1970_makes_no_old_value_fresh_and_one_that_is_set_tells_its_age() -> None:
    bench = opened()
    bench.hear(("reading", reading(42)))
    bench.work()
    right_ns = bench.clock.wall_ns()
    bench.clock.step_wall(-right_ns / 1e9)
    bench.restart()
    message = message_after(bench)
    bench.clock.advance(12)
    assert message.is_stale(bench.clock.monotonic_ns())
    assert message.latest(bench.clock.monotonic_ns())["age"] == pytest.approx(12, abs=0.1)
    assert message.wall_ns == right_ns
    bench.clock.step_wall((right_ns - bench.clock.wall_ns()) / 1e9 + 3600)
    bench.recorder.tick()
    assert message.latest(bench.clock.monotonic_ns())["age"] == pytest.approx(3600, abs=1)


def test_values_of_an_older_layout_come_back_where_name_and_unit_are_the_same() -> None:
    bench = opened()
    bench.hear(("reading", reading(10)), ("state", state(30)))
    text = COBS.format(extra=EVERYTHING, state="").replace("scale = 0.5", "scale = 2")
    text = text.replace('name = "load", type = "u8", units = "%"', 'name = "load", type = "u8", units = "1"')
    bench.restart(compiled(text))
    assert message_after(bench).row == (5.0, 0)  # as it was: 10 * 0.5
    assert message_after(bench, "state").row == (None, 0)


def test_a_schema_that_cannot_be_read_costs_its_value_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    bench = opened()
    bench.hear(("reading", reading(10)))
    bench.work()
    bench.ledger.append("schema", "node/climate/reading@frame", {"version": 9, "digest": "00" * 32}, "state")
    bench.restart(compiled(COBS.format(extra=EVERYTHING, state="").replace("scale = 0.5", "scale = 2")))
    assert message_after(bench).row is None
    assert "node/reading: the latest value does not come back" in caplog.text


def test_what_speaks_before_the_ledger_is_open_stays_and_its_numbers_go_on() -> None:
    bench = opened()
    bench.hear(("reading", reading(1)), ("reading", reading(2)))
    bench.work()
    bench.ledger.close()
    bench.begin()
    bench.hear(("reading", reading(9)))
    bench.start()
    message = message_after(bench)
    assert (message.row, message.sequence, message.is_restored) == ((4.5, 0), 3, False)


def test_values_come_back_from_a_ledger_that_cannot_be_written_and_only_once() -> None:
    bench = opened()
    bench.hear(("reading", reading(1)), ("reading", reading(2)))
    bench.work()
    bench.ledger.close()
    bench.begin()
    bench.recorder._reader = lambda: Ldg1Ledger(bench.storage, OPTIONS, bench.clock, background=False)
    bench.faulty._faults, bench.faulty._seen = [Fault(frozenset({"write"}), 1, errno.EROFS, lasts=True)], [0]
    assert not bench.recorder.committer.open()
    assert message_after(bench).latest(bench.clock.monotonic_ns())["values"] == {"temperature": 1.0}
    bench.faulty._faults, bench.faulty._seen = [], []
    bench.start()
    assert (message_after(bench).sequence, message_after(bench).is_restored) == (2, True)


def test_a_stop_that_was_meant_is_no_unclean_one() -> None:
    bench = opened()
    bench.restart(is_kill=True)
    assert bench.records("boot")[-1].body["unclean"] is True
    bench.recorder._put("lifecycle", None, {"state": "STOPPED", "boot": "run-2"})
    bench.work()
    bench.restart()
    assert bench.records("boot")[-1].body["unclean"] is False


def test_a_device_that_had_to_go_and_comes_back_owes_nothing() -> None:
    bench = opened()
    bench.device.lose(5)
    bench.recorder.detach(bench.device)
    bench.device = Device("node", cobs_profile(EVERYTHING), bench.clock)
    bench.recorder.attach(bench.device)
    bench.device.lose(2)
    bench.recorder.tick()
    bench.work()
    assert [record.body["dropped"] for record in bench.records("gap")] == [5, 2]


@pytest.mark.parametrize(("old", "new"), [("when   = {{ bytes", "when   = {{ bytes"), ("0.5", "0.25")])
def test_a_digest_tells_profiles_apart(old: str, new: str) -> None:
    first = compiled(COBS.format(extra="", state="")).profile
    second = compiled(COBS.replace(old, new).format(extra="", state="")).profile
    assert (digest_of(first) == digest_of(second)) is (old == new)


# ---- fold(replay) == live recorded state

numbers = st.integers(-100, 100)
steps = st.one_of(
    st.tuples(
        st.just("hear"), st.lists(st.tuples(st.sampled_from(["reading", "state"]), numbers), min_size=1, max_size=5)
    ),
    st.tuples(st.just("wait"), st.sampled_from([0.01, 1.0, 6.0])),
    st.tuples(st.just("set"), st.sampled_from([-100.0, 3600.0])),
    st.tuples(st.just("event"), st.sampled_from([Event.ATTEMPT, Event.OPENED, Event.LOST, Event.MISSING])),
    st.tuples(st.just("lose"), st.integers(1, 4)),
    st.tuples(st.just("tick"), st.none()),
    st.tuples(st.just("reopen"), st.none()),
    st.tuples(st.just("kill"), st.none()),
)


def body_of(name: str, number: int) -> bytes:
    return reading(number) if name == "reading" else state(abs(number))


def folded(bench: Bench) -> Folded:
    """Return the fold of everything in the ledger, record by record, however the ledger makes it."""
    found = Folded()
    found.apply_many(bench.ledger.read())
    assert found == bench.ledger.replay()
    return found


@settings(max_examples=60)
@given(st.lists(steps, max_size=25))
def test_the_fold_of_what_is_replayed_is_the_state_that_was_live(history: list[tuple[str, Any]]) -> None:
    bench = opened()
    since_flush = [bench.live()]
    lost = 0
    for what, argument in history:
        if what == "hear":
            bench.hear(*((name, body_of(name, number)) for name, number in argument))
        elif what == "wait":
            bench.clock.advance(argument)
        elif what == "set":
            bench.clock.step_wall(argument)
        elif what == "event":
            bench.device.happened(argument, "because")
        elif what == "lose":
            bench.device.lose(argument)
            lost += argument
        elif what == "tick":
            bench.recorder.tick()
        bench.work()
        since_flush.append(bench.live())
        if what in {"reopen", "kill"}:
            if what == "reopen":
                since_flush = since_flush[-1:]
            bench.restart(is_kill=what == "kill")
            assert bench.live() in since_flush  # a kill may take what was in memory, and nothing before it
            since_flush = [bench.live()]
            lost = 0
    bench.recorder.tick()
    bench.work()
    state_ = folded(bench)
    live = bench.live()
    for recording in bench.recorder._all():
        latest = state_.latest("reading").get(recording.route)
        told = None
        if latest is not None:
            kept = decode_reading(latest.raw)
            told = (recording.message.decode(kept.payload)[:-1], kept.sequence, kept.wall_ns)
        assert told == live[recording.message.name]
    told_state = state_.latest("lifecycle").get("node/lifecycle/state@state")
    if bench.device.name in bench.recorder._chronicle._told:
        assert told_state is not None
        assert told_state.body["state"] == bench.recorder._chronicle._told["node"][0]
    since_boot = [each for each in state_.gaps if state_.boot is not None and each["seq"] > state_.boot.seq]
    assert sum(each["body"]["dropped"] for each in since_boot) == lost


# ---- what the clock and the medium are worth


def test_commits_say_how_far_the_clock_was_to_be_trusted() -> None:
    bench = opened()
    bench.quality = "ntp"
    bench.clock.advance(60)
    bench.recorder.tick()
    bench.work()
    bench.hear(("reading", reading(1)))
    bench.work()
    bench.ledger.flush()
    qualities = [each.header.quality for each in Reader(bench.storage).commits() if isinstance(each, Commit)]
    assert (qualities[0], qualities[-1]) == (QUALITIES.index("none"), QUALITIES.index("ntp"))


def test_the_first_reading_of_each_route_says_that_the_medium_is_being_spared() -> None:
    bench = Bench(options=structs.replace(OPTIONS, budget_bytes_per_day=8192))
    bench.start()
    for number in range(12):
        bench.hear(("reading", reading(number)))
        bench.work()
        bench.ledger.flush()
        bench.clock.advance(60)
        bench.recorder.tick()
    taints = [decode_reading(each.raw).taints & DELIVERY_DEFERRED for each in bench.records("reading")]
    assert taints.count(DELIVERY_DEFERRED) == 1
