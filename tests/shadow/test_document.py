from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.shadow.document import (
    Fact,
    Moment,
    Rule,
    SetpointShadow,
    Shadow,
    fact_from,
    newest,
    restored,
    shadow_from,
    to_plain,
)
from gateway.shadow.reconcile import Coherence
from gateway.taint import TIME_UNSYNCED, TRUST_RANGE

S = 1_000_000_000
WALL_NS = 1_767_225_600 * S
RULES = {"speed": Rule(tolerance=10, stale_after_ns=5 * S)}


def fact(value: Any, seq: int, *, boot: int = 7, mono_s: float = 1, taints: int = 0) -> Fact:
    mono_ns = round(mono_s * S)
    return Fact(value, boot, seq, WALL_NS + mono_ns, mono_ns, taints)


def now(second: float, *, boot: int = 7, heard_s: float | None = 1, lost_s: float | None = None) -> Moment:
    heard_ns, lost_ns = (None if at is None else round(at * S) for at in (heard_s, lost_s))
    return Moment(boot, round(second * S), heard_ns, lost_ns)


def word(shadow: Shadow, moment: Moment, *, is_open: bool = False) -> Coherence:
    return shadow.coherence("speed", RULES["speed"], moment, is_open=is_open)


def settled() -> Shadow:
    wanted = Shadow("pump").desire("speed", fact(1200, 40)).report("speed", fact(1198, 9), 10, is_open=True)
    return wanted.settle("speed", 1, fact(1198, 9))


# --- versions


def test_each_desired_value_makes_the_next_version() -> None:
    shadow = Shadow("pump").desire("speed", fact(1200, 40)).desire("mode", fact("auto", 41))

    assert shadow.desire("speed", fact(900, 42)).version == 3


def test_a_report_makes_no_version() -> None:
    assert settled().report("speed", fact(5, 10), 10).version == 1


def test_withdrawing_a_desired_value_makes_a_version() -> None:
    assert settled().desire("speed", fact(None, 41)).version == 2


def test_a_writer_who_saw_this_version_may_write() -> None:
    assert settled().is_at(1)


def test_a_writer_who_saw_an_older_version_may_not_write() -> None:
    assert not settled().desire("mode", fact("auto", 41)).is_at(1)


def test_a_writer_who_names_no_version_may_write() -> None:
    assert settled().is_at(None)


# --- what a change leaves


def test_another_desired_value_takes_effective_along() -> None:
    assert settled().desire("speed", fact(900, 41)).of("speed").effective is None


def test_another_desired_value_takes_the_ack_along() -> None:
    acked = settled().acknowledge("speed", 1, fact(1, 3))

    assert (acked.of("speed").ack is None, acked.desire("speed", fact(900, 41)).of("speed").ack) == (False, None)


def test_another_desired_value_leaves_what_the_device_reported() -> None:
    shadow = settled()

    assert shadow.desire("speed", fact(900, 41)).of("speed").reported == shadow.of("speed").reported


def test_a_replayed_desired_value_changes_nothing() -> None:
    shadow = settled()
    desired = shadow.of("speed").desired
    assert desired is not None

    assert shadow.desire("speed", desired) is shadow


def test_an_older_report_changes_nothing() -> None:
    shadow = settled()

    assert shadow.report("speed", fact(7, 8), 10) is shadow


def test_a_report_of_an_older_boot_changes_nothing_however_high_its_number() -> None:
    shadow = settled()

    assert shadow.report("speed", fact(7, 8000, boot=6), 10) is shadow


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_what_is_no_value_never_replaces_a_reported_one(value: Any) -> None:
    shadow = settled()

    assert shadow.report("speed", fact(value, 10), 10) is shadow


def test_what_settled_at_the_desired_value_is_not_settled_again_by_every_flicker() -> None:
    shadow = Shadow("pump").desire("speed", fact(1200, 40)).report("speed", fact(1209, 1), 10)

    assert shadow.report("speed", fact(1191, 2), 10).of("speed").effective == shadow.of("speed").effective


