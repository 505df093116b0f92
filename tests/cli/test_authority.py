"""`grants`, `identify`, `wall` and `token`: who may do what."""

from __future__ import annotations

import pytest

from tests.cli.answerer import Gate

OPERATOR = {
    "name": "operator", "principal": "user:pi", "routes": "pump/motor/*@desired", "verbs": ["read", "write"],
    "expires": None,
}  # fmt: skip
NIGHT = OPERATOR | {"name": "night", "principal": "service:night", "expires": "2027-01-31T00:00:00Z"}
TABLE = [
    ["GRANT", "PRINCIPAL", "VERBS", "EXPIRES", "ROUTES"],
    ["operator", "user:pi", "read", "write", "never", "pump/motor/*@desired"],
    ["night", "service:night", "read", "write", "2027-01-31T00:00:00Z", "pump/motor/*@desired"],
]


def test_grants_as_json_are_those_of_the_gateway(gate: Gate) -> None:
    ran, asked = gate.ask("grants", "--json", answer={"ok": {"grants": [OPERATOR, NIGHT]}})
    assert (asked["request"], ran.json) == ("grants", {"grants": [OPERATOR, NIGHT]})


def test_a_person_reads_grants_as_a_table(gate: Gate) -> None:
    ran, _ = gate.ask("grants", answer={"ok": {"grants": [OPERATOR, NIGHT]}})
    assert [line.split() for line in ran.out.splitlines()] == TABLE


def test_where_nothing_is_granted_it_says_how_to_grant(gate: Gate) -> None:
    ran, _ = gate.ask("grants", answer={"ok": {"grants": []}})
    assert (ran.code, ran.out) == (0, "")
    assert "add a [grant.NAME] to the site" in ran.err


def test_identify_as_json_tells_who_how_known_and_what_is_granted(gate: Gate) -> None:
    told = {"principal": "user:pi", "by": "peer", "grants": [OPERATOR]}
    ran, asked = gate.ask("identify", "--json", answer={"ok": told})
    assert (asked["request"], ran.json) == ("identify", told)


def test_a_person_reads_who_they_are_and_their_grants(gate: Gate) -> None:
    ran, _ = gate.ask("identify", answer={"ok": {"principal": "user:pi", "by": "token", "grants": [OPERATOR]}})
    assert ran.out.splitlines()[0] == "user:pi, by its token"
    assert [line.split() for line in ran.out.splitlines()[1:]] == TABLE[:2]


def test_who_has_no_grants_reads_what_to_add(gate: Gate) -> None:
    ran, _ = gate.ask("identify", answer={"ok": {"principal": "user:pi", "by": "peer", "grants": []}})
    assert ran.out.startswith("user:pi, as the system says who connects; it has no grants")
    assert '[grant.NAME] with principal = "user:pi"' in ran.out


@pytest.mark.parametrize("target", ["can0", "pump", "pump/*/speed", "**"])
@pytest.mark.parametrize("state", ["off", "on"])
def test_a_wall_is_asked_for_on_what_was_named(gate: Gate, target: str, state: str) -> None:
    ran, asked = gate.ask("wall", target, "write", state, answer={"ok": {}})
    assert ran.code == 0
    assert (asked["request"], asked["args"]) == ("wall", {"target": target, "verb": "write", "state": state})


def test_a_wall_that_stands_says_how_it_is_lifted(gate: Gate) -> None:
    ran, _ = gate.ask("wall", "pump/**", "write", "off", answer={"ok": {}})
    assert ran.out == "pump/**: write is off for everybody; `tidegate wall 'pump/**' write on` lifts it\n"


def test_a_wall_that_is_lifted_leaves_the_grants(gate: Gate) -> None:
    ran, _ = gate.ask("wall", "can0", "write", "on", answer={"ok": {}})
    assert ran.out == "can0: write is on again for those whose grants say so\n"


def test_a_wall_as_json_is_what_the_gateway_told(gate: Gate) -> None:
    ran, _ = gate.ask("wall", "can0", "write", "off", "--json", answer={"ok": {"walls": ["can0"]}})
    assert ran.json == {"walls": ["can0"]}


@pytest.mark.parametrize("words", [["can0", "wirte", "off"], ["can0", "write", "of"], ["can0", "write"], ["can0"]])
def test_a_wall_that_makes_no_sense_is_asked_of_no_gateway(gate: Gate, words: list[str]) -> None:
    assert gate.run("wall", *words).code == 2


STANDING = {"subject": "pump", "kind": "name", "verb": "write", "by": "user:pi", "since_ns": 1_800_000_000 * 10**9}


def test_walls_as_json_are_those_of_the_gateway(gate: Gate) -> None:
    ran, asked = gate.ask("walls", "--json", answer={"ok": {"walls": [STANDING]}})
    assert (asked["request"], ran.json) == ("walls", {"walls": [STANDING]})


def test_a_person_reads_walls_as_a_table(gate: Gate) -> None:
    ran, _ = gate.ask("walls", answer={"ok": {"walls": [STANDING]}})
    assert [line.split() for line in ran.out.splitlines()] == [
        ["TARGET", "VERB", "SINCE", "BY"], ["pump", "write", "2027-01-15T08:00:00Z", "user:pi"],
    ]  # fmt: skip


def test_where_no_wall_stands_it_says_how_to_raise_one(gate: Gate) -> None:
    ran, _ = gate.ask("walls", answer={"ok": {"walls": []}})
    assert (ran.code, ran.out) == (0, "")
    assert "tidegate wall pump write off" in ran.err


ISSUE = ["token", "issue", "--principal", "service:night", "--routes", "pump/**"]


def test_a_token_is_one_line_and_nothing_else(gate: Gate) -> None:
    ran, asked = gate.ask(*ISSUE, "--verbs", "read,write", "--expires", "8h", answer={"ok": {"token": "tg1.a.b"}})
    assert (ran.code, ran.out, ran.err) == (0, "tg1.a.b\n", "")
    args = {"principal": "service:night", "routes": "pump/**", "verbs": ["read", "write"], "expires_s": 28_800.0}
    assert (asked["request"], asked["args"]) == ("issue_token", args)


def test_a_token_lives_ten_minutes_unless_it_is_said(gate: Gate) -> None:
    _, asked = gate.ask(*ISSUE, "--verbs", "write", answer={"ok": {"token": "tg1.a.b"}})
    assert asked["args"]["expires_s"] == 600.0


def test_a_token_as_json_is_an_object(gate: Gate) -> None:
    ran, _ = gate.ask(*ISSUE, "--verbs", "write", "--json", answer={"ok": {"token": "tg1.a.b"}})
    assert ran.json == {"token": "tg1.a.b"}


def test_a_verb_named_twice_is_asked_once(gate: Gate) -> None:
    _, asked = gate.ask(*ISSUE, "--verbs", "write, read,write", answer={"ok": {"token": "tg1.a.b"}})
    assert asked["args"]["verbs"] == ["write", "read"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--verbs", "wirte"], "no verb 'wirte'; did you mean 'write'?"),
        (["--verbs", ""], "no verb ''; one of read, write, admin"),
        (["--verbs", "write", "--expires", "soon"], "'--expires': 'soon' is no duration"),
        ([], "--verbs"),
    ],
)
def test_a_token_that_makes_no_sense_is_asked_of_no_gateway(gate: Gate, options: list[str], words: str) -> None:
    ran = gate.run(*ISSUE, *options)
    assert ran.code == 2
    assert words in ran.err
