"""Layer 7: `openapi.json` as a page for people: no scripts, nothing from elsewhere, readable on a phone. Pure."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterator
from typing import Any, Final

_STYLE: Final = (
    ":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:auto;padding:1rem}"
    "code{font-size:.9em}h2{margin-top:2rem;overflow-wrap:anywhere}table{border-collapse:collapse;width:100%}"
    "td,th{text-align:left;vertical-align:top;padding:.3rem .6rem .3rem 0;border-top:1px solid #8886}"
    "th{font-weight:600}td{overflow-wrap:anywhere}"
)
POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def page(told: dict[str, Any]) -> bytes:
    """Return an OpenAPI document as a page."""
    parts = [
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>Tidegate API</title><style>{_STYLE}</style><h1>Tidegate {_text(told['info']['version'])}: API</h1>",
        f'<p>{_text(told["info"]["description"])} The same for programs: <a href="/openapi.json">openapi.json</a>.</p>',
    ]
    for path, methods in told["paths"].items():
        for method, operation in methods.items():
            parts += _operation(path, method, operation)
    parts.append("<h1>Documents</h1>")
    for name, schema in told["components"]["schemas"].items():
        parts += _document(name, schema)
    return "".join([*parts, "</html>"]).encode()


def _operation(path: str, method: str, told: dict[str, Any]) -> Iterator[str]:
    yield f'<h2 id="{_text(told["operationId"])}"><code>{method.upper()} {_text(path)}</code></h2>'
    token = "" if {} in told.get("security", [{}]) else " Takes a token."
    yield f"<p>{_text(told['summary'])}.{token}</p>"
    rows = [
        (f"{each['name']} ({each['in']})", _kind(each["schema"]), each.get("description", ""))
        for each in told.get("parameters", ())
    ]
    rows += [("body", kind, "") for kind in _contents(told.get("requestBody", {}))]
    rows += [
        (status, " or ".join(_contents(answer)), _text(answer["description"]))
        for status, answer in told["responses"].items()
    ]
    yield from _table(rows)


def _document(name: str, schema: dict[str, Any]) -> Iterator[str]:
    yield f'<h2 id="{_text(name)}"><code>{_text(name)}</code></h2><p>{_text(schema.get("description", ""))}</p>'
    required = schema.get("required", ())
    yield from _table(
        [
            (key, _kind(each), "" if key in required else "may be left out")
            for key, each in schema.get("properties", {}).items()
        ]
    )


def _table(rows: list[tuple[str, str, str]]) -> Iterator[str]:
    """Give a table; the first column is text, the others are HTML."""
    if rows:
        cells = (
            f"<tr><th><code>{_text(name)}</code></th><td>{kind}</td><td>{more}</td></tr>" for name, kind, more in rows
        )
        yield f"<table>{''.join(cells)}</table>"


def _contents(told: dict[str, Any]) -> list[str]:
    return [f"{_kind(each['schema'])} <code>{_text(kind)}</code>" for kind, each in told.get("content", {}).items()]


def _kind(schema: dict[str, Any]) -> str:
    """Return in a few words, as HTML, what a schema allows."""
    if "$ref" in schema:
        name = _text(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " or ".join(map(_kind, schema[key]))
    if "items" in schema:
        return f"list of {_kind(schema['items'])}"
    if "enum" in schema:
        return " or ".join(_text(str(each)) for each in schema["enum"])
    limits = [
        f"{words} {schema[key]}"
        for key, words in {
            "minimum": "from", "maximum": "to", "minLength": "at least", "maxLength": "at most", "pattern": "like",
        }.items()
        if key in schema
    ]  # fmt: skip
    return _text(" ".join([str(schema.get("type", "anything")), *limits]))


def _text(text: str) -> str:
    return html.escape(text)
