"""How commands talk to a gateway: over a real socket, with what can go wrong on it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from gateway.cli import talk
from gateway.errors import GatewayUnreachableError, UsageError
from gateway.runtime.doorway import Doorway
from tests.cli.answerer import Gate, error


def test_a_request_is_one_line_with_its_arguments_and_no_token(gate: Gate) -> None:
    _, asked = gate.ask("commands", answer={"ok": {"commands": []}})
    assert asked == {"request": "commands", "args": {}, "token": None}


def test_several_requests_go_over_one_connection_in_order(gate: Gate) -> None:
    with gate.answering({"ok": 1}, {"ok": 2}) as gateway, talk.talking(None, None) as conversation:
        told = [conversation.ask(name, int) for name in ("one", "two")]
    assert (told, gateway.connections) == ([1, 2], 1)


def test_a_token_of_the_environment_is_handed_on(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_TOKEN", "tg1.a.b")
    _, asked = gate.ask("commands", answer={"ok": {"commands": []}})
    assert asked["token"] == "tg1.a.b"


@pytest.mark.parametrize("token", ["tg1.c.d", ""])
def test_a_token_given_goes_before_the_environment_even_an_empty_one(
    gate: Gate, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("TIDEGATE_TOKEN", "tg1.a.b")
    _, asked = gate.ask("commands", "--token", token, answer={"ok": {"commands": []}})
    assert asked["token"] == token


def test_the_data_folder_given_goes_before_the_environment(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_DATA", "/nowhere")
    with gate.answering({"ok": {"commands": []}}):
        assert gate.run("commands", "--data", str(gate.folder)).code == 0


COMMANDS = [
    ["set", "pump/motor/speed", "1"],
    ["set", "--stdin", "--json"],
    ["get", "pump/motor/speed"],
    ["shadow", "pump"],
    ["commands"],
    ["device", "pump", "quiesce"],
    ["wall", "can0", "write", "off"],
    ["walls"],
    ["grants"],
    ["identify"],
    ["approve", "c1"],
    ["reject", "c1"],
    ["token", "issue", "--principal", "user:pi", "--routes", "**", "--verbs", "read"],
]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_without_a_gateway_every_command_exits_3_and_says_how_to_start_one(gate: Gate, arguments: list[str]) -> None:
    ran = gate.run(*arguments)
    assert (ran.code, ran.out) == (3, "")
    assert f"no gateway answers in {gate.folder}" in ran.err
    assert "tidegate run" in ran.err


@pytest.mark.parametrize("arguments", [*COMMANDS[2:]], ids=" ".join)
def test_a_refusal_by_authority_is_exit_2_with_the_gateways_words(gate: Gate, arguments: list[str]) -> None:
    ran, _ = gate.ask(*arguments, answer=error("DeniedError", "user:pi has no grant for this"))
    assert (ran.code, ran.out, ran.err) == (2, "", "tidegate: user:pi has no grant for this\n")


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(gate: Gate, arguments: list[str]) -> None:
    words = arguments[:2] if arguments[0] == "token" else arguments[:1]
    ran = gate.run(*words, "--help")
    assert ran.code == 0
    assert f"For example `tidegate {arguments[0]}" in " ".join(ran.out.split())


@pytest.mark.parametrize("arguments", [*COMMANDS[2:]], ids=" ".join)
@pytest.mark.parametrize("answer", [b"hello\n", b"\xff\n", b"[1]\n", b'{"ok": 7}\n', b'{"error": "no"}\n'])
def test_an_answer_of_another_version_is_told_not_traced(gate: Gate, arguments: list[str], answer: bytes) -> None:
    ran, _ = gate.ask(*arguments, answer=answer)
    assert ran.code == 3
    assert "as another version would" in ran.err


@pytest.mark.parametrize("answer", [None, b'{"ok": {'])
def test_a_gateway_that_hangs_up_is_exit_3(gate: Gate, answer: bytes | None) -> None:
    with gate.answering(answer), pytest.raises(GatewayUnreachableError, match="closed the connection"):
        talk.ask_once(None, None, "commands", dict)


def test_what_a_busy_gateway_says_as_it_hangs_up_unasked_is_heard(tmp_path: Path) -> None:
    doorway = Doorway(tmp_path)
    doorway.socket.setblocking(True)
    with talk.talking(str(tmp_path), None) as conversation:
        host, _ = doorway.socket.accept()
        host.sendall(b'{"error": {"type": "busy", "message": "64 connections are open; close one"}}\n')
        host.close()
        with pytest.raises(UsageError, match="64 connections are open"):
            conversation.ask("commands", dict)
    doorway.close()


def test_a_gateway_that_is_silent_is_given_up(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talk, "ANSWER_TIMEOUT_S", 0.05)
    began_s = time.monotonic()
    silent = gate.answering(b"")
    with (
        silent,
        talk.talking(None, None) as conversation,
        pytest.raises(GatewayUnreachableError, match="does not answer"),
    ):
        conversation.exchange("commands", dict, within_s=0.1)
    assert time.monotonic() - began_s >= 0.15


def test_a_request_beyond_what_a_gateway_reads_is_not_sent(gate: Gate) -> None:
    with gate.answering() as gateway:
        ran = gate.run("get", "x" * 70_000)
    assert (ran.code, gateway.asked) == (2, [])
    assert "a gateway takes up to 65,536" in ran.err


def test_half_a_character_is_printed_as_json_writes_it() -> None:
    assert talk.json_text({"value": "\ud800", "units": "°"}) == '{"value": "\\ud800", "units": "\\u00b0"}'


def test_an_empty_token_of_the_environment_is_handed_on_to_be_refused(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEGATE_TOKEN", "")
    _, asked = gate.ask("get", "a/b/c", answer={"ok": {"value": 1, "age_s": 0.0}})
    assert asked["token"] == ""


@pytest.mark.parametrize("command", ["status", "devices", "routes", "watch"])
def test_who_only_looks_may_do_so_by_a_token_too(gate: Gate, command: str) -> None:
    _, asked = gate.ask(command, "--token", "tg1.a.b", answer=error("DeniedError", "no"))
    assert asked["token"] == "tg1.a.b"
