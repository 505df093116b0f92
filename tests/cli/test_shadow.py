from __future__ import annotations

from typing import Any

from gateway.shadow.document import Fact, Moment, Rule, Shadow
from tests.cli.answerer import Gate

SECOND_NS = 1_000_000_000


def view() -> dict[str, Any]:
    """What a gateway answers with: the document's own view."""
    shadow = (
        Shadow("pump")
        .desire("speed", Fact(1500, 1, 5, 1_700_000_000 * SECOND_NS))
        .report("speed", Fact(1200, 1, 9, 1_700_000_001 * SECOND_NS, mono_ns=SECOND_NS), 0.5)
        .report("mode", Fact("auto", 1, 9, 1_700_000_001 * SECOND_NS, mono_ns=SECOND_NS), 0.0)
    )
    rules = {"speed": Rule(0.5), "mode": Rule(), "lamp": Rule()}
    return shadow.view(rules, Moment(1, 2 * SECOND_NS, heard_ns=SECOND_NS), ["speed"])


def test_json_is_the_document_as_the_gateway_tells_it(gate: Gate) -> None:
    ran, asked = gate.ask("shadow", "pump", "--json", answer={"ok": view()})
    assert (asked["request"], asked["args"]) == ("shadow", {"device": "pump"})
    assert ran.json == view()


def test_json_has_its_keys_in_the_order_of_the_interface(gate: Gate) -> None:
    ran, _ = gate.ask("shadow", "pump", "--json", answer={"ok": view()})
    assert list(ran.json) == ["device", "version", "state", "metadata", "coherence", "stale"]
    assert list(ran.json["state"]) == ["desired", "reported", "effective", "delta"]


def test_a_person_reads_a_line_for_each_setpoint(gate: Gate) -> None:
    ran, _ = gate.ask("shadow", "pump", answer={"ok": view()})
    assert [line.split() for line in ran.out.splitlines()] == [
        ["pump,", "version", "1"],
        ["SETPOINT", "DESIRED", "REPORTED", "EFFECTIVE", "COHERENCE"],
        ["speed", "1500", "1200", "-", "PENDING"],
        ["mode", "-", "auto", "-", "STABLE"],
        ["lamp", "-", "-", "-", "UNKNOWN"],
    ]


def test_a_stale_document_says_so_first(gate: Gate) -> None:
    ran, _ = gate.ask("shadow", "pump", answer={"ok": view() | {"stale": True}})
    assert ran.out.splitlines()[0] == "pump, version 1, stale"


def test_a_device_without_setpoints_says_so(gate: Gate) -> None:
    nothing = Shadow("gps").view({}, Moment(1, 0), [])
    ran, _ = gate.ask("shadow", "gps", answer={"ok": nothing | {"stale": False}})
    assert ran.out == "gps, version 0; its profile has no setpoints\n"
