"""Tables written as TOML, for files that this package makes itself. Standard library alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any


def toml_text(document: Mapping[str, Any]) -> str:
    """Return TOML of tables of text, numbers, truth values and lists of them."""
    return "".join(_tables(document, ()))


def _tables(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    plain = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    if plain:
        if path:
            yield f"[{'.'.join(map(json.dumps, path))}]\n"
        for key, value in plain.items():
            yield f"{json.dumps(key)} = {json.dumps(value, ensure_ascii=False)}\n"
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _tables(value, (*path, key))
