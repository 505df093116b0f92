"""The JSON Schema of profile files: current, and of one mind with the checks."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from gateway.profile.jsonschema import schema_text
from gateway.profile.jsonschema_keys import DESCRIPTIONS
from gateway.profile.load import shipped_profiles

SCHEMA_FILE = Path(__file__).parent.parent.parent / "profiles" / "profile.schema.json"


def test_the_schema_in_the_repository_is_current() -> None:
    assert SCHEMA_FILE.read_text() == schema_text(), "run: tidegate profile schema > profiles/profile.schema.json"


def test_every_description_is_of_a_key_that_exists() -> None:
    definitions = json.loads(schema_text())["$defs"]
    for name, words in DESCRIPTIONS.items():
        assert set(words) <= set(definitions[name]["properties"]), name


@pytest.mark.parametrize(
    "name", ["Profile", "MessageSpec", "WhenSpec", "AskSpec", "FieldSpec", "BitSpec", "TransformSpec"]
)
def test_every_key_of_a_message_is_described(name: str) -> None:
    for key, part in json.loads(schema_text())["$defs"][name]["properties"].items():
        assert part.get("description"), key


def accepts(schema: dict[str, Any], part: dict[str, Any], value: Any) -> bool:
    """Say whether `value` fits: the words of JSON Schema that our schema uses, and no others."""
    if "$ref" in part:
        return accepts(schema, schema["$defs"][part["$ref"].rpartition("/")[2]], value)
    if "anyOf" in part:
        return any(accepts(schema, option, value) for option in part["anyOf"])
    if "enum" in part:
        return value in part["enum"]
    kind = part.get("type")
    types: dict[Any, Any] = {
        "object": dict,
        "array": list,
        "string": str,
        "boolean": bool,
        "integer": int,
        "number": (int, float),
        "null": type(None),
    }
    if kind is not None and (not isinstance(value, types[kind]) or (kind != "boolean" and isinstance(value, bool))):
        return False
    if kind == "array":
        return all(accepts(schema, part.get("items", {}), item) for item in value)
    if kind != "object":
        return True
    names = part.get("properties", {})
    others = part.get("additionalProperties", {})
    if not set(part.get("required", [])) <= set(value) or (others is False and not set(value) <= set(names)):
        return False
    return all(accepts(schema, names.get(key, others or {}), item) for key, item in value.items())


@pytest.mark.parametrize("name", shipped_profiles())
def test_every_shipped_profile_fits_the_schema(name: str) -> None:
    schema = json.loads(schema_text())
    assert accepts(schema, schema, tomllib.loads(shipped_profiles()[name].read_text()))


@pytest.mark.parametrize(
    ("old", "new"),
    [("family", "famly"), ('bus   = "ble"', "bus = 1"), ("fields", "felds"), ('"s16be"', "16"), ("[link]", "[lnk]")],
)
def test_a_misspelt_profile_does_not_fit(old: str, new: str) -> None:
    schema = json.loads(schema_text())
    text = shipped_profiles()["ruuvitag-df5"].read_text()
    assert old in text
    assert not accepts(schema, schema, tomllib.loads(text.replace(old, new)))


def test_a_sum_fits_where_an_integer_is_expected() -> None:
    schema = json.loads(schema_text())
    head = {"profile": {"id": "a/b@1.0.0"}, "link": {"bus": "can"}}
    assert accepts(schema, schema, {**head, "message": {"a": {"when": {"can_id": "0x180 + {node}"}}}})
    assert not accepts(schema, schema, {**head, "message": {"a": {"when": {"can_id": []}}}})
