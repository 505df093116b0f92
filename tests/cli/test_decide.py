from __future__ import annotations

import pytest

from tests.cli.answerer import Gate, error
from tests.cli.set_answers import KEYS, answer


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        ("approve", "c1 is approved; `tidegate commands` tells how it ends"),
        ("reject", "c1 is rejected; nothing is sent"),
    ],
)
def test_an_operators_word_is_handed_on_and_what_follows_is_said(gate: Gate, verdict: str, words: str) -> None:
    ran, asked = gate.ask(verdict, "c1", answer={"ok": {}})
    assert (asked["request"], asked["args"]) == ("decide", {"id": "c1", "verdict": verdict})
    assert (ran.code, ran.out) == (0, words + "\n")


@pytest.mark.parametrize("verdict", ["approve", "reject"])
def test_json_is_the_object_of_set(gate: Gate, verdict: str) -> None:
    ran, _ = gate.ask(verdict, "c1", "--json", answer=answer(id="c1", detail="said so"))
    assert (list(ran.json), ran.json["id"]) == (KEYS, "c1")


@pytest.mark.parametrize("verdict", ["approve", "reject"])
def test_a_command_that_waits_for_nobody_is_exit_2(gate: Gate, verdict: str) -> None:
    ran, _ = gate.ask(verdict, "c9", answer=error("UsageError", "no command 'c9' waits for an operator"))
    assert (ran.code, ran.err) == (2, "tidegate: no command 'c9' waits for an operator\n")
