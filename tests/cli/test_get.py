from __future__ import annotations

from typing import Any

import pytest

from tests.cli.answerer import Gate, error

ROUTE = "pump/motor/speed"


def answer(**facts: Any) -> dict[str, Any]:
    told = {"route": ROUTE, "value": 1500.25, "units": "/min", "age_s": 0.3, "stale": False, "taints": [], "seq": 17}
    return {"ok": told | facts}


def test_the_route_is_asked_for(gate: Gate) -> None:
    _, asked = gate.ask("get", ROUTE, answer=answer())
    assert (asked["request"], asked["args"]) == ("get", {"route": ROUTE})


def test_json_has_the_value_and_how_far_it_can_be_trusted(gate: Gate) -> None:
    ran, _ = gate.ask("get", ROUTE, "--json", answer=answer())
    assert list(ran.json.items()) == [
        ("value", 1500.25), ("units", "/min"), ("age_s", 0.3), ("stale", False), ("taints", []), ("seq", 17)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        ({}, "1500.25 /min (0.3s ago)"),
        ({"stale": True, "age_s": 300.0}, "1500.25 /min (5m ago, stale)"),
        ({"taints": ["late", "adjusted"]}, "1500.25 /min (0.3s ago, late, adjusted)"),
        ({"value": "heating", "units": "1"}, "heating (0.3s ago)"),
        ({"value": None}, "- /min (0.3s ago)"),
        ({"value": "\x1b[2J", "units": "1"}, "\N{REPLACEMENT CHARACTER}[2J (0.3s ago)"),
    ],
)
def test_a_person_reads_value_unit_age_and_marks(gate: Gate, facts: dict[str, Any], line: str) -> None:
    ran, _ = gate.ask("get", ROUTE, answer=answer(**facts))
    assert (ran.code, ran.out) == (0, line + "\n")


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_route_that_has_said_nothing_is_exit_1(gate: Gate, options: list[str]) -> None:
    ran, _ = gate.ask("get", ROUTE, *options, answer=answer(value=None, age_s=None, seq=None, stale=True))
    assert (ran.code, bool(ran.out)) == (1, bool(options))
    assert "pump/motor/speed has said nothing yet" in ran.err


def test_an_unknown_route_is_exit_2_with_the_gateways_words(gate: Gate) -> None:
    ran, _ = gate.ask("get", "pump/x/y", answer=error("RouteError", "no route 'pump/x/y'"))
    assert (ran.code, ran.err) == (2, "tidegate: no route 'pump/x/y'\n")
