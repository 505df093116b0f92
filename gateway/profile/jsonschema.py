"""Layer 3: the JSON Schema of profile files, so that editors complete and check them while they are written.

It knows types, names and allowed words; what keys mean together only `tidegate profile check` knows.
"""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec

from gateway.profile.jsonschema_keys import DESCRIPTIONS
from gateway.profile.model import Profile

TITLE: Final = "Tidegate device profile, format 1"
_SUM: Final = {"type": "string", "pattern": r"[{+]"}  # "0x180 + {node}"
_PARAMETER: Final = r"|\{[A-Za-z_]"


def schema_text() -> str:
    """Return the schema as it stands in `profiles/profile.schema.json`."""
    schema = _widened(msgspec.json.schema(Profile))
    for name, definition in schema["$defs"].items():
        _describe(definition.get("properties", {}), name)
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": TITLE, **schema}
    return json.dumps(whole, indent=2, sort_keys=False) + "\n"


def _describe(properties: dict[str, Any], name: str) -> None:
    """Put one line beside each key; bits are described as fields are."""
    words = (
        {**DESCRIPTIONS["FieldSpec"], **DESCRIPTIONS["BitSpec"]} if name == "BitSpec" else DESCRIPTIONS.get(name, {})
    )
    for key, part in properties.items():
        text = words.get(key) or ("bytes; bounds a frame" if key == "max" else None)
        if text is not None:
            part["description"] = text


def _widened(part: Any) -> Any:
    """Return the schema with parameters allowed where a number or a duration stands."""
    if isinstance(part, list):
        return [_widened(item) for item in part]
    if not isinstance(part, dict):
        return part
    written = {key: value for key, value in part.items() if not (isinstance(value, dict) and value.get("internal"))}
    wide = {key: _widened(value) for key, value in written.items()}
    if isinstance(wide.get("type"), str) and wide["type"] in {"integer", "number"}:
        return {"anyOf": [wide, _SUM]}
    if isinstance(wide.get("pattern"), str) and wide["pattern"] != _SUM["pattern"]:
        wide["pattern"] += _PARAMETER
    return wide
