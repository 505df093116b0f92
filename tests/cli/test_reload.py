from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from tests.cli.answerer import Gate, error
from tests.cli.test_run import answer, running, tidegate
from tests.cli.test_run import site as site  # noqa: PLC0414 - a fixture

TOLD: dict[str, Any] = {
    "outcome": "applied",
    "reason": None,
    "detail": "applied: device.pump changed (profile)",
    "changes": [{"table": "device.pump", "what": "changed", "keys": ["profile"], "needs_restart": False}],
    "restarts": ["pump"],
    "needs_restart": [],
    "missing": [],
    "waited_s": 1.24,
    "problems": [],
}
WRONG = {"file": "site.toml", "line": 3, "key": "device.pump.port", "message": "an empty text is no port"}


def test_json_is_what_the_gateway_told(gate: Gate) -> None:
    ran, asked = gate.ask("reload", "--json", "--within", "1m", answer={"ok": TOLD})
    assert (asked["request"], asked["args"]) == ("reload", {"dry_run": False, "back_within_s": 60.0})
    assert (ran.code, ran.json) == (0, TOLD)


def test_what_is_about_to_be_done_is_said_before_it_is_waited_for(gate: Gate) -> None:
    with gate.answering({"ok": TOLD | {"outcome": "dry_run"}}, {"ok": TOLD}):
        ran = gate.run("reload")
    assert ran.out == "device.pump changed (profile)\nbegun anew: pump\napplied in 1.2 s\n"
    assert ran.err == "waiting up to 30 s for pump ...\n"


@pytest.mark.parametrize(("outcome", "code"), [("returned", 1), ("failed", 1), ("refused", 2), ("unchanged", 0)])
def test_the_exit_code_says_how_it_ended(gate: Gate, outcome: str, code: int) -> None:
    ran, _ = gate.ask("reload", "--json", answer={"ok": TOLD | {"outcome": outcome}})
    assert ran.code == code


def test_what_is_wrong_is_named_with_its_line(gate: Gate) -> None:
    told = TOLD | {"outcome": "refused", "changes": [], "restarts": [], "problems": [WRONG]}
    with gate.answering({"ok": told}, {"ok": told}):
        ran = gate.run("reload")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == "site.toml:3: device.pump.port: an empty text is no port\nnothing was changed\n"


def test_who_may_not_is_told_so(gate: Gate) -> None:
    ran, _ = gate.ask("reload", answer=error("DeniedError", "user:eve has no grant for admin on **"))
    assert (ran.code, ran.err) == (2, "tidegate: user:eve has no grant for admin on **\n")


def test_a_dry_run_of_a_process_changes_nothing_and_sighup_takes_the_files_up(site: Path, tmp_path: Path) -> None:
    with running(site) as process:
        assert process.stderr is not None
        answer(tmp_path / "data", "status")
        site.write_text(site.read_text() + 'label = "Heater"\n')
        process.send_signal(signal.SIGHUP)
        lines = iter(process.stderr.readline, "")
        assert "device.node changed (label)" in next(line for line in lines if "reload: applied" in line)
        site.write_text("nothing at all")
        process.send_signal(signal.SIGHUP)
        assert "site.toml" in next(line for line in lines if "reload refused" in line)
        denied = tidegate("reload", "--dry-run", "--data", tmp_path / "data")
        assert denied.returncode == 2
        assert "grant" in denied.stderr
