"""`tidegate devices` in words."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.cli.devices import chosen_lines, share_text, trouble

HEALTH: dict[str, Any] = {
    "availability": 1.0, "errors": 0, "errors_per_min": 0.0, "retries": 0, "retries_per_min": 0.0, "losses": 0,
    "faults": 0, "last_error": None, "last_error_age_s": None,
}  # fmt: skip


def device(health: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    known = {"name": "pump", "first_error": None, "next_retry_s": None, "health": HEALTH | (health or {})}
    return known | changes


def test_a_device_that_is_well_has_no_line() -> None:
    assert trouble(device()) == ""


def test_a_device_that_is_down_says_why_and_when_it_is_tried_again() -> None:
    assert trouble(device(first_error="no answer", next_retry_s=3.25)) == "pump: no answer; next attempt in 3.2 s"


def test_a_device_that_is_up_and_often_errs_says_how_often_and_what_was_last() -> None:
    health = {"errors_per_min": 1.54, "retries_per_min": 2.0, "last_error": "live: no answer", "last_error_age_s": 4.0}
    told = "pump: 1.5 errors and 2.0 retries a minute, the last error 4.0s ago: live: no answer"
    assert trouble(device(health)) == told


def test_faults_of_our_own_are_told() -> None:
    assert trouble(device({"faults": 3})) == "pump: 3 faults of our own part"


@pytest.mark.parametrize(
    ("share", "text"), [(None, "-"), (1.0, "100%"), (0.0, "0%"), (0.99996, "99.9%"), (0.5, "50.0%"), (1e-6, "0.1%")]
)
def test_only_what_was_up_all_the_time_is_a_hundred_percent(share: float | None, text: str) -> None:
    assert share_text(device({"availability": share})) == text


def test_a_device_that_uses_another_profile_than_its_site_file_says_tells_who_chose_it() -> None:
    choice = {"profile": "me/pump@1.1.0", "instead_of": "pump.toml", "by": "user:pi"}
    told = ["pump: me/pump@1.1.0, which user:pi chose in place of pump.toml"]
    assert chosen_lines([device(chosen=choice), device(chosen=None), device()]) == told
