"""The state that records leave behind: the same however it is reached."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ledger.fold import MAX_DONE, MAX_TOLD, State
from gateway.ledger.record import CLASSES, KINDS, Gap, Record

ROUTES = st.none() | st.sampled_from(["a/b/c", "a/b/d", "x/y/z@desired"])
BODIES = st.sampled_from([b'{"value":1}', b'{"consumer":"mqtt","seq":3}', b"[1,2]", b'"text"', b'{"from_seq":1}'])


@st.composite
def histories(draw: st.DrawFn) -> list[Record]:
    """Draw records in order, with causes that point back."""
    found: list[Record] = []
    for seq in range(1, draw(st.integers(0, 25)) + 1):
        is_json = draw(st.booleans())
        found.append(
            Record(
                seq, 1, draw(st.sampled_from(KINDS)), draw(ROUTES), draw(st.sampled_from(CLASSES)),
                draw(st.integers(0, 2**62)), 1, draw(st.none() | st.integers(1, max(1, seq - 1))),
                draw(BODIES) if is_json else draw(st.binary(max_size=8)), is_json,
            )
        )  # fmt: skip
    return found


def folded(records: list[Record], state: State | None = None) -> State:
    state = state or State()
    state.apply_many(records)
    return state


def record(seq: int, kind: str, body: Any, *, route: str | None = "a/b/c", cause: int | None = None) -> Record:
    return Record(seq, 1, kind, route, "state", 0, 1, cause, json.dumps(body).encode(), True)


@given(histories(), st.integers(0, 25))
def test_folding_on_top_of_an_earlier_fold_is_folding_everything(history: list[Record], cut: int) -> None:
    assert folded(history[cut:], folded(history[:cut])) == folded(history)


@given(histories())
def test_a_state_comes_back_from_its_json(history: list[Record]) -> None:
    state = folded(history)
    assert State.from_json(json.loads(json.dumps(state.as_json()))) == state


@given(histories())
def test_records_that_were_folded_already_change_nothing(history: list[Record]) -> None:
    state = folded(history)
    before = State.from_json(state.as_json())
    assert folded(history, state) == before


def test_the_latest_of_a_route_is_the_one_with_the_highest_number_whatever_its_time() -> None:
    early = Record(2, 1, "reading", "a/b/c", "telemetry", 5, 1, None, b"new", False)
    late = Record(1, 1, "reading", "a/b/c", "telemetry", 999, 1, None, b"old", False)
    assert folded([late, early]).latest("reading")["a/b/c"].body == b"new"


@pytest.mark.parametrize("answers", ["intent", "sending"])
def test_a_command_is_open_until_its_result(answers: str) -> None:
    intent, sent = record(1, "command_intent", {"value": 5}), record(2, "command_sent", {}, cause=1)
    state = folded([intent, sent])
    assert (list(state.open_commands), state.open_commands[1].sent) == ([1], 2)
    state.apply(record(3, "command_result", {"outcome": "acked"}, cause=1 if answers == "intent" else 2))
    assert (state.open_commands, state.done_commands[1].result) == ({}, {"outcome": "acked"})


def test_every_sending_of_a_command_is_counted() -> None:
    sent = [record(seq, "command_sent", {"attempt": seq - 1}, cause=1) for seq in (2, 3, 4)]
    state = folded([record(1, "command_intent", {"value": 5}), *sent])
    assert (state.open_commands[1].sendings, state.open_commands[1].sent) == (3, 4)


def test_a_cursor_never_goes_back() -> None:
    state = folded(
        [record(9, "cursor", {"consumer": "mqtt", "seq": 7}), record(10, "cursor", {"consumer": "mqtt", "seq": 3})]
    )
    assert state.cursors == {"mqtt": 7}


@pytest.mark.parametrize(
    "body", [None, 1, [], {"consumer": 5, "seq": 1}, {"consumer": "x"}, {"consumer": "x", "seq": True}]
)
def test_a_cursor_that_makes_no_sense_is_passed_over(body: Any) -> None:
    assert folded([record(1, "cursor", body)]).cursors == {}


def test_what_was_told_and_done_is_kept_up_to_a_bound_and_the_rest_counted() -> None:
    state = State()
    for seq in range(1, MAX_TOLD + 11):
        state.apply(record(seq, "gap", {"dropped": seq}))
    for seq in range(10_000, 10_000 + 2 * (MAX_DONE + 5), 2):
        state.apply(record(seq, "command_intent", {}))
        state.apply(record(seq + 1, "command_result", {}, cause=seq))
    assert (len(state.gaps), len(state.done_commands), state.overflowed) == (MAX_TOLD, MAX_DONE, 10)


def test_routes_are_kept_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.ledger.fold.MAX_ROUTES", 3)
    state = State()
    for seq in range(1, 6):
        state.apply(record(seq, "state", seq, route=f"a/b/c{seq}"))
    assert (list(state.latest("state")), state.overflowed) == (["a/b/c3", "a/b/c4", "a/b/c5"], 2)


def test_gaps_between_records_say_nothing_about_the_state() -> None:
    assert folded([Gap(1, 5, "gone"), record(6, "note", 1)]) == folded([record(6, "note", 1)])  # type: ignore[list-item]


@pytest.mark.parametrize(
    "told", [{}, {"registers": 5}, {"registers": {"state": {"a/b/c": {}}}}, {"seq": "x", "registers": {}}]
)
def test_what_no_state_ever_said_is_refused(told: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no state"):
        State.from_json(told)


@given(histories(), st.integers(0, 25))
def test_a_state_that_was_kept_as_json_and_is_full_goes_on_as_if_it_had_stayed(history: list[Record], cut: int) -> None:
    bounds = {"MAX_ROUTES": 1, "MAX_OPEN": 1, "MAX_DONE": 1, "MAX_TOLD": 1, "MAX_CURSORS": 1}
    with pytest.MonkeyPatch.context() as patch:
        for name, bound in bounds.items():
            patch.setattr(f"gateway.ledger.fold.{name}", bound)
        kept = State.from_json(json.loads(json.dumps(folded(history[:cut]).as_json())))
        assert folded(history[cut:], kept) == folded(history)


def test_the_route_that_was_quiet_longest_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.ledger.fold.MAX_ROUTES", 2)
    state = folded([record(seq, "state", seq, route=route) for seq, route in enumerate(["a/b/c", "a/b/d", "a/b/c"], 1)])
    state.apply(record(4, "state", 4, route="a/b/e"))
    assert set(state.latest("state")) == {"a/b/c", "a/b/e"}


def test_open_commands_are_kept_up_to_a_bound_and_the_rest_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.ledger.fold.MAX_OPEN", 2)
    state = folded([record(seq, "command_intent", seq) for seq in range(1, 5)])
    assert (list(state.open_commands), state.overflowed) == ([3, 4], 2)


def test_cursors_are_kept_up_to_a_bound_and_those_that_are_kept_move_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.ledger.fold.MAX_CURSORS", 1)
    told = [("mqtt", 1), ("http", 1), ("mqtt", 2)]
    state = folded([record(seq, "cursor", {"consumer": name, "seq": at}) for seq, (name, at) in enumerate(told, 1)])
    assert (state.cursors, state.overflowed) == ({"mqtt": 2}, 1)


@pytest.mark.parametrize("kind", ["gap", "damage", "cursor", "command_intent"])
def test_what_calls_itself_json_and_is_none_stops_no_fold(kind: str) -> None:
    bad = Record(1, 1, kind, "a/b/c", "state", 0, 1, None, b'{"half', True)
    assert folded([bad, record(2, "note", 1)]).seq == 2


def test_a_command_with_a_key_is_known_for_longer_than_those_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.ledger.fold.MAX_DONE", 3)
    monkeypatch.setattr("gateway.ledger.fold.MAX_KEYED", 5)
    state = State()
    for number in range(20):
        body = {"id": str(number), "key": "k" if number % 2 else None}
        state.apply(record(2 * number + 1, "command_intent", body))
        state.apply(record(2 * number + 2, "command_result", {"id": str(number)}, cause=2 * number + 1))
    assert [command.intent["id"] for command in state.done_commands.values()] == ["11", "13", "15", "17", "19"]


def at(seq: int, wall_ns: int, kind: str = "note", **body: Any) -> Record:
    return Record(seq, 1, kind, None, "state", wall_ns, 1, None, json.dumps(body).encode(), True)


def test_the_newest_time_under_a_clock_that_the_network_set_is_known() -> None:
    state = folded([at(1, 10, "boot"), at(2, 20, "clock", quality="ntp"), at(3, 30), at(4, 5)])
    assert state.sure_wall_ns == 30


def test_a_time_that_nobody_vouches_for_has_not_certainly_passed() -> None:
    state = folded([at(1, 10, "clock", quality="ntp"), at(2, 99, "boot"), at(3, 99), at(4, 99, "clock", quality="rtc")])
    assert state.sure_wall_ns == 10
