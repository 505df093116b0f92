from __future__ import annotations

import sys

import pytest

from gateway.errors import EncodeError, ProfileError, UsageError
from gateway.profile.dbc import profile_of_dbc, ranges, read_database, read_dbc
from gateway.profile.dbc_source import text_of
from gateway.profile.load import check_profile
from gateway.schema.compile import compile_message
from gateway.taint import TRUST_CASE, TRUST_RANGE

HEAD = 'VERSION ""\nNS_ :\nBS_:\nBU_: ECU GW\n'
ENGINE = """BO_ 256 Engine: 8 ECU
 SG_ Speed : 0|16@1+ (0.125,0) [0|8031.875] "rpm" GW
 SG_ Torque : 23|12@0- (1,-125) [0|0] "Nm" GW
 SG_ Gear : 40|3@1+ (1,0) [0|7] "" GW
VAL_ 256 Gear 0 "neutral" 1 "first" 9 "impossible" ;
"""
MULTIPLEXED = """BO_ 512 Page: 8 ECU
 SG_ Late m1 : 0|8@1+ (1,0) [0|0] "" GW
 SG_ Selector M : 56|8@1+ (1,0) [0|0] "" GW
 SG_ Early m0 : 0|8@1+ (1,0) [0|0] "" GW
 SG_ Always : 8|8@1+ (1,0) [0|0] "" GW
"""
EXTENDED = """BO_ 2566834709 Deep: 8 ECU
 SG_ Outer M : 0|4@1+ (1,0) [0|0] "" GW
 SG_ Inner m1M : 4|4@1+ (1,0) [0|0] "" GW
 SG_ Leaf m2 : 8|8@1+ (1,0) [0|0] "" GW
SG_MUL_VAL_ 2566834709 Inner Outer 1-1;
SG_MUL_VAL_ 2566834709 Leaf Inner 2-5, 9-9, 7-8;
"""


def fields_of(text, message):
    return {field.name: field for field in read_dbc(HEAD + text, "x.dbc")[message].fields}


def problems_of(text):
    with pytest.raises(ProfileError) as refused:
        read_dbc(text, "x.dbc")
    return refused.value.problems


def test_a_message_is_matched_by_its_id_and_knows_its_declared_length():
    message = read_dbc(HEAD + ENGINE, "x.dbc")["Engine"]
    assert (message.when.can_id, message.when.extended, message.length) == (256, False, 8)


def test_an_extended_id_is_one_even_when_it_is_small():
    message = read_dbc(HEAD + 'BO_ 2147483653 Small: 1 ECU\n SG_ A : 0|8@1+ (1,0) [0|0] "" GW\n', "x.dbc")["Small"]
    assert (message.when.can_id, message.when.extended) == (5, True)


def test_signals_keep_the_place_the_database_gives_them():
    fields = fields_of(ENGINE, "Engine")
    assert [field.dbc for field in fields.values()] == ["0|16@1+", "23|12@0-", "40|3@1+"]
    assert all(field.type is None for field in fields.values())


def test_scale_offset_limits_and_units_come_along():
    fields = fields_of(ENGINE, "Engine")
    assert (fields["Speed"].scale, fields["Torque"].offset) == (0.125, -125)
    assert (fields["Speed"].minimum, fields["Speed"].maximum, fields["Speed"].units) == (0, 8031.875, "/min")


def test_limits_of_zero_and_zero_mean_none():
    torque = fields_of(ENGINE, "Engine")["Torque"]
    assert (torque.minimum, torque.maximum) == (None, None)


def test_labels_that_no_raw_number_can_have_are_left_out():
    assert fields_of(ENGINE, "Engine")["Gear"].labels == {"0": "neutral", "1": "first"}


def test_an_unknown_unit_is_kept_and_warned_of_with_its_line():
    text = HEAD + 'BO_ 1 A: 1 ECU\n SG_ B : 0|8@1+ (1,0) [0|0] "furlongs per jiffy" GW\n'
    database = read_database(text, "x.dbc")
    assert database.messages["A"].fields[0].units == "furlongs per jiffy"
    assert [(problem.line, problem.key, problem.severity) for problem in database.warnings] == [(6, "A.B", "warning")]


def test_a_multiplexer_stands_before_what_it_selects():
    fields = fields_of(MULTIPLEXED, "Page")
    assert list(fields) == ["Always", "Selector", "Late", "Early"]
    assert (fields["Late"].condition, fields["Early"].condition) == ({"Selector": 1}, {"Selector": 0})
    assert fields["Always"].condition is None


def test_extended_multiplexing_becomes_nested_conditions_with_ranges():
    fields = fields_of(EXTENDED, "Deep")
    assert fields["Inner"].condition == {"Outer": 1}
    assert fields["Leaf"].condition == {"Inner": ["2..5", "7..9"]}


