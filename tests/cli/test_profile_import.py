from __future__ import annotations

import subprocess
import sys
import tomllib

import pytest
from click.testing import CliRunner

from gateway.cli.profile_import import group
from gateway.errors import ProfileError, UsageError
from gateway.profile.load import check_profile, load_profile
from gateway.schema.compile import compile_message
from gateway.schema.plan import values_of
from tests.conformance.dbc_corpus import CAN, NEEDS_DATA, accepted, bodies, differences, meaning, oracle
from tests.conformance.dbc_corpus import lower_names as lower

DATABASE = """VERSION ""
BU_: ECU GW
BO_ 256 Engine: 8 ECU
 SG_ Speed : 0|16@1+ (0.125,0) [0|8031.875] "rpm" GW
 SG_ speed : 16|16@1+ (1,0) [5|1] "furlongs per jiffy" GW
 SG_ _Fixed : 32|8@1+ (0,12.5) [0|0] "" GW
 SG_ Gear : 40|3@1- (1,0) [0|0] "" GW
BO_ 2147483653 Paged: 8 ECU
 SG_ Page M : 0|8@1+ (1,0) [0|0] "" GW
 SG_ Ratio m0 : 15|32@0- (1,0) [0|0] "" GW
 SG_ Other m1 : 8|8@1+ (1,0) [0|0] "" GW
BO_ 257 engine: 2 GW
VAL_ 2147483653 Other 1 "free" 2 "busy" 3 "free" ;
VAL_ 2147483653 Ratio 1 "full" ;
VAL_ 256 Gear 0 "say \\"hi\\"" -1 "back\tslash \\\\" ;
SIG_VALTYPE_ 2147483653 Ratio : 1;
"""


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("TIDEGATE_DATA", str(tmp_path / "data"))


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "Pump.dbc"
    path.write_text(DATABASE)
    return path


def imported(*arguments):
    result = CliRunner().invoke(group, ["dbc", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def test_the_profile_passes_the_check_and_keeps_its_messages_in_order(database, tmp_path):
    out = tmp_path / "pump.toml"
    imported(database, "-o", out)
    assert [problem for problem in check_profile(out) if problem.severity == "error"] == []
    profile = load_profile(out)
    assert (profile.profile.id, list(profile.message)) == ("dbc/pump@1.0.0", ["engine", "paged", "engine_2"])


def test_without_an_output_file_the_profile_goes_to_stdout(database):
    text = imported(database).stdout
    assert text.startswith("#:schema profile.schema.json\n")
    assert tomllib.loads(text)["link"]["bus"] == "can"


def test_names_are_lower_case_legal_and_unlike(database):
    fields = tomllib.loads(imported(database).stdout)["message"]["engine"]["fields"]
    assert [field.get("name") for field in fields] == ["speed", "speed_2", "fixed", "gear", None]


def test_what_a_profile_may_not_say_is_said_in_its_nearest_legal_form(database):
    text = imported(database).stdout
    fields = tomllib.loads(text)["message"]["engine"]["fields"]
    assert fields[1]["units"] == "{furlongs_per_jiffy}"
    assert "minimum" not in fields[1]
    assert "# unit in the DBC: furlongs per jiffy; limits in the DBC: 5 to 1" in text
    assert "# scale 0 in the DBC: always the offset" in text


def test_what_is_unclear_is_told_on_stderr(database):
    assert f"{database}:5: Engine.speed: warning: unit 'furlongs per jiffy'" in imported(database).stderr


def test_labels_survive_quotes_and_controls(database):
    fields = tomllib.loads(imported(database).stdout)["message"]["engine"]["fields"]
    assert fields[3]["labels"] == {"-1": "back\tslash \\\\", "0": 'say "hi"'}


def test_a_small_extended_id_and_multiplexing_are_kept(database, tmp_path):
    imported(database, "-o", tmp_path / "pump.toml")
    paged = load_profile(tmp_path / "pump.toml").message["paged"]
    assert (paged.when.can_id, paged.when.extended) == (5, True)
    assert [(field.name, field.type, field.condition) for field in paged.fields[:3]] == [
        ("page", None, None),
        ("ratio", "f32", {"page": 0}),
        ("other", None, {"page": 1}),
    ]


def test_a_frame_is_built_in_its_full_length(database, tmp_path):
    imported(database, "-o", tmp_path / "pump.toml")
    message = load_profile(tmp_path / "pump.toml").message["paged"]
    assert compile_message("paged", message).encode({"page": 1, "other": 7}) == bytes([1, 7, 0, 0, 0, 0, 0, 0])


def test_a_label_may_stand_for_several_numbers_and_for_a_float(database, tmp_path):
    imported(database, "-o", tmp_path / "pump.toml")
    plan = compile_message("paged", load_profile(tmp_path / "pump.toml").message["paged"])
    texts = [values_of(plan, plan.decode(bytes([1, raw, 0, 0, 0, 0, 0, 0])))["other"] for raw in (1, 2, 3)]
    assert texts == ["free", "busy", "free"]
    assert values_of(plan, plan.decode(bytes.fromhex("003f800000000000")))["ratio"] == "full"


def test_only_the_messages_named_are_taken(database):
    result = imported(database, "--message", "Paged", "--message", "engine")
    assert list(tomllib.loads(result.stdout)["message"]) == ["paged", "engine"]


def test_an_unknown_message_is_refused_with_the_nearest_name(database):
    with pytest.raises(UsageError, match="did you mean 'Paged'"):
        imported(database, "--message", "Pagd")


def test_a_refused_database_is_told_by_file_and_line(tmp_path):
    path = tmp_path / "bad.dbc"
    path.write_text('BO_ 1 A: 1 ECU\n SG_ B : 0|9@1+ (1,0) [0|0] "" ECU\nBO_ 5000 C: 1 ECU\n')
    with pytest.raises(ProfileError, match=rf"^{path}:3: C: "):
        imported(path)


@pytest.mark.parametrize("command", [["profile", "import", "dbc"], ["decode"], ["profile", "show"]])
def test_a_refused_database_ends_every_command_with_2_and_its_line(command, tmp_path):
    path = tmp_path / "bad.dbc"
    path.write_text('VERSION ""\nBO_ 5000 A: 1 ECU\n')
    process = subprocess.run(
        [sys.executable, "-m", "gateway", *command, str(path)], input="", capture_output=True, text=True, check=False
    )
    assert (process.returncode, process.stdout) == (2, "")
    assert process.stderr.startswith(f"{path}:2: A: Standard frame id 0x1388 is more than 11 bits")


def test_an_output_that_cannot_be_written_is_told(database, tmp_path):
    with pytest.raises(UsageError, match="cannot be written"):
        imported(database, "-o", tmp_path / "no" / "folder.toml")


@NEEDS_DATA
@pytest.mark.conformance
@pytest.mark.parametrize("file", accepted())
def test_the_profile_decodes_as_the_database_does(file, tmp_path):
    out = tmp_path / "out.toml"
    imported(CAN / file, "-o", out)
    assert [problem for problem in check_profile(out) if problem.severity == "error"] == []
    profile = load_profile(out)
    messages = oracle(file).messages
    names = lower(message.name for message in messages)
    for message in messages:
        plan = compile_message(message.name, profile.message[names[message.name]])
        signals = lower(signal.name for signal in message.signals)
        for body in bodies(message, 3):
            theirs = {signals[name]: value for name, value in meaning(message, body).items()}
            assert differences(values_of(plan, plan.decode(body)), theirs) == [], (message.name, body.hex())