def test_nan_is_never_desired() -> None:
    shadow = settled()

    assert shadow.desire("speed", fact(math.nan, 41)) is shadow


def test_what_a_replaced_command_settled_changes_nothing() -> None:
    shadow = Shadow("pump").desire("speed", fact(1200, 40)).desire("speed", fact(900, 41))

    assert shadow.settle("speed", 1, fact(1200, 9)) is shadow


def test_a_setpoint_that_nobody_desired_settles_nothing() -> None:
    shadow = Shadow("pump")

    assert shadow.settle("speed", 0, fact(1200, 9)) is shadow


def test_a_late_report_at_the_desired_value_makes_it_effective() -> None:
    shadow = Shadow("pump").desire("speed", fact(1200, 40)).report("speed", fact(1195, 9), 10)

    assert shadow.of("speed").effective == msgspec.structs.replace(fact(1195, 9), version=1)


def test_a_report_under_an_open_command_leaves_effective_to_the_command() -> None:
    shadow = Shadow("pump").desire("speed", fact(1200, 40)).report("speed", fact(1195, 9), 10, is_open=True)

    assert shadow.of("speed").effective is None


def test_a_report_elsewhere_leaves_effective_alone() -> None:
    shadow = settled()

    assert shadow.report("speed", fact(700, 10), 10).of("speed").effective == shadow.of("speed").effective


# --- staleness and coherence


def test_a_report_within_its_time_is_trusted() -> None:
    assert word(settled(), now(6)) is Coherence.STABLE


def test_a_report_beyond_its_time_is_stale() -> None:
    assert word(settled(), now(6.1)) is Coherence.STALE


def test_a_report_without_declared_silence_does_not_age() -> None:
    assert settled().coherence("speed", Rule(10), now(9e6), is_open=False) is Coherence.STABLE


def test_everything_is_stale_after_a_restart() -> None:
    assert word(settled(), now(0.5, boot=8, heard_s=None)) is Coherence.STALE


def test_the_next_report_after_a_restart_is_fresh() -> None:
    shadow = settled().report("speed", fact(1201, 1, boot=8, mono_s=0.4), 10)

    assert word(shadow, now(0.5, boot=8, heard_s=0.4)) is Coherence.STABLE


def test_a_lost_device_is_stale_at_once() -> None:
    assert word(settled(), now(1, lost_s=1)) is Coherence.STALE


def test_a_device_that_came_back_is_stale_until_it_reports() -> None:
    shadow = settled()
    back = now(3, heard_s=2.9, lost_s=2)
    told = shadow.report("speed", fact(1200, 10, mono_s=2.9), 10)

    assert (word(shadow, back), word(told, back)) == (Coherence.STALE, Coherence.STABLE)


def test_a_device_without_reports_is_stale_while_it_is_silent() -> None:
    shadow = Shadow("lamp").desire("speed", fact(1, 40))

    assert [shadow.is_stale(RULES, moment) for moment in (now(1), now(1, heard_s=None), now(2, lost_s=1.5))] == [
        False,
        True,
        True,
    ]


def test_a_device_that_spoke_and_was_lost_in_the_same_instant_is_silent() -> None:
    assert now(1, heard_s=1, lost_s=1).is_silent


def test_one_report_too_old_makes_the_document_stale() -> None:
    assert settled().is_stale(RULES, now(7, heard_s=7))


def test_an_ignored_write_has_diverged() -> None:
    shadow = Shadow("pump").report("speed", fact(300, 8), 10).desire("speed", fact(1200, 40))

    assert word(shadow.report("speed", fact(300, 9), 10), now(2)) is Coherence.DIVERGED


def test_a_clamped_write_is_clamped() -> None:
    shadow = Shadow("pump").desire("speed", fact(3000, 40)).report("speed", fact(2500, 9), 10)

    assert word(shadow.settle("speed", 1, fact(2500, 9)), now(2)) is Coherence.CLAMPED


