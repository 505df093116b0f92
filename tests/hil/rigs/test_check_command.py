"""`tidegate hil check`, as a person or an editor calls it."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from hil.cli.check import command

GOOD = '[rig]\nname = "r"\n[target.a]\n[target.a.resource.uart0]\nprotocol = "uart"\nsim = true\n'


def test_mistakes_are_on_stdout_and_end_in_1(tmp_path: Path) -> None:
    file = tmp_path / "rig.toml"
    file.write_text(GOOD + "buad = 1\n")
    answer = CliRunner().invoke(command, [str(file)])
    expected = f"{file}:7: target.a.resource.uart0.buad: unknown key 'buad'; did you mean 'baud'?\n"
    assert (answer.exit_code, answer.stdout) == (1, expected)


def test_a_good_file_is_called_so(tmp_path: Path) -> None:
    file = tmp_path / "rig.toml"
    file.write_text(GOOD)
    answer = CliRunner().invoke(command, [str(file)])
    assert (answer.exit_code, answer.stdout) == (0, f"{file}: fine, rig r: a (uart0)\n")


def test_a_warning_refuses_nothing_and_is_on_stderr(tmp_path: Path) -> None:
    file = tmp_path / "rig.toml"
    file.write_text(GOOD.replace("sim = true", 'port = "usb:10c4:ea60"'))
    answer = CliRunner().invoke(command, [str(file)])
    assert (answer.exit_code, "warning: any adapter" in answer.stderr) == (0, True)


def test_a_file_that_is_not_there_ends_in_2(tmp_path: Path) -> None:
    answer = CliRunner().invoke(command, [str(tmp_path / "no.toml")])
    assert (answer.exit_code, answer.stdout, "cannot be read: No such file" in answer.stderr) == (2, "", True)


def test_json_has_problems_and_targets(tmp_path: Path) -> None:
    file = tmp_path / "rig.toml"
    file.write_text(GOOD + "baud = 0\n")
    answer = CliRunner().invoke(command, ["--json", str(file)])
    told = json.loads(answer.stdout)
    assert [each["key"] for each in told["problems"]] == ["target.a.resource.uart0.baud"]
    assert told["targets"] == {str(file): {"a": ["uart0"]}}


def test_the_schema_knows_every_key_and_describes_it() -> None:
    schema = json.loads(CliRunner().invoke(command, ["--schema"]).stdout)
    resource = schema["$defs"]["ResourceSpec"]
    assert resource["required"] == ["protocol"]
    assert resource["properties"]["protocol"]["enum"] == ["uart", "can", "ble", "spi", "power"]
    assert resource["properties"]["port"]["description"].startswith("what stays the same board's")
