from __future__ import annotations

import pytest

from tests.cli.answerer import Gate, error


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("connect", "is to be connected"),
        ("quiesce", "is to be left alone; `tidegate device meter-1 connect` takes it up again"),
        ("detach", "is to be let go, its port closed; `tidegate device meter-1 connect` takes it up again"),
    ],
)
def test_a_verb_is_asked_for_and_what_it_means_is_said(gate: Gate, verb: str, words: str) -> None:
    ran, asked = gate.ask("device", "meter-1", verb, answer={"ok": {}})
    assert (asked["request"], asked["args"]) == ("device", {"device": "meter-1", "verb": verb})
    assert (ran.code, ran.out) == (0, f"meter-1 {words}\n")


def test_json_is_what_the_gateway_told(gate: Gate) -> None:
    ran, _ = gate.ask("device", "meter-1", "connect", "--json", answer={"ok": {"name": "meter-1"}})
    assert ran.json == {"name": "meter-1"}


def test_an_unknown_verb_lists_those_there_are(gate: Gate) -> None:
    ran = gate.run("device", "meter-1", "disconnect")
    assert ran.code == 2
    assert all(verb in ran.err for verb in ("connect", "quiesce", "detach"))


def test_an_unknown_device_is_exit_2_with_the_gateways_words(gate: Gate) -> None:
    told = error("UsageError", "no device 'meter-9'; did you mean 'meter-1'?")
    ran, _ = gate.ask("device", "meter-9", "connect", answer=told)
    assert (ran.code, ran.err) == (2, "tidegate: no device 'meter-9'; did you mean 'meter-1'?\n")
