from __future__ import annotations

from tests.cli.answerer import Gate

ENDED = {
    "id": "c1", "route": "pump/motor/speed@desired", "value": 1500, "key": "k1", "outcome": "reported", "receipt": 812
}  # fmt: skip
OPEN = {
    "id": "c2", "route": "lamp-1/light/mode@desired", "value": "warm", "key": None, "outcome": None, "receipt": None
}  # fmt: skip


def test_json_lists_open_and_ended_commands(gate: Gate) -> None:
    ran, asked = gate.ask("commands", "--json", answer={"ok": {"commands": [ENDED, OPEN]}})
    assert asked["request"] == "commands"
    assert ran.json == {"commands": [ENDED, OPEN]}


def test_each_command_has_the_keys_of_the_interface_in_their_order(gate: Gate) -> None:
    ran, _ = gate.ask("commands", "--json", answer={"ok": {"commands": [ENDED | {"desired": 1500}]}})
    assert list(ran.json["commands"][0]) == ["id", "route", "value", "key", "outcome", "receipt"]


def test_a_person_reads_a_table(gate: Gate) -> None:
    ran, _ = gate.ask("commands", answer={"ok": {"commands": [ENDED, OPEN]}})
    assert [line.split() for line in ran.out.splitlines()] == [
        ["ID", "ROUTE", "VALUE", "OUTCOME", "RECEIPT", "KEY"],
        ["c1", "pump/motor/speed@desired", "1500", "reported", "812", "k1"],
        ["c2", "lamp-1/light/mode@desired", "warm", "open", "-"],
    ]


def test_no_commands_are_no_failure(gate: Gate) -> None:
    ran, _ = gate.ask("commands", answer={"ok": {"commands": []}})
    assert (ran.code, ran.out) == (0, "")
    assert "no commands so far" in ran.err
