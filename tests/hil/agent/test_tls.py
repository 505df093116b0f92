"""Who may speak to an agent over a network, with real certificates over loopback."""

from __future__ import annotations

import datetime as dt

import pytest
import trustme

from gateway.errors import UsageError
from hil.agent.client import connect
from hil.agent.dialling import Keys, address_of, ssh_command
from hil.agent.errors import AgentLostError, AgentRefusedError
from hil.agent.tls import Papers, check_listening, is_loopback, secret_of, server_context
from tests.hil.agent.agents import PlayedPort, payloads, serving
from tests.waiting import until

SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def papers(tmp_path_factory):
    """A folder of certificates: of the authority `ca`, and of a stranger."""
    folder = tmp_path_factory.mktemp("papers")
    for authority in ("ca", "stranger"):
        ca = trustme.CA()
        ca.cert_pem.write_to_path(str(folder / f"{authority}.pem"))
        past = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
        for name, host, end in (
            ("agent", "127.0.0.1", None),
            ("runner", "runner", None),
            ("old", "127.0.0.1", past),
            ("elsewhere", "192.0.2.1", None),
        ):
            cert = ca.issue_cert(host, not_after=end)
            cert.private_key_and_cert_chain_pem.write_to_path(str(folder / f"{authority}-{name}.pem"))
    (folder / "token").write_text(SECRET + "\n")
    (folder / "other-token").write_text("f" * 32)
    return folder


def settings(papers, name="ca-agent", client_ca=None):
    file = papers / f"{name}.pem"
    return Papers(file, file, papers / f"{client_ca}.pem" if client_ca else None)


def keys(papers, authority="ca", certificate=None, token=None):
    return Keys(
        papers / f"{authority}.pem",
        papers / f"{certificate}.pem" if certificate else None,
        None,
        papers / token if token else None,
    )


def test_with_certificates_on_both_sides_all_is_well(papers):
    port = PlayedPort()
    with (
        serving(port, tls=settings(papers, client_ca="ca")) as (_, address),
        connect(address, "uart0", keys=keys(papers, certificate="ca-runner")) as stream,
    ):
        stream.write(b"x" * 60_000)
        port.feed(b"y" * 60_000)
        assert payloads(stream, 1) == [b"y" * 60_000]
        assert port.writes == [(b"x" * 60_000, None)]


@pytest.mark.parametrize("certificate", [None, "stranger-runner", "ca-old"])
def test_a_runner_without_a_good_certificate_is_not_let_in(papers, certificate):
    port = PlayedPort()
    with (
        serving(port, tls=settings(papers, client_ca="ca")) as (_, address),
        pytest.raises(AgentLostError),
    ):
        connect(address, "uart0", keys=keys(papers, certificate=certificate))
    assert port.opened == 0


@pytest.mark.parametrize(
    ("name", "told"),
    [("stranger-agent", "unable to get local issuer"), ("ca-old", "expired"), ("ca-elsewhere", "IP address mismatch")],
)
def test_an_agent_that_is_not_who_it_should_be_is_not_spoken_to(papers, name, told):
    with (
        serving(PlayedPort(), tls=settings(papers, name)) as (_, address),
        pytest.raises(UsageError, match=f"is not who it should be: .*{told}"),
    ):
        connect(address, "uart0", keys=keys(papers))


def test_a_token_over_tls_lets_in(papers):
    port = PlayedPort()
    with (
        serving(port, tls=settings(papers), secret=lambda: SECRET) as (_, address),
        connect(address, "uart0", keys=keys(papers, token="token")) as stream,
    ):
        stream.write(b"x")
    assert port.writes == [(b"x", None)]


@pytest.mark.parametrize("token", [None, "other-token"])
def test_a_wrong_token_or_none_is_refused_and_counted(papers, token):
    port = PlayedPort()
    with serving(port, tls=settings(papers), secret=lambda: SECRET) as (agent, address):
        with pytest.raises(AgentRefusedError, match="its token is not this agent's"):
            connect(address, "uart0", keys=keys(papers, token=token))
        until(lambda: agent.counts["refused"] == 1)
    assert port.opened == 0


def test_a_runner_that_speaks_in_the_clear_gets_nothing_from_tls(papers):
    told = "TIDEGATE_AGENT_CA|broke"  # it closes, or resets where the runner has sent more
    with serving(PlayedPort(), tls=settings(papers)) as (_, address), pytest.raises(AgentLostError, match=told):
        connect(address, "uart0", keys=Keys())


def test_a_runner_that_speaks_tls_to_a_clear_agent_is_told(papers):
    with serving(PlayedPort()) as (_, address), pytest.raises(AgentLostError, match="does not speak TLS as we do"):
        connect(address, "uart0", keys=keys(papers))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "pi.local"])
def test_a_network_is_never_served_in_the_clear_nor_everybody_in_it(host):
    with pytest.raises(UsageError, match="--cert and --key"):
        check_listening(host, has_tls=False, knows_runners=True)
    with pytest.raises(UsageError, match="--client-ca or --token-file"):
        check_listening(host, has_tls=True, knows_runners=False)
    check_listening(host, has_tls=True, knows_runners=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.3.2.1"])
def test_this_machine_alone_may_be_served_in_the_clear(host):
    assert is_loopback(host)
    check_listening(host, has_tls=False, knows_runners=False)


def test_files_that_are_no_certificates_are_named(papers, tmp_path):
    with pytest.raises(UsageError, match=r"token.* no certificate and its key"):
        server_context(papers / "token", papers / "token", None)
    with pytest.raises(UsageError, match=r"nothing\.pem is no certificate authority"):
        server_context(papers / "ca-agent.pem", papers / "ca-agent.pem", tmp_path / "nothing.pem")


@pytest.mark.parametrize("text", ["", "short", "\xff" * 20])
def test_a_token_file_that_holds_none_is_refused(tmp_path, text):
    (tmp_path / "token").write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match="token"):
        secret_of(tmp_path / "token")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pi.local:1", ("pi.local", 1)),
        ("pi", ("pi", 4716)),
        ("[::1]:9", ("::1", 9)),
        ("127.0.0.1:0", ("127.0.0.1", 0)),
    ],
)
def test_an_address_has_a_host_and_perhaps_a_port(text, expected):
    assert address_of(text) == expected


@pytest.mark.parametrize("text", ["", ":1", "pi:x", "pi:99999", "a@pi", "pi/x", "[::1"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(UsageError, match="is no address of an agent"):
        address_of(text)


def test_ssh_starts_the_agent_at_its_far_end():
    words = ssh_command("ssh://ann@pi:2222/home/ann/my rig.toml", "a")
    assert words[0] == "ssh"
    assert words[-4:] == [
        "2222",
        "--",
        "ann@pi",
        "tidegate hil agent --stdio --rig '/home/ann/my rig.toml' --target a",
    ]


@pytest.mark.parametrize("agent", ["ssh://", "ssh://-oProxyCommand=x", "ssh://-x@pi", "ssh://a:b@pi", "ssh://pi:x"])
def test_what_ssh_would_take_for_something_else_is_refused(agent):
    with pytest.raises(UsageError, match="is no address of an agent"):
        ssh_command(agent, None)
