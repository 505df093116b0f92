from __future__ import annotations

import pytest

from gateway.frame import Garbage
from gateway.profile.build import CompiledProfile
from gateway.profile.load import find_profile, load_profile
from gateway.schema.plan import values_of
from hil.sim.gnss import CENTRE, SECONDS_TO_FIRST_FIX, recording, sentence


@pytest.fixture(scope="module")
def fixes():
    profile = CompiledProfile(load_profile(find_profile("nmea-gnss")))
    found = []
    for body in profile.framer().feed(recording(60)):
        assert not isinstance(body, Garbage)
        name = profile.match(body, None)
        row = profile.messages[name].decode(body)
        found.append((name, values_of(profile.messages[name], row), row[-1]))
    return found


def test_a_known_sentence_gets_its_known_checksum():
    body = "GPRMC,123519,A,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W"
    assert sentence(body) == f"${body}*6A\r\n".encode()


def test_every_sentence_of_the_stream_is_read_without_a_taint(fixes):
    assert [name for name, _, taints in fixes if taints] == []
    assert {name for name, _, _ in fixes} == {"rmc", "gga", "gsa", "gsv", "vtg", "gll"}


def test_a_cold_receiver_gives_time_but_no_position(fixes):
    positions = [values["latitude"] for name, values, _ in fixes if name == "rmc"]
    assert positions[:SECONDS_TO_FIRST_FIX] == [None] * SECONDS_TO_FIRST_FIX
    assert None not in positions[SECONDS_TO_FIRST_FIX:]


def test_the_boat_goes_round_where_it_should_and_time_moves(fixes):
    positions = [values for name, values, _ in fixes if name == "rmc"][SECONDS_TO_FIRST_FIX:]
    for values in positions:
        assert values["latitude"] == pytest.approx(CENTRE[0], abs=0.02)
        assert values["longitude"] == pytest.approx(CENTRE[1], abs=0.03)
        assert values["speed"] == pytest.approx(6.2, abs=0.8)
    assert positions[0]["utc"] == "2026-06-21T10:20:03.000Z"
    assert positions[-1]["utc"] == "2026-06-21T10:20:59.000Z"


def test_sentences_of_one_second_agree(fixes):
    last = {name: values for name, values, _ in fixes}
    assert last["rmc"]["latitude"] == last["gga"]["latitude"] == last["gll"]["latitude"]
    assert last["rmc"]["speed"] == last["vtg"]["speed_knots"]
    assert last["gga"]["satellites_used"] == len(last["gsa"]["satellites"])


def test_the_same_seed_gives_the_same_bytes():
    assert recording(20, seed=1) == recording(20, seed=1)
    assert recording(20, seed=1) != recording(20, seed=2)
