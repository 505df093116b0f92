"""Whatever lies in a folder, commands that read a ledger answer, and with one of their exit codes."""

import json
import os
import shutil
from importlib import import_module

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.cli.ledger import group
from gateway.ledger import Ledger
from gateway.ledger.base import Options
from tests.cli.ledgers import SMALL, Sensor, make

COMMANDS = [
    *(["ledger", name] for name in ("export", "verify", "head", "show", "tail", "stats")),
    ["ledger", "verify", "--deep", "--json"],
    ["ledger", "get", "2"],
    ["history", "therm-1/climate/temperature"],
    ["replay", "--until", "2026-11-28"],
    ["why", "4"],
    ["why", "therm-1/climate/temperature#2"],
]
CODES = {0, 1, 2, 3, 64}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A ledger with an archive, readings, causes and a loss."""
    folder = tmp_path_factory.mktemp("sound")
    with Ledger.open(folder / "ledger", options=SMALL) as ledger:
        sensor = Sensor(folder)
        sensor.tell(ledger)
        sensor.say(ledger, "08 66 28")
        ledger.append("command_intent", "pump/motor/speed@request", {"value": 1}, "command", 2)
        ledger.append("command_sent", "pump/motor/speed@request", {}, "command", 3)
        ledger.append("gap", None, {"dropped": 7, "reason": "mailbox full"}, "state")
        ledger.append_many([("note", None, "x" * 1000, "audit")] * 300)
        ledger.compact()
        sensor.say(ledger, "08 66 28")
    return folder / "ledger"


def run(folder, command: list[str]) -> int:
    """Return the exit code. Raises whatever is not a message to its user."""
    target = group if command[0] == "ledger" else import_module(f"gateway.cli.{command[0]}").command
    done = CliRunner().invoke(target, [*command[command[0] == "ledger" or 1 :], "--dir", str(folder)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code


def files_of(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "LOCK")


def test_a_sound_ledger_with_a_declared_loss_exits_1_everywhere(sound):
    assert {" ".join(command): run(sound, command) for command in COMMANDS} == {
        " ".join(command): 1 for command in COMMANDS
    }


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_whatever_happened_to_a_file_every_command_answers(sound, tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("hurt") / "ledger"
    shutil.copytree(sound, folder)
    path = data.draw(st.sampled_from(files_of(folder)))
    content = bytearray(path.read_bytes())
    used = len(bytes(content).rstrip(b"\0")) or 1
    at = data.draw(st.integers(0, min(used, len(content) - 1)))
    what = data.draw(st.sampled_from(["flip", "cut", "zeros", "noise", "gone"]))
    if what == "gone":
        path.unlink()
    else:
        noise = data.draw(st.binary(min_size=1, max_size=64))
        content[at : at + len(noise)] = {"zeros": bytes(len(noise)), "noise": noise}.get(
            what, content[at : at + len(noise)]
        )
        content[at] ^= what == "flip"
        path.write_bytes(content[:at] if what == "cut" else content)
    command = data.draw(st.sampled_from(COMMANDS))
    assert run(folder, command) in CODES


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(
    kind=st.sampled_from(["schema", "reading", "gap", "damage", "cursor", "command_sent", "command_result", "boot"]),
    body=st.binary(max_size=60)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.dictionaries(
            st.sampled_from(["version", "digest", "message", "layout", "part", "parts", "packed", "from_seq", "to_seq",
                             "reason", "route", "dropped", "consumer", "seq"]),
            inner,
            max_size=5,
        ),
        max_leaves=8,
    ),
    command=st.sampled_from(COMMANDS),
)  # fmt: skip
@example(kind="gap", body={"seq": None}, command=["history", "therm-1/climate/temperature"])
def test_whatever_a_record_says_every_command_answers(tmp_path_factory, kind, body, command):
    route = "therm-1/climate/air@frame"
    folder = make(
        tmp_path_factory.mktemp("odd") / "x",
        *[(kind, route, body, "state", 1)] * 2,
        ("note", None, 1),
        ("reading", route, body),
    )
    assert run(folder, command) in CODES


def test_verify_answers_in_json_about_a_database_whose_end_is_cut_off(tmp_path):
    with Ledger.open(tmp_path / "ledger", options=Options(backend="sqlite")) as ledger:
        ledger.append_many([("note", None, "x" * 1000, "audit")] * 300)
    os.truncate(tmp_path / "ledger" / "ledger.db", 100_000)
    done = CliRunner().invoke(group, ["verify", str(tmp_path / "ledger"), "--json"])
    told = json.loads(done.stdout)
    assert (done.exit_code, told["verdict"], [each["file"] for each in told["damage"]]) == (
        2,
        "damaged",
        ["ledger.db"],
    )


def test_a_record_that_only_every_byte_tells_is_hurt_is_no_record_that_never_was(sound, tmp_path):
    shutil.copytree(sound, tmp_path / "ledger")
    (archive, *_) = sorted((tmp_path / "ledger" / "arc").iterdir())
    data = bytearray(archive.read_bytes())
    data[120] ^= 1
    archive.write_bytes(data)
    assert [run(tmp_path / "ledger", ["ledger", "verify"]), run(tmp_path / "ledger", ["ledger", "get", "2"])] == [1, 2]