def test_a_value_that_drifts_away_later_has_diverged() -> None:
    assert word(settled().report("speed", fact(700, 10), 10), now(2)) is Coherence.DIVERGED


def test_a_withdrawn_desired_value_leaves_a_stable_shadow() -> None:
    assert word(settled().desire("speed", fact(None, 41)).report("speed", fact(3, 10), 10), now(2)) is Coherence.STABLE


# --- the view


def test_the_view_has_aws_s_shape_with_effective_coherence_and_stale() -> None:
    shadow = Shadow("pump").desire("speed", fact(3000, 40)).report("speed", fact(2500, 9, taints=TRUST_RANGE), 10)

    assert shadow.settle("speed", 1, fact(2500, 9)).view(RULES, now(2), ()) == {
        "device": "pump",
        "version": 1,
        "state": {
            "desired": {"speed": 3000},
            "reported": {"speed": 2500},
            "effective": {"speed": 2500},
            "delta": {"speed": 3000},
        },
        "metadata": {
            "desired": {"speed": {"timestamp": 1_767_225_601, "sequence": 40}},
            "reported": {"speed": {"timestamp": 1_767_225_601, "sequence": 9, "taints": ["trust.range"]}},
            "effective": {"speed": {"timestamp": 1_767_225_601, "sequence": 9}},
        },
        "coherence": {"speed": "CLAMPED"},
        "stale": False,
    }


def test_the_delta_leaves_out_what_is_within_the_tolerance() -> None:
    assert settled().view(RULES, now(2), ())["state"]["delta"] == {}


def test_the_delta_names_what_was_never_reported() -> None:
    assert Shadow("pump").desire("speed", fact(5, 40)).view(RULES, now(2), ())["state"]["delta"] == {"speed": 5}


def test_a_withdrawn_value_is_in_no_part_of_the_view() -> None:
    view = settled().desire("speed", fact(None, 41)).view(RULES, now(2), ())

    assert (view["state"]["desired"], view["state"]["delta"], view["metadata"]["desired"]) == ({}, {}, {})


def test_a_setpoint_that_nothing_is_known_of_is_unknown() -> None:
    assert Shadow("pump").view(RULES, now(2), ())["coherence"] == {"speed": "UNKNOWN"}


def test_a_setpoint_that_the_profile_does_not_have_any_more_is_not_shown() -> None:
    assert settled().view({}, now(2), ())["state"]["desired"] == {}


def test_an_open_command_shows_as_pending() -> None:
    shadow = settled().desire("speed", fact(2000, 41))

    assert shadow.view(RULES, now(2), {"speed"})["coherence"] == {"speed": "PENDING"}


def test_the_view_is_json() -> None:
    assert json.loads(json.dumps(settled().view(RULES, now(2), ())))["version"] == 1


# --- joining

VALUES = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.5, 1.0, "auto", [1], {"x": 1}])
FACTS = st.builds(
    Fact,
    VALUES,
    boot=st.integers(1, 2),
    seq=st.integers(1, 3),
    wall_ns=st.integers(0, 1),
    mono_ns=st.integers(0, 1),
    taints=st.sampled_from([0, TRUST_RANGE, TIME_UNSYNCED]),
    version=st.integers(0, 2),
)
MAYBE = st.none() | FACTS


@st.composite
def setpoints(draw: st.DrawFn) -> SetpointShadow:
    desired, reported = draw(MAYBE), draw(MAYBE)
    if desired is None:
        return SetpointShadow(reported=reported)
    return SetpointShadow(desired, reported, draw(MAYBE), draw(MAYBE))


KNOWN = setpoints().filter(lambda setpoint: setpoint != SetpointShadow())
SHADOWS = st.builds(Shadow, st.just("pump"), st.dictionaries(st.sampled_from(["speed", "mode"]), KNOWN))


