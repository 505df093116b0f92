"""Parameters in a profile's texts, numbers and hex; types that are not what they look like."""

from __future__ import annotations

import pytest

from gateway.errors import Problem
from gateway.profile.model import Profile
from gateway.profile.validate import examine

HEAD = """\
[profile]
id = "a/node@1.0.0"
title = "Node {node}"
[params]
node = { type = "u8", default = 5 }
serial = { type = "u32be", default = 0x01020304 }
name = { type = "text", default = "Tag*" }
[link]
bus = "can"
"""


def profile_of(text: str, given: dict[str, object] | None = None) -> Profile:
    examined = examine("p.toml", (HEAD + text).encode(), given or {}, lambda _name: b"")
    assert [problem for problem in examined.problems if problem.severity == "error"] == []
    assert examined.profile is not None
    return examined.profile


def problems_of(text: str) -> list[Problem]:
    return examine("p.toml", (HEAD + text).encode(), {}, lambda _name: b"").problems


def test_a_sum_stands_where_an_integer_is_expected() -> None:
    text = '[message.a]\nwhen = { can_id = "0x180 + {node}", bytes = { 0 = "{node}", 1 = "1 + 2" } }\n'
    when = profile_of(text).message["a"].when
    assert when.can_id == 0x185
    assert when.bytes == {"0": 5, "1": 3}
    assert profile_of(text, {"node": 7}).message["a"].when.can_id == 0x187


def test_a_parameter_in_hex_is_written_in_its_type() -> None:
    text = '[message.a]\nask = { send = "ff {node} {serial}", can_id = 1 }\n'
    ask = profile_of(text).message["a"].ask
    assert ask is not None
    assert bytes.fromhex(ask.send or "") == bytes.fromhex("ff 05 01 02 03 04")


def test_a_constant_is_an_integer_or_hex_as_its_type_says() -> None:
    text = (
        '[message.a]\nwhen = { can_id = 1 }\nfields = [{ type = "u8", const = "{node}" },'
        ' { type = "bytes", length = 4, const = "{serial}" }, { name = "x", type = "u8", invalid = ["{node}", 3] }]\n'
    )
    fields = profile_of(text).message["a"].fields
    assert fields[0].const == 5
    assert bytes.fromhex(str(fields[1].const)) == b"\x01\x02\x03\x04"
    assert fields[2].invalid == [5, 3]


def test_a_title_takes_a_parameter() -> None:
    assert profile_of("[message.a]\n").profile.title == "Node 5"


def test_an_annotation_in_units_is_no_parameter() -> None:
    text = '[message.a]\nwhen = { can_id = 1 }\nfields = [{ name = "x", type = "u8", units = "{rev}/min" }]\n'
    assert profile_of(text).message["a"].fields[0].units == "{rev}/min"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("true", "expected an integer, got true"),
        ("1.0", "expected an integer, got 1.0"),
        ('"5"', "expected an integer, got the text '5'"),
        ("[1]", "expected an integer, got a list"),
        ("{}", "expected an integer, got a table"),
        ("1979-05-27", "expected an integer, got a date or time"),
        ("18446744073709551616", "the integer does not fit 64 bits"),
        ('"{nod}"', "no parameter 'nod' in [params]; did you mean 'node'?"),
        ('"{name} + 1"', "'Tag* + 1' is no sum of integers; write for example '0x180 + {node}'"),
    ],
)
def test_what_is_no_integer_is_told_as_what_it_is(value: str, said: str) -> None:
    problems = problems_of(f"[message.a]\nwhen = {{ can_id = {value} }}\n")
    assert [(problem.line, problem.key, problem.message) for problem in problems] == [
        (11, "message.a.when.can_id", said)
    ]


def test_integers_are_taken_where_numbers_are_expected() -> None:
    text = '[message.a]\nwhen = { can_id = 1 }\nfields = [{ name = "x", type = "u8", scale = 2, offset = -1 }]\n'
    assert profile_of(text).message["a"].fields[0].scale == 2


def test_a_value_given_wrongly_is_told_at_its_parameter() -> None:
    examined = examine("p.toml", (HEAD + "[message.a]\n").encode(), {"node": 300}, lambda _name: b"")
    assert [(problem.line, problem.key, problem.message) for problem in examined.problems] == [
        (5, "params.node", "300 is outside 0..255")
    ]


def test_a_value_for_no_parameter_refuses_the_profile() -> None:
    examined = examine("p.toml", (HEAD + "[message.a]\n").encode(), {"nod": 3}, lambda _name: b"")
    assert [(problem.line, problem.key) for problem in examined.problems] == [(4, "params.nod")]
