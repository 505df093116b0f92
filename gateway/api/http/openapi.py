"""Layer 7: `openapi.json`, made of the operations and of the types that validate. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec

from gateway.api.http import documents as doc
from gateway.api.http.app import Operation
from gateway.api.http.parameters import ANY, described
from gateway.api.http.watch import PARAMETERS

TEMPLATE: Final = "#/components/schemas/{name}"
_PARAMETER: Final = re.compile(r"\{(\w+)(?::\w+)?\}")


def document(operations: Sequence[Operation], version: str) -> dict[str, Any]:
    """Return the OpenAPI document."""
    shapes = [each for op in operations for each in (op.takes, *op.answers.values())]
    types = [each for shape in shapes for each in _types(shape)]
    types += [doc.ProblemDetails, doc.Item, doc.GapItem]
    _, components = msgspec.json.schema_components(list(dict.fromkeys(types)), ref_template=TEMPLATE)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        path = _PARAMETER.sub(r"{\1}", operation.path)
        paths.setdefault(path, {})[operation.method.lower()] = _told(operation)
    paths["/v1/watch"] = {"get": _watch()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tidegate", "version": version, "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": "What a gateway knows, and how it is told to do something.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }  # fmt: skip


def _told(operation: Operation) -> dict[str, Any]:
    answers = {str(status): _answer(status, shape) for status, shape in operation.answers.items()}
    for media_type in operation.media:
        answers["200"].setdefault("content", {})[media_type] = {"schema": {"type": "string"}}
    fails = {400, 403, 429, *operation.fails} | (set() if operation.is_open else {401})
    answers |= {
        str(status): _answer(status, doc.ProblemDetails, "application/problem+json") for status in sorted(fails)
    }
    told: dict[str, Any] = {"operationId": operation.name, "summary": operation.summary, "responses": answers}
    told["parameters"] = [
        {"name": name, "in": "path", "required": True, "schema": operation.parts.get(name, ANY).schema}
        for name in _PARAMETER.findall(operation.path)
    ]
    told["parameters"] += described(operation.query) + described(operation.headers, "header")
    if operation.takes is not None:
        told["requestBody"] = {"required": True, "content": {"application/json": {"schema": _schema(operation.takes)}}}
    if operation.takes_text:
        text = {"schema": {"type": "string"}}
        told["requestBody"] = {"required": True, "content": dict.fromkeys(operation.takes_text, text)}
    if not operation.is_open:
        told["security"] = [{"token": []}] if operation.method != "GET" else [{}, {"token": []}]
    return told


def _watch() -> dict[str, Any]:
    item = {"oneOf": [_schema(doc.Item), _schema(doc.GapItem)]}
    return {
        "operationId": "watch", "summary": "Values as they come; also as a WebSocket, with the same items",
        "parameters": described(PARAMETERS), "security": [{}, {"token": []}],
        "responses": {"200": {"description": "OK", "content": {"text/event-stream": {"schema": item}}}}
        | {str(status): _answer(status, doc.ProblemDetails, "application/problem+json") for status in (400, 401, 403)},
    }  # fmt: skip


def _answer(status: int, shape: Any, media_type: str = "application/json") -> dict[str, Any]:
    told: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    if shape is not None:
        found = [_schema(each) for each in _types(shape)] or [{"type": "object"}]
        told["content"] = {media_type: {"schema": found[0] if len(found) == 1 else {"anyOf": found}}}
    return told


def _types(shape: Any) -> list[Any]:
    """Return the documents that a shape is: one, one of several, or none."""
    return [each for each in (shape if isinstance(shape, tuple) else (shape,)) if _is_type(each)]


def _schema(shape: Any) -> dict[str, Any]:
    return {"$ref": TEMPLATE.format(name=shape.__name__)}


def _is_type(shape: Any) -> bool:
    return isinstance(shape, type) and issubclass(shape, msgspec.Struct)
