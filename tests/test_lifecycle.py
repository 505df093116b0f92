from __future__ import annotations

import pytest

from gateway.lifecycle import Event, Lifecycle, State, Target, next_state, towards

STAY = "."
# rows: state; columns: SEEK ATTEMPT OPENED MISSING REFUSED LOST CLOSED BROKEN QUIESCE RESUME
TABLE = """
ABSENT        DISCOVERING .          CONNECTED ABSENT BACKING_OFF .            DISCONNECTED FAILED QUIESCED .
DISCOVERING   .           CONNECTING CONNECTED ABSENT BACKING_OFF .            DISCONNECTED FAILED QUIESCED .
CONNECTING    .           .          CONNECTED ABSENT BACKING_OFF DISCONNECTED DISCONNECTED FAILED QUIESCED .
CONNECTED     .           .          .         ABSENT BACKING_OFF DISCONNECTED DISCONNECTED FAILED QUIESCED .
BACKING_OFF   DISCOVERING CONNECTING CONNECTED ABSENT BACKING_OFF .            DISCONNECTED FAILED QUIESCED .
DISCONNECTED  DISCOVERING CONNECTING CONNECTED ABSENT BACKING_OFF .            DISCONNECTED FAILED QUIESCED .
FAILED        DISCOVERING CONNECTING CONNECTED ABSENT BACKING_OFF .            DISCONNECTED FAILED QUIESCED .
QUIESCED      .           .          .         .      .           .            DISCONNECTED .      .        DISCOVERING
"""
COLUMNS = ["SEEK", "ATTEMPT", "OPENED", "MISSING", "REFUSED", "LOST", "CLOSED", "BROKEN", "QUIESCE", "RESUME"]
PAIRS = [
    (State[row.split()[0]], Event[event], next_name)
    for row in TABLE.strip().splitlines()
    for event, next_name in zip(COLUMNS, row.split()[1:], strict=True)
] + [(state, Event.RESTARTED, "CONNECTING" if state is State.CONNECTED else STAY) for state in State]


@pytest.mark.parametrize(("state", "event", "expected"), PAIRS)
def test_every_event_in_every_state_leads_where_the_table_says(state: State, event: Event, expected: str) -> None:
    assert next_state(state, event) is (state if expected == STAY else State[expected])


def test_the_table_above_knows_every_pair() -> None:
    assert {(state, event) for state, event, _ in PAIRS} == {(state, event) for state in State for event in Event}


@pytest.mark.parametrize("target", [Target.DISCOVERABLE, Target.QUIESCED, Target.DETACHED])
@pytest.mark.parametrize("start", State)
def test_every_target_that_needs_no_device_is_reached_from_everywhere(start: State, target: Target) -> None:
    state = start
    for _ in range(4):
        event = towards(state, target)
        if event is None:
            break
        state = next_state(state, event)
    goal = {
        Target.DISCOVERABLE: State.DISCOVERING,
        Target.QUIESCED: State.QUIESCED,
        Target.DETACHED: State.DISCONNECTED,
    }
    assert state is goal[target]


@pytest.mark.parametrize("start", [state for state in State if state is not State.CONNECTED])
def test_no_state_is_a_dead_end_on_the_way_to_connected(start: State) -> None:
    state = start
    for _ in range(4):
        event = towards(state, Target.CONNECTED)
        if event is Event.ATTEMPT:
            assert next_state(next_state(state, event), Event.OPENED) is State.CONNECTED
            return
        if event is None:
            assert state is State.CONNECTING
            return
        state = next_state(state, event)
    raise AssertionError(f"{start} never leads to an attempt")


def test_a_lifecycle_keeps_since_when_and_why() -> None:
    lost = Lifecycle(State.CONNECTED, since_ns=5).after(Event.LOST, 9, "unplugged")
    assert (lost.state, lost.since_ns, lost.reason) == (State.DISCONNECTED, 9, "unplugged")
    again = lost.after(Event.MISSING, 12, "no such file").after(Event.MISSING, 15, "no such file")
    assert (again.state, again.since_ns) == (State.ABSENT, 12)


def test_attempts_are_counted_until_one_succeeds() -> None:
    life = Lifecycle()
    for _ in range(3):
        life = life.after(Event.ATTEMPT, 1).after(Event.REFUSED, 2, "busy")
    assert life.attempt == 3
    assert life.after(Event.ATTEMPT, 3).after(Event.OPENED, 4).attempt == 0


def test_a_reason_does_not_outlive_its_state() -> None:
    assert Lifecycle(State.BACKING_OFF, reason="busy").after(Event.OPENED, 3).reason == ""
