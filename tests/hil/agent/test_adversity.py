"""What happens to agents that run for long: clocks, versions, tokens, papers, other runners. All real processes."""

from __future__ import annotations

import datetime as dt
import signal
import subprocess
import sys
import time

import pytest
import trustme

from gateway.errors import GatewayError, UsageError
from hil.agent.client import connect
from hil.agent.dialling import Keys
from hil.agent.errors import AgentLostError, AgentRefusedError
from hil.lease import LeaseLostError, Pool
from tests.hil.agent.agents import payloads
from tests.waiting import until

FAST = {"beat_s": 0.2, "silence_s": 20.0}
DAY_NS = 86_400 * 10**9
NEAR_NS = 30 * 10**9  # as near as a crowded machine must come
GOOD, OTHER = "0123456789abcdef" * 2, "fedcba9876543210" * 2


@pytest.fixture
def start(board):
    """Starts another kind of agent; gives its process and its address."""
    started = []

    def listen(module, *words):
        command = [sys.executable, "-m", f"tests.hil.agent.{module}", *map(str, words)]
        started.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
        line = started[-1].stderr.readline()
        assert line.startswith("serving a (uart0) on "), line + started[-1].stderr.read()
        return started[-1], line.split(" on ")[1].split(",")[0].strip()

    yield listen
    for process in started:
        process.kill()
        process.wait()
        process.stderr.close()


def replaced(file, text):
    """Write a file as those do who keep tokens and papers: it is the old one or the new one, and nothing between."""
    new = file.with_name(f".{file.name}")
    new.write_text(text)
    new.replace(file)


# ---- clocks


def test_a_clock_that_jumps_beside_the_board_does_not_jump_here(board, start):
    process, address = start("jumping_agent", board.rig.with_name("tty"))
    with connect(address, "uart0", **FAST) as stream:
        at_first_ns = stream.clock_offset.offset_ns
        for number, ahead_ns in ((signal.SIGUSR1, DAY_NS), (signal.SIGUSR2, 0)):
            process.send_signal(number)
            until(lambda ahead_ns=ahead_ns: abs(stream.clock_offset.offset_ns - at_first_ns - ahead_ns) < NEAR_NS)
            board.say(b"x")
            (record,) = stream.read(60)
            assert abs(stream.local_ns(record.stamp_ns) - time.monotonic_ns()) < NEAR_NS
        assert not stream.gaps


# ---- versions


def test_an_agent_of_another_version_is_told_with_both(board, start):
    _, address = start("foreign_agent", "--rig", board.rig, "--listen", "127.0.0.1:0")
    with pytest.raises(AgentRefusedError, match="it speaks version 1, this agent 2; update the older"):
        connect(address, "uart0")


def test_an_agent_that_is_updated_in_mid_test_ends_the_stream_at_once(board, agents, start):
    process, address = agents()
    with connect(address, "uart0", **FAST) as stream:
        process.kill()
        process.wait()
        start("foreign_agent", "--rig", board.rig, "--listen", address)
        with pytest.raises(AgentRefusedError, match="it speaks version 1, this agent 2"):
            stream.read(60)


# ---- tokens


def test_a_token_that_is_withdrawn_ends_its_runner_and_lets_in_who_has_the_new_one(agents, tmp_path):
    file, mine = tmp_path / "token", tmp_path / "mine"
    file.write_text(GOOD)
    mine.write_text(GOOD)
    _, address = agents(0, "--token-file", file)
    with connect(address, "uart0", keys=Keys(token_file=mine)) as stream:
        stream.write(b"x")
        replaced(file, OTHER)
        with pytest.raises(AgentRefusedError, match="its token was withdrawn"):
            stream.read(60)
    with pytest.raises(AgentRefusedError, match="its token is not this agent's"):
        connect(address, "uart0", keys=Keys(token_file=mine))
    mine.write_text(OTHER)
    connect(address, "uart0", keys=Keys(token_file=mine)).close()


def test_without_its_token_file_an_agent_lets_nobody_in(agents, tmp_path):
    file, mine = tmp_path / "token", tmp_path / "mine"
    file.write_text(GOOD)
    mine.write_text(GOOD)
    _, address = agents(0, "--token-file", file)
    file.unlink()
    with pytest.raises(AgentRefusedError, match="its token is not this agent's"):
        connect(address, "uart0", keys=Keys(token_file=mine))


# ---- papers