@pytest.mark.parametrize(
    ("values", "listed"),
    [([3], 3), ([1, 2], [1, 2]), ([1, 2, 3], ["1..3"]), ([9, 1, 2, 3, 9], ["1..3", 9]), ([0, 2], [0, 2])],
)
def test_runs_of_three_and_more_are_written_as_ranges(values, listed):
    assert ranges(values) == listed


def test_floats_are_a_type_at_a_place():
    text = 'BO_ 1 F: 8 ECU\n SG_ X : 7|32@0- (1,0) [0|0] "" GW\nSIG_VALTYPE_ 1 X : 1;\n'
    field = fields_of(text, "F")["X"]
    assert (field.type, field.dbc) == ("f32", "7|32@0-")


def test_a_signal_with_a_leading_underscore_is_a_value_all_the_same():
    field = fields_of('BO_ 1 A: 1 ECU\n SG_ _Hidden : 0|8@1+ (1,0) [0|0] "" GW\n', "A")["_Hidden"]
    assert field.public


def test_messages_without_signals_or_bytes_are_kept():
    messages = read_dbc(HEAD + "BO_ 1 Empty: 0 ECU\nBO_ 2 Bare: 8 ECU\n", "x.dbc")
    assert [(name, spec.length, spec.fields) for name, spec in messages.items()] == [("Empty", 0, []), ("Bare", 8, [])]


def test_signals_of_no_message_are_left_out():
    text = 'BO_ 3221225472 VECTOR__INDEPENDENT_SIG_MSG: 0 ECU\n SG_ A : 0|8@1+ (1,0) [0|0] "" GW\n'
    assert read_dbc(HEAD + text + ENGINE, "x.dbc").keys() == {"Engine"}


def test_of_two_messages_with_one_id_the_later_is_read_and_the_earlier_only_sent():
    text = "BO_ 1 First: 8 ECU\nBO_ 2 Other: 8 ECU\nBO_ 1 Second: 8 ECU\n"
    database = read_database(HEAD + text, "x.dbc")
    assert [(name, spec.direction) for name, spec in database.messages.items()] == [
        ("Other", "in"),
        ("Second", "in"),
        ("First", "out"),
    ]
    assert [(problem.line, problem.key) for problem in database.warnings] == [(5, "First")]


def test_a_second_message_of_one_name_gets_a_number():
    assert list(read_dbc(HEAD + "BO_ 1 Twin: 8 ECU\nBO_ 2 Twin: 8 ECU\n", "x.dbc")) == ["Twin", "Twin_2"]


def test_a_dbc_is_a_profile_on_a_can_bus():
    profile = profile_of_dbc("some/My Pump.dbc", (HEAD + ENGINE).encode())
    assert (profile.profile.id, profile.link.bus, profile.link.fd) == ("dbc/my-pump@0.0.0", "can", False)


@pytest.mark.parametrize(("length", "is_fd"), [(8, False), (64, True), (1785, False)])
def test_frames_of_more_than_eight_bytes_need_can_fd(length, is_fd):
    assert profile_of_dbc("x.dbc", f"{HEAD}BO_ 1 A: {length} ECU\n".encode()).link.fd is is_fd


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("°".encode("cp1252"), "°"),
        ("°".encode(), "°"),
        (b"\xef\xbb\xbfBU_:", "BU_:"),
        ("\ufffd".encode(), "ï¿½"),
    ],
)
def test_the_encoding_is_found_out(data, text):
    assert text_of(data) == text


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        (HEAD + 'BO_ 1 A: 8 ECU\n SG_ 0_BAD : 0|8@1+ (1,0) [0|0] "" GW\n', 6, ""),
        (HEAD + 'BO_ 1 A: 1 ECU\n SG_ Wide : 0|9@1+ (1,0) [0|0] "" GW\n', 6, "A.Wide"),
        (HEAD + "\nBO_ 5000 A: 8 ECU\n", 6, "A"),
        (HEAD + "BO_ 3758096384 A: 8 ECU\n", 5, "A"),
        (HEAD + ENGINE + 'VAL_ 256 Missing 0 "off" ;\n', 10, "Missing"),
        (HEAD + ENGINE + "SIG_VALTYPE_ 256 Missing : 1;\n", 10, "Missing"),
        (HEAD + 'BO_ 1 A: 8 ECU\n SG_ None : 0|0@1+ (1,0) [0|0] "" GW\n', 6, "A.None"),
        (HEAD + "BO_ 1 A: 99999999999 ECU\n", 5, "A"),
        (HEAD + 'BO_ 1 A: 8 ECU\n SG_ B : 0|9999999999@1+ (1,0) [0|0] "" GW\n', 6, "B"),
        (HEAD + 'BO_ 1 A: 8 ECU\n SG_ B : 0|8@1+ (1e999,0) [0|0] "" GW\n', 6, "A.B"),
        (HEAD + EXTENDED.replace("9-9", "9-4294967295"), 10, "Inner"),
        (HEAD + f"BO_ {'9' * 400} A: 8 ECU\n", 5, ""),
        (HEAD + 'BA_DEF_ "X" INT 0 1;\nBA_ "X" 1e99999999;\n', 6, ""),
        ("", 1, ""),
        ("\x00\x01", 1, ""),
        ("not a database", 1, ""),
    ],
)
def test_what_is_refused_is_told_with_its_line(text, line, key):
    problem = problems_of(text)[0]
    assert (problem.file, problem.line, problem.key) == ("x.dbc", line, key), str(problem)


