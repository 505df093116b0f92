"""`tidegate profile`: list, show, check, schema."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli.profile import group
from gateway.errors import GatewayError, UsageError
from gateway.profile.load import shipped_profiles

GOOD = """\
[profile]
id = "example/therm@1.0.0"

[link]
bus = "can"

[message.reading]
when = { can_id = 0x100 }
fields = [{ name = "temperature", type = "s16be", scale = 0.01, units = "Cel" }]
"""


@pytest.fixture(autouse=True)
def _data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_DATA", str(tmp_path / "state"))


@pytest.fixture
def therm(tmp_path: Path) -> Path:
    file = tmp_path / "therm.toml"
    file.write_text(GOOD)
    return file


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(group, [str(argument) for argument in arguments])


def test_list_prints_one_name_a_line() -> None:
    result = run("list")
    assert result.exit_code == 0
    assert result.output.splitlines() == list(shipped_profiles())


def test_list_as_json_tells_more() -> None:
    rows = {row["name"]: row for row in json.loads(run("list", "--json").output)}
    assert list(rows) == list(shipped_profiles())
    assert rows["ruuvitag-df5"]["bus"] == "ble"
    assert rows["ruuvitag-df5"]["id"].startswith("ruuvi/ruuvitag-df5@1.")


@pytest.mark.parametrize("name", shipped_profiles())
def test_show_names_every_message_and_field_with_its_unit(name: str) -> None:
    text = run("show", name).output
    document = json.loads(run("show", name, "--json").output)
    assert document["name"] == name
    for message, spec in document["message"].items():
        assert f"message   {message}" in text
        for field in spec["fields"]:
            if "name" in field and not field["name"].startswith("_"):
                (line, *_) = [row for row in text.splitlines() if row.split()[:1] == [field["name"]]]
                assert field.get("units", "") in line


def test_check_of_a_good_profile_tells_the_path_of_each_message(therm: Path) -> None:
    result = run("check", therm)
    assert result.exit_code == 0
    first, second = result.output.splitlines()
    assert first == f"{therm}: fine"
    assert second.startswith("  reading  generated: ")


def test_check_prints_problems_as_compilers_do_and_says_no(therm: Path) -> None:
    therm.write_text(GOOD.replace("Cel", "degC").replace("bus =", "buss ="))
    result = run("check", therm)
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        f"{therm}:4: link.bus: missing; 'bus' is required here",
        f"{therm}:5: link.buss: unknown key 'buss'; did you mean 'bus'?",
        f"{therm}:9: message.reading.fields[0].units: 'degC' is no UCUM unit; did you mean 'Cel'?",
    ]


def test_a_warning_is_printed_and_does_not_fail(therm: Path) -> None:
    therm.write_text(GOOD + "[message.never]\nwhen = { can_id = 0x100, length = 8 }\n")
    result = run("check", therm)
    assert result.exit_code == 0
    assert result.output.startswith(f"{therm}:11: message.never.when: warning: can never match")


def test_check_takes_several_files_and_says_no_if_one_is_wrong(therm: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("x = 1\n" + GOOD)
    result = run("check", therm, wrong, "ruuvitag-df5")
    assert result.exit_code == 1
    assert f"{therm}: fine" in result.output
    assert f"{wrong}:1: x: unknown key 'x'" in result.output
    assert "  df5  generated: " in result.output


def test_check_as_json_is_one_object(therm: Path) -> None:
    document = json.loads(run("check", "--json", therm).output)
    assert document["problems"] == []
    assert [(row["file"], row["name"], row["path"]) for row in document["messages"]] == [
        (str(therm), "reading", "generated")
    ]
    therm.write_text(GOOD.replace("Cel", "degC"))
    result = run("check", "--json", therm)
    assert result.exit_code == 1
    (problem,) = json.loads(result.output)["problems"]
    assert {key: problem[key] for key in ("file", "line", "key", "severity")} == {
        "file": str(therm),
        "line": 9,
        "key": "message.reading.fields[0].units",
        "severity": "error",
    }


def test_check_of_nothing_is_bad_usage(tmp_path: Path) -> None:
    assert run("check").exit_code == 2
    assert isinstance(run("check", tmp_path / "none.toml").exception, UsageError)


@pytest.mark.parametrize(
    "data",
    [b"\xff\xfe\x00", b"#" * 10_000_000, b"[[[", b"x = " + b"[" * 100_000, b""],
    ids=["no text", "10 MB", "no TOML", "deep", "empty"],
)
def test_check_of_any_file_at_all_tells_a_line(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "odd.toml"
    file.write_bytes(data)
    result = run("check", file)
    assert result.exit_code == 1
    assert all(line.startswith(f"{file}:1: ") for line in result.output.splitlines())


def test_schema_prints_the_schema_of_the_repository() -> None:
    file = Path(__file__).parent.parent.parent / "profiles" / "profile.schema.json"
    assert run("schema").output == file.read_text()


def test_new_and_import_are_there_when_they_are_used() -> None:
    assert {"new", "import", "check"} <= set(run("--help").output.split())
    assert "dbc" in run("import", "--help").output


def test_a_misspelt_name_is_bad_usage_with_the_nearest() -> None:
    result = run("show", "pms5030")
    assert isinstance(result.exception, GatewayError)
    assert "did you mean 'pms5003'" in str(result.exception)


@pytest.mark.parametrize("place", ["json:loads", "nosuch.package:LAYOUT"])
def test_a_construct_object_that_cannot_be_used_is_told_at_its_key(therm: Path, place: str) -> None:
    therm.write_text(GOOD + f'[message.other]\nwhen = {{ can_id = 1 }}\nconstruct = "{place}"\n')
    result = run("check", therm)
    assert result.exit_code == 1
    assert result.output.startswith(f"{therm}:12: message.other.construct: ")
