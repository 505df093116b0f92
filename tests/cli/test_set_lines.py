"""`tidegate set --stdin`: one answer a line, whatever the line is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.set_lines import json_value, word_or_json
from gateway.errors import UsageError
from tests.cli.answerer import Gate, error
from tests.cli.set_answers import KEYS, ROUTE, answer, open_command, refusal


def line(**facts: Any) -> bytes:
    return json.dumps({"route": ROUTE, "value": 1} | facts).encode() + b"\n"


def results(out: str) -> list[dict[str, Any]]:
    return [json.loads(text) for text in out.splitlines()]


def test_each_line_is_asked_in_its_turn_over_one_connection(gate: Gate) -> None:
    with gate.answering(answer(id="c1"), answer(id="c2")) as gateway:
        ran = gate.run("set", "--stdin", "--json", lines=line(value=1) + line(value="on"))
    assert [each["id"] for each in results(ran.out)] == ["c1", "c2"]
    assert [each["args"]["value"] for each in gateway.asked] == [1, "on"]
    assert gateway.connections == 1


def test_a_line_may_name_its_own_terms_as_text_or_seconds(gate: Gate) -> None:
    with gate.answering(answer(), answer()) as gateway:
        gate.run(
            "set", "--stdin", "--json", "--wait", "9s", "--token", "tg1.a.b",
            lines=line(wait="10ms", expires=0.5, key="k1") + line(),
        )  # fmt: skip
    first, second = (each["args"] for each in gateway.asked)
    assert (first["wait_s"], first["expires_s"], first["key"]) == (0.01, 0.5, "k1")
    assert (second["wait_s"], second["expires_s"], second["key"]) == (9.0, None, None)
    assert {each["token"] for each in gateway.asked} == {"tg1.a.b"}


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ([answer(), answer(outcome="acked")], 0),
        ([answer(), answer(outcome="expired"), answer()], 1),
        ([open_command()], 1),
        ([answer(), refusal("range"), answer(outcome="expired")], 2),
        ([error("DeniedError", "no grant")], 2),
    ],
)
def test_the_exit_code_is_the_worst_of_all_lines(gate: Gate, answers: list[dict[str, Any]], code: int) -> None:
    with gate.answering(*answers):
        assert gate.run("set", "--stdin", "--json", lines=line() * len(answers)).code == code


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (b"hello", "Expecting value"),
        (b"\xff\xfe", "utf-8"),
        (b"7", "Expected `object`"),
        (b'{"route": "a/b/c"}', "required field `value`"),
        (b'{"value": 1}', "required field `route`"),
        (b'{"route": 5, "value": 1}', "Expected `str`"),
        (b'{"route": "a/b/c", "value": 1, "wiat": "3s"}', "unknown field `wiat`"),
        (b'{"route": "a/b/c", "value": 1, "wait": "3"}', "'3' is no duration"),
        (b'{"route": "a/b/c", "value": 1, "wait": true}', "wait"),
        (b'{"route": "a/b/c", "value": 1, "expires": -1}', "0s to 366d"),
        (b"[" * 60_000, "recursion"),
        (b'{"route": "a/b/c", "value": "' + b"x" * 200_000 + b'"}', "at most 65,536 bytes"),
    ],
    ids=lambda told: repr(told[:30]),
)
def test_a_line_that_makes_no_sense_has_its_answer_and_the_next_is_taken(gate: Gate, bad: bytes, why: str) -> None:
    with gate.answering(answer()) as gateway:
        ran = gate.run("set", "--stdin", lines=bad + b"\n" + line())
    assert ran.code == 2
    assert "refused (malformed: " in ran.err
    assert why in ran.err
    assert len(gateway.asked) == 1


def test_the_answer_to_a_bad_line_names_what_could_be_read_of_it(gate: Gate) -> None:
    with gate.answering():
        ran = gate.run("set", "--stdin", "--json", lines=line(value=5, key="k", wait="soon"))
    assert list(ran.json) == KEYS
    found = {key: ran.json[key] for key in ("id", "route", "outcome", "reason", "desired", "key")}
    assert found == {"id": None, "route": ROUTE, "outcome": None, "reason": "malformed", "desired": 5, "key": "k"}


def test_what_json_cannot_say_reaches_the_gateway_as_text_to_be_refused_there(gate: Gate) -> None:
    with gate.answering(*[refusal("type")] * 3) as gateway:
        lines = b"".join(b'{"route": "a/b/c", "value": %s}\n' % word for word in (b"NaN", b"-Infinity", b"1e999"))
        ran = gate.run("set", "--stdin", "--json", lines=lines)
    assert [each["args"]["value"] for each in gateway.asked] == ["NaN", "-Infinity", "1e999"]
    assert [each["reason"] for each in results(ran.out)] == ["type"] * 3


def test_half_a_character_is_answered_in_json(gate: Gate) -> None:
    with gate.answering(error("request", "invalid unicode")):
        ran = gate.run("set", "--stdin", "--json", lines=b'{"route": "a/b/c", "value": "\\ud800"}\n')
    assert ran.json["desired"] == "\ud800"


def test_blank_lines_and_a_missing_last_line_end_are_nothing(gate: Gate) -> None:
    with gate.answering(answer()):
        ran = gate.run("set", "--stdin", "--json", lines=b"\n  \n" + line().rstrip())
    assert len(results(ran.out)) == 1


def test_no_lines_are_no_answers(gate: Gate) -> None:
    with gate.answering():
        ran = gate.run("set", "--stdin", "--json")
    assert (ran.code, ran.out) == (0, "")


def test_beside_json_lines_nothing_fills_the_error_output(gate: Gate) -> None:
    with gate.answering(refusal("range")):
        assert gate.run("set", "--stdin", "--json", lines=line() + b"?\n").err == ""


def test_a_gateway_that_goes_away_ends_it_with_3_after_the_answers_so_far(gate: Gate) -> None:
    with gate.answering(answer()) as gateway:
        ran = gate.run("set", "--stdin", "--json", lines=line() * 3)
    assert (ran.code, len(results(ran.out)), len(gateway.asked)) == (3, 1, 2)
    assert f"whether {ROUTE} was set nobody has told" in ran.err


def test_a_program_can_talk_line_by_line(gate: Gate) -> None:
    arguments = [sys.executable, "-m", "gateway", "set", "--stdin", "--json"]
    with (
        gate.answering(answer(id="c1"), answer(id="c2")),
        subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        for number in ("c1", "c2"):
            process.stdin.write(line())
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["id"] == number
        process.stdin.close()
        assert process.wait(30) == 0


documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(document=documents)
def test_json_is_taken_as_it_was_meant(document):
    told = json_value(json.dumps(document))
    assert (told, type(told)) == (document, type(document))


@given(text=st.text())
def test_whatever_stands_on_a_command_line_is_a_value_or_a_usage_error(text):
    try:
        told = word_or_json(text)
    except UsageError:
        assert text.startswith("-")
    else:
        assert json.dumps(told, allow_nan=False)
