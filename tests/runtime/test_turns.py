from __future__ import annotations

from gateway.runtime.mailbox import Lane, Mailbox
from gateway.runtime.turns import Stop, Turns

MS = 1_000_000


def stop(lane: Lane = "telemetry", **options: object) -> Stop:
    return Stop(Mailbox("m", 1, lane=lane), lambda _parcel: None, **options)


def serve(turns: Turns, stops: list[Stop], rounds: int, cost_ns: int = MS) -> list[Lane]:
    """Every stop always has work: return which lanes were served, in order."""
    now = 0
    lanes: list[Lane] = []
    for each in stops:
        turns.ready(each, now)
    for _ in range(rounds):
        chosen = turns.next(now)
        assert chosen is not None
        now += cost_ns
        turns.spent(chosen.lane, cost_ns)
        turns.ready(chosen, now)
        lanes.append(chosen.lane)
    return lanes


def test_nothing_ready_means_nothing_to_serve() -> None:
    assert Turns().next(0) is None


def test_control_is_served_before_telemetry_that_waited_longer() -> None:
    turns, telemetry, control = Turns(), stop("telemetry"), stop("control")
    turns.ready(telemetry, 0)
    turns.ready(control, 5)
    assert turns.next(6) is control
    assert turns.next(6) is telemetry
    assert turns.next(6) is None


def test_control_wins_however_long_telemetry_kept_the_loop_busy() -> None:
    turns, telemetry, control = Turns(), stop("telemetry"), stop("control")
    serve(turns, [telemetry], 500)
    turns.ready(control, 500 * MS)
    assert turns.next(500 * MS) is control


def test_no_lane_starves_when_all_are_always_full() -> None:
    served = serve(Turns(), [stop("control"), stop("telemetry"), stop("bulk"), stop("debug")], 4000)
    shares = {lane: served.count(lane) / len(served) for lane in ("control", "telemetry", "bulk", "debug")}
    assert 0.65 < shares["control"] < 0.75
    assert 0.15 < shares["telemetry"] < 0.25
    assert 0.05 < shares["bulk"] < 0.10
    assert 0.01 < shares["debug"] < 0.05


def test_an_old_burst_is_no_debt_for_ever() -> None:
    turns, telemetry, bulk = Turns(), stop("telemetry"), stop("bulk")
    serve(turns, [bulk], 1000)
    served = serve(turns, [bulk, telemetry], 3000)
    assert served[-500:].count("bulk") > 50


def test_stops_of_one_lane_take_turns() -> None:
    turns, first, second = Turns(), stop(), stop()
    turns.ready(first, 0)
    turns.ready(second, 1)
    assert turns.next(2) is first
    turns.ready(first, 2)
    assert turns.next(3) is second


def test_the_stop_that_is_due_first_is_served_first() -> None:
    turns, patient, urgent = Turns(), stop(deadline_ns=1000 * MS), stop(deadline_ns=10 * MS)
    turns.ready(patient, 0)
    turns.ready(urgent, 5 * MS)
    assert turns.next(6 * MS) is urgent


def test_a_closed_guard_holds_a_stop_back_until_it_opens() -> None:
    gate = {"open": False}
    turns, guarded = Turns(), stop(guard=lambda: gate["open"])
    turns.ready(guarded, 0)
    assert turns.next(1) is None
    gate["open"] = True
    assert turns.next(2) is guarded


def test_ready_twice_is_served_once() -> None:
    turns, only = Turns(), stop()
    turns.ready(only, 0)
    turns.ready(only, 1)
    assert turns.next(2) is only
    assert turns.next(2) is None


def test_a_forgotten_stop_is_not_served() -> None:
    turns, only = Turns(), stop()
    turns.ready(only, 0)
    turns.forget(only)
    assert turns.next(1) is None


def test_a_slow_decode_gets_fewer_frames_a_turn() -> None:
    slow = stop()
    for _ in range(30):
        slow.learn(10, 10 * 100_000)
    assert 18 <= slow.frames_for(2 * MS) <= 22
    assert slow.frames_for(1) == 1
