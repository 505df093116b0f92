from __future__ import annotations

import pytest

from gateway.errors import ProfileError
from gateway.framing.spec import J1939, Nmea2000
from gateway.profile.dbc import expand_dbc
from gateway.profile.model import DbcSpec, LinkSpec, Profile, ProfileHead
from gateway.schema.spec import FieldSpec, MessageSpec, WhenSpec

DATABASE = b"""VERSION ""
BU_: GATEWAY MOTOR
BO_ 512 COMMAND: 8 GATEWAY
 SG_ Target : 0|16@1- (1,0) [-4000|4000] "rpm" MOTOR
BO_ 513 STATUS: 8 MOTOR
 SG_ Page M : 0|8@1+ (1,0) [0|0] "" GATEWAY
 SG_ Speed m0 : 8|16@1- (1,0) [0|0] "rpm" GATEWAY
 SG_ Fault m1 : 8|8@1+ (1,0) [0|0] "" GATEWAY
BO_ 514 OTHER: 8 MOTOR
VAL_ 513 Fault 0 "ok" 1 "hot" ;
"""


def profile_with(claims, /, **dbc):
    return Profile(
        profile=ProfileHead(id="a/b@1.0.0"),
        link=LinkSpec(bus="can"),
        dbc=DbcSpec(file="x.dbc", **dbc),
        message=claims,
    )


def expanded(claims, /, **dbc):
    return expand_dbc(profile_with(claims, **dbc), {"x.dbc": DATABASE}.__getitem__).message


def mistakes(claims, /, **dbc):
    found = []

    def report(path, said, severity="error"):
        found.append((path, said, severity))

    expand_dbc(profile_with(claims, **dbc), lambda _file: DATABASE, report)
    return found


def test_messages_are_known_by_their_own_names_in_the_order_of_the_database():
    assert list(expanded({})) == ["COMMAND", "STATUS", "OTHER"]


def test_a_claimed_message_gets_the_claiming_name_and_stands_where_the_profile_has_it():
    messages = expanded({"status": MessageSpec(dbc="STATUS", stale_after="200ms", lane="control")})
    assert list(messages) == ["status", "COMMAND", "OTHER"]
    status = messages["status"]
    assert (status.stale_after, status.lane, status.length, status.dbc) == ("200ms", "control", 8, None)
    assert status.when == WhenSpec(can_id=513, extended=False)


def test_a_signal_keeps_its_place_and_takes_what_the_annotation_says():
    note = FieldSpec(signal="Fault", name="fault", labels={"1": "overheat"}, deadband=2.0, device_class="problem")
    fault = expanded({"status": MessageSpec(dbc="STATUS", fields=[note])})["status"].fields[2]
    assert (fault.name, fault.dbc, fault.labels, fault.deadband) == ("fault", "8|8@1+", {"1": "overheat"}, 2.0)
    assert (fault.device_class, fault.signal) == ("problem", None)


def test_signals_that_nobody_annotates_keep_their_names_and_labels():
    fields = expanded({"status": MessageSpec(dbc="STATUS")})["status"].fields
    assert [field.name for field in fields] == ["Page", "Speed", "Fault"]
    assert fields[2].labels == {"0": "ok", "1": "hot"}


def test_conditions_follow_a_renamed_multiplexer():
    note = FieldSpec(signal="Page", name="page")
    fields = expanded({"status": MessageSpec(dbc="STATUS", fields=[note])})["status"].fields
    assert [field.condition for field in fields] == [None, {"page": 0}, {"page": 1}]


def test_an_annotation_may_make_a_signal_internal():
    note = FieldSpec(signal="Page", name="_page")
    assert not expanded({"status": MessageSpec(dbc="STATUS", fields=[note])})["status"].fields[0].public


def test_only_the_messages_asked_for_come_in_and_those_that_are_claimed():
    assert list(expanded({"command": MessageSpec(dbc="COMMAND")}, messages=["OTHER"])) == ["command", "OTHER"]


def test_messages_of_our_own_node_only_go_out():
    messages = expanded({"command": MessageSpec(dbc="COMMAND")}, node="GATEWAY")
    assert {name: spec.direction for name, spec in messages.items()} == {
        "command": "out",
        "STATUS": "in",
        "OTHER": "in",
    }
    assert expanded({}, node="MOTOR")["STATUS"].direction == "out"


def test_a_declared_direction_stands_against_the_node():
    both = MessageSpec(dbc="COMMAND", direction="both")
    assert expanded({"command": both}, node="GATEWAY")["command"].direction == "both"


def test_messages_of_the_profile_itself_stay_as_they_are():
    own = MessageSpec(when=WhenSpec(can_id=1), fields=[FieldSpec(name="a", type="u8")])
    assert expanded({"own": own})["own"] == own


