"""`tidegate status` in words."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.cli.status import _polls, ledger_lines


def polls(**counts: Any) -> dict[str, Any]:
    quiet = {"asked": 1000, "answered": 0, "timeouts": 0, "exceptions": {}, "late": 0, "slowed": False, "failing": {}}
    return quiet | counts


def test_a_device_that_answers_everything_is_not_mentioned():
    assert _polls("meter", polls(answered=1000)) == ""


def test_a_silent_device_says_what_is_missing_and_that_it_is_asked_more_seldom():
    told = _polls("meter", polls(timeouts=12, late=2, slowed=True, failing={"live": "no answer"}))
    assert told == "meter: 1,000 asked, 12 timed out, 2 late, asked more seldom; live: no answer"


def test_a_refusing_device_says_why():
    told = _polls("meter", polls(exceptions={"exception 2 (illegal data address)": 3}))
    assert told == "meter: 1,000 asked, 3 exception 2 (illegal data address)"


WEAR = {
    "bytes_per_day": 70_000_000.0,
    "write_amplification": 2.5,
    "commits": 9,
    "card_years": 62.6,
    "level": "normal",
}
RECORDING: dict[str, Any] = {
    "mode": "recording",
    "reason": "",
    "durable_seq": 12_345,
    "committed": 2.0,
    "guarantees": {"telemetry": {"loss_window": 5.0}},
    "wear": WEAR,
    "ring": {"fill": 0.25, "bytes": 64 << 20},
    "archives": {"files": 3, "bytes": 5 << 20},
    "shed": {},
    "unsure": 0,
    "damage": [],
}


def test_a_ledger_that_records_tells_guarantee_wear_and_fill():
    assert ledger_lines(RECORDING) == [
        (
            "ledger: recording, 12,345 records on the medium, the last 2.0s ago; "
            "a power cut now takes at most 5s of telemetry, nothing of states and commands"
        ),
        "ledger: 67 MiB a day, 2.5 times the records, a 32 GB card lasts 62.6 years at that",
        "ledger: 25% of a ring of 64 MiB to be archived, 3 archives of 5.0 MiB",
    ]


def test_what_was_not_kept_and_what_is_damaged_is_told():
    damage = [{"seq": 7, "file": "hot/01.seg", "offset": 4096, "reason": "gone"}] * 5
    told = ledger_lines(RECORDING | {"shed": {"the ledger is slow": 1_000}, "unsure": 3, "damage": damage})[-1]
    assert told.startswith("ledger: 1,000 readings not kept (the ledger is slow); 3 records perhaps lost")
    assert "damaged from 7 on in hot/01.seg at 4096: gone" in told
    assert told.endswith("2 more places damaged; see: tidegate ledger verify")


def test_a_budget_that_runs_ahead_is_told():
    told = ledger_lines(RECORDING | {"wear": WEAR | {"level": "saving"}})
    assert told[1].endswith(", saving: windows are widened")


@pytest.mark.parametrize(
    ("told", "line"),
    [
        ({"mode": "off"}, "ledger: off"),
        ({"mode": "memory", "reason": "process 7 holds it"}, "ledger: memory: process 7 holds it"),
    ],
)
def test_a_ledger_that_is_not_there_says_why(told, line):
    assert ledger_lines(told) == [line]