class Papers:
    """An authority, and what it signed for an agent and a runner."""

    def __init__(self, folder):
        self.folder = folder
        self._authority = trustme.CA()
        self._authority.cert_pem.write_to_path(str(folder / "ca.pem"))
        self.agent, self.runner = folder / "agent.pem", folder / "runner.pem"
        self.sign(self.agent)
        self.sign(self.runner, host="runner")
        self.words = ("--cert", self.agent, "--key", self.agent, "--client-ca", folder / "ca.pem")
        self.keys = Keys(folder / "ca.pem", self.runner)

    def sign(self, file, host="127.0.0.1", valid_s=None):
        end = None if valid_s is None else dt.datetime.now(dt.UTC) + dt.timedelta(seconds=valid_s)
        replaced(file, self._authority.issue_cert(host, not_after=end).private_key_and_cert_chain_pem.bytes().decode())


@pytest.fixture
def papers(tmp_path):
    return Papers(tmp_path)


def test_an_agent_whose_certificate_expired_is_spoken_to_again_when_that_is_renewed(agents, papers):
    papers.sign(papers.agent, valid_s=1)
    _, address = agents(0, *papers.words)
    time.sleep(1.1)
    with pytest.raises(UsageError, match="is not who it should be: certificate has expired"):
        connect(address, "uart0", keys=papers.keys)
    papers.sign(papers.agent)

    def is_let_in():
        try:
            connect(address, "uart0", keys=papers.keys).close()
        except UsageError:
            return False
        return True

    until(is_let_in)


def test_a_renewal_that_is_none_leaves_the_certificate_as_it_is(agents, papers):
    process, address = agents(0, *papers.words)
    replaced(papers.agent, "nothing that is a certificate")
    assert "certificate not renewed: reason=" in process.stderr.readline()
    connect(address, "uart0", keys=papers.keys).close()


def test_an_agent_that_comes_back_with_an_expired_certificate_ends_the_stream(agents, papers):
    process, address = agents(0, *papers.words)
    with connect(address, "uart0", keys=papers.keys, **FAST) as stream:
        process.kill()
        process.wait()
        papers.sign(papers.agent, valid_s=-1)
        agents(int(address.rpartition(":")[2]), *papers.words)
        with pytest.raises(UsageError, match="certificate has expired"):
            stream.read(60)


def test_a_runner_whose_certificate_expires_goes_on_until_it_must_come_back(agents, papers):
    process, address = agents(0, *papers.words)
    with connect(address, "uart0", keys=papers.keys, patience_s=2, **FAST) as stream:
        papers.sign(papers.runner, host="runner", valid_s=-1)
        stream.write(b"x")
        process.kill()
        process.wait()
        agents(int(address.rpartition(":")[2]), *papers.words)
        with pytest.raises(GatewayError, match=r"no agent for 2 s: .*does it take our certificate"):
            stream.read(60)
    with pytest.raises(AgentLostError):
        connect(address, "uart0", keys=papers.keys)


# ---- other runners


HOLDER = """\
import sys
from hil.agent.client import connect
with connect(sys.argv[1], "uart0", lease_token=int(sys.argv[2])) as stream:
    print("in", flush=True)
    try:
        while True:
            stream.read(60)
    except Exception as error:
        print(type(error).__name__, flush=True)
"""


@pytest.fixture
def other():
    """Starts a runner in a process of its own that keeps the port."""
    started = []

    def hold(address, token=0):
        words = [sys.executable, "-c", HOLDER, address, str(token)]
        started.append(subprocess.Popen(words, stdout=subprocess.PIPE, text=True))
        assert started[-1].stdout.readline() == "in\n"
        return started[-1]

    yield hold
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def test_of_two_runners_the_first_keeps_the_port_until_it_is_gone(board, agents, other):
    _, address = agents()
    first = other(address)
    with pytest.raises(AgentRefusedError, match=r"uart0 is in use by 127\.0\.0\.1"):
        connect(address, "uart0")
    first.kill()
    first.wait()

    def is_let_in():
        try:
            with connect(address, "uart0") as stream:
                board.say(b"x")
                assert payloads(stream, 1) == [b"x"]
        except AgentRefusedError:
            return False
        return True

    until(is_let_in)


def test_of_two_runners_the_one_with_the_later_lease_has_the_port(agents, other, tmp_path):
    pool = Pool(tmp_path / "pool")
    pool.put("a")
    _, address = agents(0, "--pool", pool.path)
    first = other(address, pool.take("name=a").token)
    pool.kick("a")
    later = pool.take("name=a", wait_s=30)
    with connect(address, "uart0", lease_token=later.token) as stream:
        stream.write(b"x")
    assert first.stdout.readline() == f"{LeaseLostError.__name__}\n"
