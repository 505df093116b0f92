"""`tidegate set` before a gateway that answers as it is told to."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cli.answerer import Gate, error
from tests.cli.set_answers import KEYS, ROUTE, answer, open_command, refusal


def test_what_is_asked_is_route_value_and_terms(gate: Gate) -> None:
    _, asked = gate.ask("set", ROUTE, "1500", answer=answer())
    args = {"route": ROUTE, "value": 1500, "expires_s": None, "key": None, "wait_s": 3.0}
    assert asked == {"request": "set", "args": args, "token": None}


def test_terms_that_are_given_are_asked_for(gate: Gate) -> None:
    terms = ["--expires", "250ms", "--key", "k1", "--wait", "1m", "--token", "tg1.a.b"]
    _, asked = gate.ask("set", ROUTE, "1", *terms, answer=answer())
    assert asked["args"] == {"route": ROUTE, "value": 1, "expires_s": 0.25, "key": "k1", "wait_s": 60.0}
    assert asked["token"] == "tg1.a.b"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1500", 1500),
        ("1.5", 1.5),
        ("-5", -5),
        ("-1.5e-3", -1.5e-3),
        ("true", True),
        ("false", False),
        ("null", None),
        ("heating", "heating"),
        ("heat now", "heat now"),
        ("", ""),
        ("007", "007"),
        ("on", "on"),
        ('"5"', "5"),
        ('"-off"', "-off"),
        ("[1, 2]", [1, 2]),
        ('{"a": 1}', {"a": 1}),
        ("NaN", "NaN"),
        ("-Infinity", "-Infinity"),
        ("1e999", "1e999"),
        ("9" * 30, int("9" * 30)),
        ("9" * 5000, "9" * 5000),
        ("[" * 5000, "[" * 5000),
    ],
    ids=lambda told: repr(told)[:20],
)
def test_a_value_is_json_where_it_is_some_else_text(gate: Gate, text: str, value: Any) -> None:
    _, asked = gate.ask("set", ROUTE, text, answer=answer())
    assert (asked["args"]["value"], type(asked["args"]["value"])) == (value, type(value))


@pytest.mark.parametrize("options", [["--json"], []])
@pytest.mark.parametrize(
    ("answered", "code"),
    [
        *((answer(outcome=outcome), 0) for outcome in ("reported", "acked")),
        (answer(reported=1200, effective=1200, clamped=True, coherence="CLAMPED"), 0),
        *(
            (answer(outcome=outcome), 1)
            for outcome in ("expired", "exhausted", "rejected", "superseded", "unknown", "budget", "one of tomorrow")
        ),
        (open_command(), 1),
        *((refusal(code), 2) for code in ("range", "type", "denied", "key_reused", "interlock", "fill", "step")),
        (error("DeniedError", "no grant"), 2),
    ],
)
def test_the_exit_code_says_how_it_ended(gate: Gate, options: list[str], answered: dict[str, Any], code: int) -> None:
    ran, _ = gate.ask("set", ROUTE, "1500", *options, answer=answered)
    assert ran.code == code


@pytest.mark.parametrize("answered", [answer(), open_command(), refusal("range"), error("DeniedError", "no grant")])
def test_json_is_one_object_with_the_same_keys_whatever_happened(gate: Gate, answered: dict[str, Any]) -> None:
    ran, _ = gate.ask("set", ROUTE, "1500", "--json", answer=answered)
    assert list(ran.json) == KEYS


def test_json_tells_what_the_gateway_told(gate: Gate) -> None:
    ran, _ = gate.ask("set", ROUTE, "1500", "--json", answer=answer(key="k1"))
    assert ran.json == {key: value for key, value in answer(key="k1")["ok"].items() if key != "detail"}


@pytest.mark.parametrize(
    ("told", "reason"),
    [("DeniedError", "denied"), ("RouteError", "unknown_route"), ("request", "malformed"), ("UsageError", "refused")],
)
def test_an_objection_is_a_refusal_with_a_code(gate: Gate, told: str, reason: str) -> None:
    ran, _ = gate.ask("set", ROUTE, "5", "--json", "--key", "k", answer=error(told, "no"))
    found = {key: ran.json[key] for key in ("id", "route", "outcome", "reason", "desired", "key")}
    assert found == {"id": None, "route": ROUTE, "outcome": None, "reason": reason, "desired": 5, "key": "k"}


def test_beside_json_people_are_told_why_on_the_error_output(gate: Gate) -> None:
    ran, _ = gate.ask("set", ROUTE, "1500", "--json", answer=refusal("range"))
    assert ran.err == f"tidegate: {ROUTE}: refused (range: 1500 is beyond 0 to 1200 rpm)\n"


def test_beside_json_people_are_told_how_it_ended_without_a_confirmation(gate: Gate) -> None:
    ran, _ = gate.ask("set", ROUTE, "1500", "--json", answer=answer(outcome="expired", reason="unreachable"))
    assert ran.err.startswith(f"tidegate: expired: {ROUTE}: 1500 was not confirmed")


def test_a_gateway_that_is_busy_refuses_with_that_code(gate: Gate) -> None:
    ran, _ = gate.ask("set", ROUTE, "1500", "--json", answer=error("busy", "64 connections are open"))
    assert (ran.code, ran.json["reason"]) == (2, "busy")


WORDS = [
    (answer(), f"reported: {ROUTE}: the device reports 1500 (1 attempt, command c1, ledger record 812)"),
    (
        answer(reported=1200, effective=1200, clamped=True, attempts=2),
        (
            f"reported: {ROUTE}: the device reports 1200, its limit: 1500 was asked "
            "(2 attempts, command c1, ledger record 812)"
        ),
    ),
    (
        answer(outcome="acked", reported=None),
        f"acked: {ROUTE}: the device acknowledged 1500 (1 attempt, command c1, ledger record 812)",
    ),
    (
        answer(outcome="expired", reported=0, attempts=0, reason="disconnected"),
        (
            f"expired: {ROUTE}: 1500 was not confirmed before the command expired; the device last reported 0; "
            "disconnected (nothing was sent, command c1, ledger record 812)"
        ),
    ),
    (
        answer(outcome="rejected", reported=None, reason="nack", detail="status is busy", receipt=None),
        f"rejected: {ROUTE}: 1500 was not accepted; nack: status is busy (1 attempt, command c1)",
    ),
    (open_command(), f"{ROUTE}: no outcome yet; `tidegate commands` tells how c1 ends"),
]


@pytest.mark.parametrize(("answered", "line"), WORDS)
def test_a_person_reads_what_became_of_it_in_one_line(gate: Gate, answered: dict[str, Any], line: str) -> None:
    ran, _ = gate.ask("set", ROUTE, "1500", answer=answered)
    assert (ran.out, ran.err) == (line + "\n", "")


def test_a_refusal_is_an_error_for_people(gate: Gate) -> None:
    ran, _ = gate.ask("set", ROUTE, "1500", answer=refusal("range"))
    assert (ran.out, ran.err) == ("", f"tidegate: {ROUTE}: refused (range: 1500 is beyond 0 to 1200 rpm)\n")


def test_what_a_device_says_cannot_move_the_cursor(gate: Gate) -> None:
    ran, _ = gate.ask("set", ROUTE, "x", answer=answer(desired="\x1b[2J", reported="\x1b[2J", detail="\x1b[2J"))
    assert "\x1b" not in ran.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["set"], "give ROUTE and VALUE"),
        (["set", ROUTE], "give ROUTE and VALUE"),
        (["set", ROUTE, "--josn"], "set has no option --josn"),
        (["set", ROUTE, "5", "--josn"], "--josn"),
        (["set", ROUTE, "5", "--wait", "3"], "'--wait': '3' is no duration; write for example '250ms'"),
        (["set", ROUTE, "5", "--expires", "-1s"], "'--expires': '-1s' is no duration"),
        (["set", ROUTE, "5", "--stdin"], "leave ROUTE, VALUE and --key out"),
        (["set", "--stdin", "--key", "k"], "leave ROUTE, VALUE and --key out"),
    ],
)
def test_what_makes_no_sense_is_said_before_a_gateway_is_asked(gate: Gate, arguments: list[str], words: str) -> None:
    ran = gate.run(*arguments)
    assert ran.code == 2
    assert words in ran.err


def test_a_gateway_that_goes_away_leaves_the_outcome_open_and_says_where_it_will_be_told(gate: Gate) -> None:
    ran, _ = gate.ask("set", ROUTE, "5", "--json", answer=None)
    assert (ran.code, ran.out) == (3, "")
    assert f"whether {ROUTE} was set nobody has told: see `tidegate commands`" in ran.err


def test_an_interrupted_wait_says_that_the_value_may_still_be_set(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr("gateway.cli.talk.Conversation._answer_to", interrupt)
    with gate.answering():
        ran = gate.run("set", ROUTE, "5")
    assert ran.code == 130
    assert f"interrupted; {ROUTE} may still be set" in ran.err
