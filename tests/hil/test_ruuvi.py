from __future__ import annotations

import json

import pytest

from gateway.profile.build import CompiledProfile
from gateway.profile.load import find_profile, load_profile
from gateway.schema.advert import elements_of
from gateway.schema.plan import values_of
from hil.sim.ruuvi import write_recording


@pytest.fixture(scope="module")
def profile():
    return CompiledProfile(load_profile(find_profile("ruuvitag-df5")))


def test_every_advertisement_is_read_back_as_a_tag_in_a_room(profile, tmp_path):
    path = tmp_path / "tags.jsonl"
    write_recording(path, profile, 60.0)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(lines) == 46
    for number, line in enumerate(lines):
        assert line["t"] == pytest.approx(number * 1.285)
        ((body, element),) = elements_of(line)
        assert profile.match(body, element) == "df5"
        row = profile.messages["df5"].decode(body)
        values = values_of(profile.messages["df5"], row)
        assert row[-1] == 0
        assert 18 < values["temperature"] < 25
        assert 990 < values["pressure"] / 100 < 1030
        assert values["sequence"] == 4000 + number
        assert values["mac"] == "cbb8334c884f"


def test_the_recording_ends_where_it_began_so_that_it_can_loop(profile, tmp_path):
    path = tmp_path / "tags.jsonl"
    write_recording(path, profile, 120.0)
    lines = [json.loads(line) for line in path.read_text().splitlines()]

    def temperature(line):
        ((body, _),) = elements_of(line)
        return profile.messages["df5"].decode(body)[0]

    assert temperature(lines[0]) == pytest.approx(temperature(lines[-1]), abs=0.25)
