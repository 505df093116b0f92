from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.profile.comparison import differences
from gateway.profile.load import check_text, example_profile, shipped_profiles
from gateway.profile.model import Profile
from gateway.registry import transforms, transforms_of

TEXT = """
[profile]
id = "me/meter@{version}"
family = "power"
[link]
bus = "uart"
baud = {baud}
[framing]
kind = "fixed"
size = 3
[message.live]
when = {{ length = 3 }}
fields = [
  {{ name = "voltage", type = "u16be", scale = {scale}, units = "{units}" }},
  {{ {second}type = "u8" }},
]
"""


def meter(version: str = "1.0.0", **changes: Any) -> Profile:
    facts = {"baud": 9600, "scale": 0.1, "units": "V", "second": "", **changes}
    profile, problems = check_text("x", TEXT.format(version=version, **facts).encode(), {})
    assert profile is not None, problems
    return profile


def told(**changes: Any) -> list[str]:
    return [each.text for each in differences(meter(), meter("1.1.0", **changes))]


def test_the_same_text_under_another_number_is_no_difference() -> None:
    assert told() == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"units": "mV"}, ['route power/voltage changed: units "V" -> "mV"', "message live changed: fields"]),
        ({"scale": 0.2}, ["route power/voltage changed: scale 0.1 -> 0.2", "message live changed: fields"]),
        ({"second": 'name = "state", '}, ["route power/state added", "message live changed: fields"]),
        ({"baud": 2400}, ["link changed: baud 9600 -> 2400"]),
    ],
)
def test_what_changed_is_told_in_a_line_each(changes: dict[str, Any], expected: list[str]) -> None:
    assert told(**changes) == expected


def test_of_the_first_version_everything_is_new() -> None:
    assert [(each.what, each.name, each.change) for each in differences(None, meter())] == [
        ("route", "power/voltage", "added"), ("message", "live", "added"),
    ]  # fmt: skip


def test_what_one_adds_the_other_way_round_is_removed() -> None:
    one, other = meter(), meter("1.1.0", second='name = "state", ')
    there, back = (differences(*pair) for pair in ((one, other), (other, one)))
    assert [(each.name, each.before, each.after) for each in there] == [
        (each.name, each.after, each.before) for each in back
    ]


@pytest.mark.parametrize("name", sorted(shipped_profiles()))
def test_every_shipped_profile_can_be_compared_and_told(name: str) -> None:
    profile = example_profile(shipped_profiles()[name])
    assert differences(profile, profile, transforms_of(profile)) == []
    assert msgspec.json.encode([each.as_json() for each in differences(None, profile, transforms())])