def test_every_message_with_overlapping_signals_is_told():
    signals = ' SG_ One : 0|8@1+ (1,0) [0|0] "" GW\n SG_ Two : 4|8@1+ (1,0) [0|0] "" GW\n'
    text = f"{HEAD}BO_ 1 A: 8 ECU\n{signals}BO_ 2 B: 8 ECU\n{signals}"
    assert [(problem.line, problem.key) for problem in problems_of(text)] == [(7, "A.Two"), (10, "B.Two")]


def test_every_unused_value_table_is_told():
    text = HEAD + ENGINE + 'VAL_ 256 Gone 0 "a" ;\nVAL_ 256 Lost 0 "a" ;\n'
    assert [(problem.line, problem.key) for problem in problems_of(text)] == [(10, "Gone"), (11, "Lost")]


def test_a_file_that_is_too_large_is_refused_at_once():
    with pytest.raises(ProfileError, match="too many for a DBC"):
        profile_of_dbc("x.dbc", b" " * 9_000_000)


def test_deep_nonsense_is_refused_without_a_traceback():
    assert problems_of("BO_ " * 20_000)[0].line >= 1


def test_the_raw_number_that_stands_for_a_limit_is_within_it():
    """2047 * 0.1 is 204.70000000000002 in doubles."""
    text = 'BO_ 1 A: 2 ECU\n SG_ B : 0|16@1+ (0.1,0) [0|204.7] "" GW\n'
    plan = compile_message("A", read_dbc(HEAD + text, "x.dbc")["A"])
    assert [plan.decode(raw.to_bytes(2, "little"))[1] for raw in (2047, 2048)] == [0, TRUST_RANGE]
    assert plan.encode({"B": 204.70000000000002}) == plan.encode({"B": 204.7}) == (2047).to_bytes(2, "little")
    with pytest.raises(EncodeError):
        plan.encode({"B": 204.75})


def test_a_labelled_multiplexer_value_that_selects_nothing_is_known():
    text = MULTIPLEXED + 'VAL_ 512 Selector 7 "idle" ;\n'
    plan = compile_message("Page", read_dbc(HEAD + text, "x.dbc")["Page"])
    taints = [plan.decode(bytes([0] * 7 + [page]))[-1] for page in (0, 7, 8)]
    assert [bool(bits & TRUST_CASE) for bits in taints] == [False, False, True]


def test_of_several_numbers_with_one_label_the_last_is_written():
    text = 'BO_ 1 A: 1 ECU\n SG_ B : 0|8@1+ (1,0) [0|0] "" GW\nVAL_ 1 B 3 "free" 9 "free" 1 "busy" ;\n'
    plan = compile_message("A", read_dbc(HEAD + text, "x.dbc")["A"])
    assert [plan.decode(bytes([raw]))[0] for raw in (1, 3, 9)] == ["busy", "free", "free"]
    assert plan.encode({"B": "free"}) == bytes([9])


@pytest.mark.parametrize("line", ["length = 8", 'fields = [{ name = "a", type = "u8", public = true }]'])
def test_what_only_the_import_sets_is_no_key_of_a_file(line, tmp_path):
    path = tmp_path / "x.toml"
    path.write_text(f'[profile]\nid = "a/b@1.0.0"\n[link]\nbus = "can"\n[message.m]\n{line}\n')
    assert "unknown key" in "".join(str(problem) for problem in check_profile(path))


def test_without_cantools_the_command_that_installs_it_is_told(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "cantools"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cantools", None)
    with pytest.raises(UsageError, match=r"pip install 'tidegate\[can\]'"):
        read_dbc(HEAD + ENGINE, "x.dbc")


def test_a_comment_may_hold_a_line_of_dots():
    assert read_dbc(f'{HEAD}{ENGINE}CM_ "{"." * 400}";\n', "x.dbc").keys() == {"Engine"}


def test_a_signal_of_four_billion_bits_is_refused_at_once():
    """The parser alone would need minutes and all memory for it."""
    text = HEAD + 'BO_ 1 A: 8 ECU\n SG_ B : 0|4294967295@1+ (1,0) [0|0] "" GW\n'
    assert str(problems_of(text)[0]) == "x.dbc:6: B: a signal cannot stand at 0|4294967295"