@given(one=MAYBE, other=MAYBE)
def test_of_two_facts_the_same_one_is_newest_from_either_side(one: Fact | None, other: Fact | None) -> None:
    assert newest(one, other) == newest(other, one)


@given(one=SHADOWS, other=SHADOWS)
def test_joining_is_commutative(one: Shadow, other: Shadow) -> None:
    assert one.join(other) == other.join(one)


@given(one=SHADOWS, other=SHADOWS, third=SHADOWS)
def test_joining_is_associative(one: Shadow, other: Shadow, third: Shadow) -> None:
    assert one.join(other).join(third) == one.join(other.join(third))


@given(shadow=SHADOWS)
def test_joining_is_idempotent(shadow: Shadow) -> None:
    assert shadow.join(shadow) is shadow


@given(one=SHADOWS, other=SHADOWS)
def test_joining_twice_is_joining_once(one: Shadow, other: Shadow) -> None:
    assert one.join(other).join(other) == one.join(other)


@given(one=SHADOWS, other=SHADOWS)
def test_a_joined_version_is_the_higher_one(one: Shadow, other: Shadow) -> None:
    assert one.join(other).version == max(one.version, other.version)


def test_the_later_version_wins_whatever_boot_it_was_made_in() -> None:
    first, second = (
        SetpointShadow(desired=Fact(value, boot, 1, WALL_NS, version=version))
        for value, boot, version in ((1, 2, 1), (2, 1, 2))
    )

    assert first.join(second) == second


def test_shadows_of_two_devices_do_not_merge() -> None:
    with pytest.raises(ValueError, match="'pump' and 'lamp' do not merge"):
        Shadow("pump").join(Shadow("lamp"))


# --- plain JSON


@given(shadow=SHADOWS)
def test_a_document_comes_back_from_json_as_it_was(shadow: Shadow) -> None:
    holds = [fact for known in shadow.setpoints.values() for fact in (known.reported, known.effective, known.ack)]
    plain = json.loads(json.dumps(to_plain(shadow)))
    if any(fact is not None and fact.value is None for fact in holds):
        with pytest.raises(ValueError, match="no value that can be stored"):
            shadow_from(plain)
    else:
        assert shadow_from(plain) == shadow


@given(one=FACTS)
def test_a_fact_comes_back_from_json_as_it_was(one: Fact) -> None:
    assert fact_from(json.loads(json.dumps(to_plain(one)))) == one


@pytest.mark.parametrize("plain", [None, [], {}, {"device": 5}, {"device": "x", "setpoints": {"a": {"desired": 5}}}])
def test_what_is_no_document_is_refused(plain: Any) -> None:
    with pytest.raises(ValueError, match="no shadow"):
        shadow_from(plain)


@pytest.mark.parametrize("plain", [None, 5, {"value": 1}, {"value": 1, "boot": 1, "seq": "x", "wall_ns": 0}])
def test_what_is_no_fact_is_refused(plain: Any) -> None:
    with pytest.raises(ValueError, match="no fact"):
        fact_from(plain)


def test_the_newest_records_of_a_setpoint_restore_it() -> None:
    known = settled().of("speed")

    again = restored("pump", "speed", desired=known.desired, reported=known.reported, effective=known.effective)

    assert again == settled()


def test_an_effective_value_of_an_older_desired_one_is_not_restored() -> None:
    old = settled().of("speed")
    new = settled().desire("speed", fact(900, 41)).of("speed")

    again = restored("pump", "speed", desired=new.desired, reported=new.reported, effective=old.effective)

    assert again.of("speed").effective is None


def test_documents_of_single_setpoints_join_into_the_whole_one() -> None:
    whole = settled().desire("mode", fact("auto", 41))
    parts = [
        restored("pump", name, desired=known.desired, reported=known.reported, effective=known.effective)
        for name, known in whole.setpoints.items()
    ]

    assert parts[0].join(parts[1]) == whole


def test_a_fact_keeps_out_of_the_collector_s_way() -> None:
    assert not fact(1, 1).__struct_config__.gc
