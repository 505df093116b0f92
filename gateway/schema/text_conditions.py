"""Layer 2: the `if` conditions of text fields, compiled against the fields they ask for."""

from __future__ import annotations

from typing import Any

from gateway.errors import UsageError
from gateway.schema.cond import Clause, Test, parse_condition
from gateway.schema.spec import FieldSpec
from gateway.schema.text_meaning import Meaning
from gateway.schema.text_types import NUMBERS


def test_of(spec: FieldSpec, specs: list[FieldSpec]) -> Test | None:
    """Return the condition of one of `specs`, None without one. Raises: UsageError for a field it cannot ask."""
    if spec.condition is None:
        return None
    asked = {other.name: other for other in specs if other.name}

    def labels_of(name: str) -> dict[Any, str] | None:
        return Meaning(asked[name]).labels if name in asked and asked[name].labels else None

    test = parse_condition(spec.condition, labels_of)
    for clause in test.clauses:
        if clause.name not in asked:
            raise UsageError(f"field {spec.name or '(unnamed)'}: `if` names no field of the message: {clause.name!r}")
        if asked[clause.name].array is not None or asked[clause.name].type == "struct":
            raise UsageError(f"field {spec.name or '(unnamed)'}: `if` asks {clause.name!r}, which is a list")
        if clause.ranges and asked[clause.name].type not in NUMBERS:
            raise UsageError(f"field {spec.name or '(unnamed)'}: `if` asks {clause.name!r} for a range of numbers")
    return test


def cases_of(tests: list[Test | None]) -> dict[str, list[Clause]]:
    """Return for every field that is asked for values the clauses that list them."""
    cases: dict[str, list[Clause]] = {}
    for test in tests:
        for clause in test.clauses if test is not None else ():
            if clause.truth is None:
                cases.setdefault(clause.name, []).append(clause)
    return cases
