"""`tidegate status` in words."""

from __future__ import annotations

from typing import Any

from gateway.cli.status import _polls


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
