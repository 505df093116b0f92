"""What a port need not give: filters that let through every frame that some message would take."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.frame import CAN_EXTENDED, Element
from gateway.port import CanFilter
from gateway.profile.build import CompiledProfile
from gateway.profile.load import load_profile, shipped_profiles
from gateway.runtime.listening import wanted_by
from tests.runtime.kit import BEACON, can_profile, compiled


def shipped(name: str) -> CompiledProfile:
    return CompiledProfile(load_profile(shipped_profiles()[name]))


def passes(wanted: list[CanFilter | Element], can_id: int) -> bool:
    filters = [each for each in wanted if isinstance(each, CanFilter)]
    return not wanted or any(can_id & each.mask == each.can_id & each.mask for each in filters)


def test_an_id_is_wanted_whole_with_its_kind() -> None:
    wanted = wanted_by([can_profile(0x123).profile])
    assert passes(wanted, 0x123)
    assert not passes(wanted, 0x124)
    assert not passes(wanted, 0x123 | CAN_EXTENDED)


def test_a_port_with_several_profiles_wants_what_each_of_them_wants() -> None:
    wanted = wanted_by([can_profile(0x123).profile, can_profile(0x18FEF100).profile])
    assert passes(wanted, 0x123)
    assert passes(wanted, 0x18FEF100 | CAN_EXTENDED)


def test_a_message_without_facts_wants_everything() -> None:
    text = '[profile]\nid = "t/any@1.0.0"\n[link]\nbus = "can"\n[message.m]\nfields = [{ name = "x", type = "u8" }]\n'
    assert wanted_by([can_profile(1).profile, compiled(text).profile]) == []


@pytest.mark.parametrize("name", ["motor", "j1939-engine", "nmea2000", "obd2"])
@settings(deadline=None)  # the first example loads a profile
@given(ids=st.lists(st.one_of(st.integers(0, 0x7FF), st.integers(0, 0x1FFFFFFF).map(lambda each: each | CAN_EXTENDED))))
def test_no_frame_that_a_shipped_profile_knows_is_left_out(name: str, ids: list[int]) -> None:
    profile = shipped(name)
    wanted = wanted_by([profile.profile])
    assert wanted
    for can_id in ids:
        if profile.match(bytes(8), can_id) is not None or profile.knows_id(can_id):
            assert passes(wanted, can_id)


@pytest.mark.parametrize("can_id", [0x1CECFF17, 0x18ECFF00, 0x1CEBFF17, 0x0CF00400, 0x18FEEE00])
def test_groups_and_what_carries_the_long_ones_pass_from_any_source(can_id: int) -> None:
    assert passes(wanted_by([shipped("j1939-engine").profile]), can_id | CAN_EXTENDED)


@pytest.mark.parametrize("can_id", [0x7E0, 0x7E8, 0x7EF])
def test_both_sides_of_a_segmented_talk_pass(can_id: int) -> None:
    assert passes(wanted_by([shipped("obd2").profile]), can_id)


def test_advertisements_are_wanted_by_their_company_or_service() -> None:
    assert wanted_by([compiled(BEACON).profile]) == [Element("", manufacturer=0x0499), Element("", service="181a")]


def test_a_connection_subscribes_to_what_it_does_not_ask() -> None:
    assert wanted_by([shipped("heart-rate").profile]) == [Element("", characteristic="2a37")]


@pytest.mark.parametrize("can_id", [0x18DAF110, 0x18DA10F1, 0x18DAF1A5, 0x18DAA5F1])
def test_both_sides_pass_where_addresses_are_fixed(can_id: int) -> None:
    params = {"tx": 0x18DA10F1, "rx": 0x18DAF110, "mask": 0x1FFFFF00}
    wanted = wanted_by([load_profile(shipped_profiles()["obd2"], params)])
    assert passes(wanted, can_id | CAN_EXTENDED)
    assert not passes(wanted, 0x18DB33F1 | CAN_EXTENDED)