def test_a_profile_without_a_database_stays_as_it_is():
    profile = Profile(profile=ProfileHead(id="a/b@1.0.0"), link=LinkSpec(bus="can"))
    assert expand_dbc(profile, {}.__getitem__) is profile


@pytest.mark.parametrize(
    ("messages", "dbc", "path", "words"),
    [
        ({"m": MessageSpec(dbc="STATSU")}, {}, ("message", "m", "dbc"), "did you mean 'STATUS'"),
        ({}, {"messages": ["COMAND"]}, ("dbc", "messages", 0), "did you mean 'COMMAND'"),
        ({}, {"node": "GATEWAI"}, ("dbc", "node"), "did you mean 'GATEWAY'"),
        (
            {"a": MessageSpec(dbc="STATUS"), "b": MessageSpec(dbc="STATUS")},
            {},
            ("message", "b", "dbc"),
            "claimed by message 'a'",
        ),
        ({"OTHER": MessageSpec(when=WhenSpec(can_id=1))}, {}, ("message", "OTHER"), "message of this name too"),
        (
            {"m": MessageSpec(dbc="STATUS", fields=[FieldSpec(signal="Sped")])},
            {},
            ("message", "m", "fields", 0, "signal"),
            "did you mean 'Speed'",
        ),
        (
            {"m": MessageSpec(dbc="STATUS", fields=[FieldSpec(name="x", type="u8")])},
            {},
            ("message", "m", "fields", 0),
            "by `signal`",
        ),
        (
            {"m": MessageSpec(dbc="STATUS", fields=[FieldSpec(signal="Speed"), FieldSpec(signal="Speed")])},
            {},
            ("message", "m", "fields", 1, "signal"),
            "annotated twice",
        ),
        (
            {"m": MessageSpec(dbc="STATUS", fields=[FieldSpec(signal="Speed", name="Fault")])},
            {},
            ("message", "m", "fields", 0, "name"),
            "another signal",
        ),
        (
            {"m": MessageSpec(dbc="STATUS", fields=[FieldSpec(signal="Speed", type="u8")])},
            {},
            ("message", "m", "fields", 0, "type"),
            "cannot move a signal",
        ),
    ],
)
def test_a_wrong_annotation_is_told_with_its_place(messages, dbc, path, words):
    assert [(place, words in said, kind) for place, said, kind in mistakes(messages, **dbc)] == [(path, True, "error")]


def test_two_signals_may_swap_their_names():
    notes = [FieldSpec(signal="Speed", name="Fault"), FieldSpec(signal="Fault", name="Speed")]
    assert mistakes({"m": MessageSpec(dbc="STATUS", fields=notes)}) == []


def test_without_a_reporter_mistakes_are_raised():
    with pytest.raises(ProfileError, match=r"message\.m\.dbc"):
        expanded({"m": MessageSpec(dbc="NONE")})


def test_a_wrong_database_is_told_by_its_own_name_and_line():
    profile = profile_with({})
    with pytest.raises(ProfileError, match=r"^x\.dbc:1:"):
        expand_dbc(profile, lambda _file: b"nonsense")


TRUCK = b"""VERSION ""
BU_: ECU
BO_ 2364540158 EEC1: 8 ECU
BO_ 2566844926 CCVS1: 8 ECU
BO_ 2348810244 TSC1_a: 8 ECU
BO_ 2348810283 TSC1_b: 8 ECU
BO_ 2381841918 Position: 47 ECU
BO_ 256 Plain: 8 ECU
"""


def truck_facts(framing):
    profile = Profile(
        profile=ProfileHead(id="a/b@1.0.0"), link=LinkSpec(bus="can"), dbc=DbcSpec(file="x.dbc"), framing=framing
    )
    return {name: spec.when for name, spec in expand_dbc(profile, lambda _file: TRUCK).message.items()}


def test_with_framing_j1939_messages_match_by_their_group_from_any_source():
    facts = truck_facts(J1939())
    assert (facts["EEC1"], facts["CCVS1"]) == (WhenSpec(pgn=61444), WhenSpec(pgn=65265))
    assert facts["Plain"] == WhenSpec(can_id=256, extended=False)


def test_messages_that_share_a_group_are_told_apart_by_their_source():
    facts = truck_facts(J1939())
    assert (facts["TSC1_a"], facts["TSC1_b"]) == (WhenSpec(pgn=0, source=4), WhenSpec(pgn=0, source=43))


def test_with_framing_nmea2000_longer_messages_are_fast_packets():
    assert truck_facts(Nmea2000())["Position"] == WhenSpec(pgn=129029, fast=True)
    assert truck_facts(J1939())["Position"] == WhenSpec(pgn=129029)


def test_without_such_framing_ids_match_exactly():
    assert truck_facts(None)["EEC1"] == WhenSpec(can_id=0x0CF004FE, extended=True)
