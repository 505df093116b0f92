"""What the doctor finds out about agents: real ones, over loopback and TLS."""

from __future__ import annotations

import json
import socket
import socketserver
import threading
from pathlib import Path
from typing import Any

import pytest
import trustme
from click.testing import CliRunner

from hil.agent.asking import ask
from hil.agent.client import connect
from hil.agent.dialling import Keys
from hil.agent.tls import Papers
from hil.cli.doctor import command
from hil.rigs.file import load
from hil.rigs.remote import Agent, reached
from tests.hil.agent.agents import PlayedPort, serving

RESOURCE = '[target.a.resource.{}]\nprotocol = "uart"\nagent = "{}"\n'
GONE = "127.0.0.1:1"  # nobody listens there


@pytest.fixture
def file(tmp_path: Path) -> Any:
    def write(*resources: tuple[str, str]) -> Path:
        lines = "".join(RESOURCE.format(*each) for each in resources)
        (tmp_path / "rig.toml").write_text('[rig]\nname = "r"\n' + lines)
        return tmp_path / "rig.toml"

    return write


def test_an_agent_that_answers_is_told_with_what_it_calls_its_ports(file: Any) -> None:
    with serving(PlayedPort("/dev/ttyA"), PlayedPort("/dev/ttyB")) as (_, address):
        agents, found = reached(load(file(("uart0", address), ("uart1", address))))
    assert agents == [Agent(address, True, "answers")]
    assert [(each.resource, each.port, each.node, each.works) for each in found] == [
        ("uart0", address, "/dev/ttyA", True),
        ("uart1", address, "/dev/ttyB", True),
    ]


def test_what_an_agent_has_not_is_told_with_the_nearest(file: Any) -> None:
    with serving(PlayedPort()) as (_, address):
        agents, (found,) = reached(load(file(("uart1", address))))
    assert (agents[0].answers, found.works, "did you mean 'uart0'" in found.message) == (True, False, True)


def test_a_port_that_is_not_plugged_in_at_an_agent_is_told(file: Any) -> None:
    port = PlayedPort()
    port.is_missing = True
    with serving(port) as (_, address):
        _, (found,) = reached(load(file(("uart0", address))))
    assert (found.works, "not plugged in" in found.message) == (False, True)


def test_a_port_that_somebody_uses_is_told_and_left_to_him(file: Any) -> None:
    port = PlayedPort()
    with serving(port) as (_, address), connect(address, "uart0") as stream:
        _, (found,) = reached(load(file(("uart0", address))))
        stream.write(b"still ours")
        assert port.writes == [(b"still ours", None)]
    assert (found.works, "in use by 127.0.0.1" in found.message) == (False, True)


def test_an_agent_that_is_not_there_is_asked_once_and_the_others_all_the_same(file: Any) -> None:
    asked: list[tuple[str, ...]] = []

    def counted(*words: str) -> Any:
        asked.append(words)
        return ask(*words)

    with serving(PlayedPort()) as (_, address):
        agents, found = reached(load(file(("x", GONE), ("y", GONE), ("uart0", address))), counted)
    assert {each.agent: each.answers for each in agents} == {GONE: False, address: True}
    assert {each.resource: each.works for each in found} == {"x": False, "y": False, "uart0": True}
    assert [words[0] for words in asked].count(GONE) == 1
    assert "tidegate hil agent" in agents[0].message


def test_one_that_takes_connections_and_says_nothing_is_given_up(file: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        ((agent,), (found,)) = reached(load(file(("uart0", address))), lambda *words: ask(*words, wait_s=0.1))
    assert (agent.answers, agent.message, found.works) == (False, f"{address} does not answer, in 0.1 s", False)


def test_one_that_is_no_agent_is_told(file: Any) -> None:
    class Web(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            self.request.recv(65_536)

    with socketserver.TCPServer(("127.0.0.1", 0), Web) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        ((agent,), (found,)) = reached(load(file(("uart0", f"127.0.0.1:{server.server_address[1]}"))))
    assert (agent.answers, "no agent as we know them" in agent.message, found.works) == (False, True, False)


def test_over_tls_it_is_asked_with_the_keys_of_the_environment(
    file: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    for name, host in (("agent", "127.0.0.1"), ("runner", "runner")):
        authority.issue_cert(host).private_key_and_cert_chain_pem.write_to_path(str(tmp_path / f"{name}.pem"))
    papers = Papers(tmp_path / "agent.pem", tmp_path / "agent.pem", tmp_path / "ca.pem")
    with serving(PlayedPort(), tls=papers) as (_, address):
        rig = load(file(("uart0", address)))
        (stranger,), _ = reached(rig, lambda *words: ask(*words, wait_s=5.0))
        for name, paper in (("CA", "ca.pem"), ("CERT", "runner.pem")):
            monkeypatch.setenv(f"TIDEGATE_AGENT_{name}", str(tmp_path / paper))
        assert Keys.of_environment().authority == tmp_path / "ca.pem"
        (known,), (found,) = reached(rig)
    assert (stranger.answers, known.answers, found.works) == (False, True, True)


def test_the_command_tells_agents_in_text_and_json_and_ends_in_1_without_one(file: Any) -> None:
    with serving(PlayedPort("/dev/ttyA")) as (_, address):
        path = str(file(("uart0", address)))
        told, text = CliRunner().invoke(command, ["--json", path]), CliRunner().invoke(command, [path])
    found = json.loads(told.stdout)
    assert (told.exit_code, text.exit_code) == (0, 0)
    assert found["agents"] == [{"agent": address, "answers": True, "message": "answers", "fix": ""}]
    assert [(each["resource"], each["node"]) for each in found["resources"]] == [("uart0", "/dev/ttyA")]
    assert f"ok  agent        {address}: answers" in text.stdout
    assert f"ok  a.uart0      {address} is /dev/ttyA: is there" in text.stdout
    gone = CliRunner().invoke(command, [str(file(("uart0", GONE)))])
    assert (gone.exit_code, f"no  agent        {GONE}: " in gone.stdout) == (1, True)
