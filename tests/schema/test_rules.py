"""Every mistake in a layout is told, at its key."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from gateway.schema.rules import message_problems
from gateway.schema.spec import MessageSpec
from tests.schema.made import spec_of
from tests.schema.strategies import binary_specs

U8 = {"name": "a", "type": "u8"}


def problems(*fields: dict[str, Any], **keys: Any) -> dict[str, str]:
    return dict(message_problems("made", spec_of(*fields, **keys)))


@settings(max_examples=60, deadline=None)
@given(spec=binary_specs())
def test_layouts_that_work_have_no_problem(spec: MessageSpec):
    found = message_problems("made", spec)
    assert [problem for problem in found if ".if." not in problem[0]] == []  # the strategy makes dead conditions too


@pytest.mark.parametrize(
    ("field", "key", "words"),
    [
        ({"type": "u16"}, "type", "needs a byte order"),
        ({"type": "u17be"}, "type", "did you mean 'u16be'"),
        ({"type": "byte", "length": 1}, "type", "did you mean 'bytes'"),
        ({"name": "x"}, "type", "missing"),
        ({"type": "bytes"}, "length", "missing"),
        ({"type": "u8", "length": 1}, "length", "its own length"),
        ({"type": "bytes", "length": 0}, "length", "outside"),
        ({"type": "bytes", "length": 10**30}, "length", "outside"),
        ({"type": "bcd", "length": 10**30, "invalid": 3}, "length", "outside"),
        ({"type": "u8", "array": -1}, "array", "outside"),
        ({"type": "u8", "scale": 0}, "scale", "every value the same"),
        ({"type": "u8", "scale": float("nan")}, "scale", "finite"),
        ({"type": "u8", "scale": "1/0"}, "scale", "divides by zero"),
        ({"type": "u8", "scale": "1e999999999"}, "scale", "no number"),
        ({"type": "u8", "scale": "{x}"}, "scale", "no number"),
        ({"type": "u8", "offset": float("inf")}, "offset", "finite"),
        ({"type": "text", "length": 1, "scale": 2}, "scale", "no number"),
        ({"type": "u8", "maximum": float("nan")}, "maximum", "finite"),
        ({"type": "bool", "maximum": 3}, "maximum", "has no maximum"),
        ({"type": "u8", "invalid": 256}, "invalid", "outside the range of u8: 0..255"),
        ({"type": "s8", "invalid": [-128, 128]}, "invalid[1]", "-128..127"),
        ({"type": "bytes", "length": 2, "invalid": "ff"}, "invalid", "1 bytes, the field 2"),
        ({"type": "bytes", "length": 2, "invalid": "xx"}, "invalid", "hex"),
        ({"type": "f32be", "invalid": float("nan")}, "invalid", "never be equal"),
        ({"type": "u8", "const": 300}, "const", "outside"),
        ({"type": "u8", "const": "5x"}, "const", "raw number"),
        ({"type": "u8", "labels": {"1": "on", "0x1": "off"}}, "labels.0x1", "same number"),
        ({"type": "u8", "labels": {"1": "on", "2": "on"}}, "labels.2", "already"),
        ({"type": "u8", "labels": {"300": "on"}}, "labels.300", "outside"),
        ({"type": "u8", "labels": {"on": "on"}}, "labels.on", "no number"),
        ({"type": "f32be", "labels": {"1": "on"}}, "labels", "whole numbers"),
        ({"type": "u8", "flags": {"8": "a"}}, "flags.8", "outside"),
        ({"type": "u8", "flags": {"1": "a", "2": "a"}}, "flags.2", "already"),
        ({"type": "bool", "flags": {"1": "a"}}, "flags", "integer"),
        ({"type": "u8", "if": "nobody"}, "if", "no field 'nobody'"),
        ({"name": "x", "type": "u8", "if": "x"}, "if", "means itself"),
        ({"type": "u8", "if": {}}, "if", "empty"),
        ({"type": "bytes", "length": "nobody"}, "length", "no field 'nobody'"),
        ({"type": "struct"}, "fields", "missing"),
        ({"type": "u8", "fields": [U8]}, "fields", "need type 'struct'"),
        ({"type": "struct", "scale": 2, "fields": [U8]}, "scale", "its parts may"),
        ({"type": "u8", "bits": [{"at": "8"}]}, "bits[0].at", "bit 8 is outside u8"),
        ({"type": "u8", "bits": [{"at": "3:0"}, {"name": "b", "at": "3"}]}, "bits[1].at", "bit 3 belongs to"),
        (
            {"type": "u8", "bits": [{"name": "f", "at": "7"}, {"at": "1"}, {"name": "b", "at": "1", "if": "f"}]},
            "bits[2].at",
            "bit 1 belongs to",
        ),
        ({"type": "u8", "bits": [{"at": "0:3"}]}, "bits[0].at", "higher bit first"),
        ({"type": "u8", "bits": [{"at": "x"}]}, "bits[0].at", "no bit place"),
        ({"type": "u8", "bits": [{"at": "3:0", "const": 16}]}, "bits[0].const", "outside"),
        ({"type": "f32be", "bits": [{"at": "3"}]}, "bits", "integer"),
        ({"name": "x", "type": "u8", "bits": [{"at": "3"}]}, "name", "has no name"),
        ({"type": "u8", "array": 2, "bits": [{"at": "3"}]}, "array", "struct around"),
        ({"type": "u8", "at": -1}, "at", "no byte"),
        ({"type": "u16be", "register": 3}, "register", "needs the message's ask"),
        ({"type": "u16be", "words": "little"}, "words", "no second register"),
        ({"dbc": "0|8@2+"}, "dbc", "no DBC place"),
        ({"dbc": "0|16@1+", "type": "f32"}, "dbc", "32 bits, not 16"),
        ({"dbc": "0|16@1+", "type": "u16"}, "type", "drop the type"),
        ({"dbc": "0|16@1+", "at": 3}, "at", "said by `dbc` alone"),
        ({"type": "u8", "column": 3}, "column", "is for format csv"),
        ({"type": "u8", "tag": 3}, "tag", "is for format tlv"),
        ({"type": "u8", "path": "a"}, "path", "construct object"),
    ],
)
def test_a_wrong_field_is_told_at_its_key(field, key, words):
    found = problems(field)
    assert words in found.get(f"fields[0].{key}", f"only {found}")


def test_nothing_may_follow_what_takes_the_rest():
    rest = {"name": "r", "type": "bytes", "length": "rest"}
    assert "nothing may follow" in problems(rest, U8)["fields[0].length"]
    assert "nothing may follow" in problems({"name": "r", "type": "u8", "array": "rest"}, U8)["fields[0].array"]
    inner = {"name": "s", "type": "struct", "fields": [rest]}
    assert "nothing may follow" in problems(inner, U8)["fields[0].fields"]
    assert problems(U8, rest | {"if": "a"}, rest | {"if": "!a"}) == {}


def test_a_name_stands_twice_only_under_exclusive_conditions():
    assert "both may be there" in problems(U8, U8)["fields[1].name"]
    flag = {"type": "u8", "bits": [{"name": "wide", "at": 0}]}
    assert problems(flag, U8 | {"if": "wide"}, U8 | {"if": "!wide"}) == {}
    mux = {"name": "mux", "type": "u8"}
    assert problems(mux, U8 | {"if": {"mux": [1, "4..7"]}}, U8 | {"if": {"mux": 2}}) == {}
    assert "both" in problems(mux, U8 | {"if": {"mux": [1, "4..7"]}}, U8 | {"if": {"mux": 5}})["fields[2].name"]


def test_references_go_backwards():
    later = problems({"name": "b", "type": "u8", "if": "a"}, U8)
    assert "stands further behind" in later["fields[0].if"]
    circle = problems({"name": "b", "type": "u8", "if": "a"}, U8 | {"if": "b"})
    assert "refer to each other" in circle["fields[0].if"]
    assert problems({"name": "b", "dbc": "8|8@1+", "if": {"a": 1}}, {"name": "a", "dbc": "0|8@1+"}) == {}


def test_a_condition_no_value_can_meet_is_told():
    assert "outside the range of 'a'" in problems(U8, {"name": "b", "type": "u8", "if": {"a": 256}})["fields[1].if.a"]
    labelled = U8 | {"labels": {"1": "on"}}
    assert "none of the labels" in problems(labelled, {"name": "b", "type": "u8", "if": {"a": "off"}})["fields[1].if"]


def test_tags_are_unique_and_leave_no_gap():
    first = U8 | {"tag": 1}
    assert "the tag of fields[0]" in problems(first, U8 | {"tag": 1}, format="tlv")["fields[1].tag"]
    assert "missing" in problems(first, U8, format="tlv")["fields[1].tag"]
    assert "outside the range of u8" in problems(U8 | {"tag": 256}, format="tlv")["fields[0].tag"]
    assert "unsigned" in problems(first, format="tlv", tag_type="s8")["tag_type"]
    assert "only format 'tlv'" in problems(U8, length_type="u8")["length_type"]
    assert "only format 'tlv'" in problems(U8, repeats=2)["repeats"]
    assert "outside 1..8" in problems(first, format="tlv", repeats=9)["repeats"]
    assert problems(first, format="tlv", repeats=1) == {}


def test_text_formats_are_held_to_their_own_keys_and_types():
    assert "did you mean 'number'" in problems({"type": "numbr", "column": 1}, format="csv")["fields[0].type"]
    assert "'length' is for" in problems({"type": "text", "column": 1, "length": 3}, format="csv")["fields[0].length"]
    assert "every value" in problems({"type": "number", "column": 1, "scale": 0}, format="csv")["fields[0].scale"]


def test_a_wrong_type_does_not_hide_other_mistakes():
    found = problems(
        {"name": "b", "type": "u16bee", "scale": 0, "array": "nosuch", "labels": {"1": "x", "2": "x"}, "if": "none"}
    )
    assert set(found) == {f"fields[0].{key}" for key in ("type", "scale", "array", "labels.2", "if")}


def test_structs_stand_only_so_deep():
    field: dict[str, Any] = dict(U8)
    for _ in range(40):
        field = {"name": "s", "type": "struct", "fields": [field]}
    assert any("deep" in message for message in problems(field).values())


def test_all_problems_come_at_once():
    assert len(problems({"type": "u16"}, {"type": "u8", "scale": 0, "invalid": 900}, {"type": "bytes"})) == 4
