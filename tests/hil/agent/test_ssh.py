"""The agent over real ssh: an sshd of the test's own on a free port, with keys made for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from gateway.errors import PortLostError
from hil.agent.client import connect
from hil.agent.errors import AgentLostError
from tests.hil.agent.agents import payloads
from tests.hil.agent.sshd import Sshd, is_installed
from tests.waiting import until

pytestmark = pytest.mark.skipif(
    not is_installed(), reason="sshd or ssh is missing: sudo apt install openssh-server openssh-client"
)


@pytest.fixture
def sshd(tmp_path, monkeypatch):
    folder = tmp_path / "ssh"
    folder.mkdir()
    made = Sshd(folder)
    monkeypatch.setenv("PATH", f"{made.binaries}:{os.environ['PATH']}")
    yield made
    made.stop()


def url(sshd, board):
    return f"ssh://{sshd.address}{board.rig}"


def test_ssh_starts_the_agent_and_bytes_go_both_ways(sshd, board):
    with connect(url(sshd, board), "uart0", target="a") as stream:
        board.say(b"hello")
        assert b"".join(payloads(stream, 1)) == b"hello"
        stream.write(b"version\r\n")
        assert board.heard(9) == b"version\r\n"
        assert stream.clock_offset.uncertainty_ns > 0


def test_the_agent_ends_with_its_runner_and_gives_the_port_back(sshd, board):
    for _ in range(2):
        with connect(url(sshd, board), "uart0", target="a") as stream:
            stream.write(b"x")
            assert board.heard(1) == b"x"
    until(lambda: not sshd.sessions())


def test_a_runner_that_is_killed_takes_its_agent_with_it(sshd, board):
    program = (
        "import sys, time\nfrom hil.agent.client import connect\n"
        "with connect(sys.argv[1], 'uart0', target='a') as stream:\n    stream.write(b'x')\n    time.sleep(600)\n"
    )
    runner = subprocess.Popen([sys.executable, "-c", program, url(sshd, board)])
    assert board.heard(1) == b"x"
    runner.kill()
    runner.wait()
    until(lambda: not sshd.sessions())


def test_what_is_wrong_at_the_far_end_is_told_in_its_words(sshd, board):
    board.rig.unlink()
    with pytest.raises(AgentLostError, match=r"rig\.toml cannot be read"):
        connect(url(sshd, board), "uart0")
    sshd.tidegate.unlink()
    with pytest.raises(AgentLostError, match=r"tidegate: .*not found; there an ssh session needs tidegate on its PATH"):
        connect(url(sshd, board), "uart0")


def test_an_unknown_host_is_not_spoken_to_and_nobody_is_asked(sshd, board):
    (sshd.folder / "known_hosts").write_text("")
    with pytest.raises(AgentLostError, match="Host key verification failed"):
        connect(url(sshd, board), "uart0")


def test_a_key_that_is_not_let_in_is_told(sshd, board):
    (sshd.folder / "authorized").write_text("")
    with pytest.raises(AgentLostError, match="Permission denied"):
        connect(url(sshd, board), "uart0")


def test_a_cut_session_is_told_as_a_gap_and_ssh_starts_the_agent_anew(sshd, board):
    with connect(url(sshd, board), "uart0", target="a") as stream:
        board.say(b"1")
        assert payloads(stream, 1) == [b"1"]
        for pid in sshd.sessions():
            os.kill(pid, signal.SIGKILL)
        until(lambda: stream.gaps)
        board.say(b"2")
        assert payloads(stream, 1) == [b"2"]
        assert [gap.records for gap in stream.gaps] == [0]
        stream.write(b"x")
        assert board.heard(1) == b"x"


def test_a_machine_that_stays_away_is_a_lost_port(sshd, board):
    with connect(url(sshd, board), "uart0", target="a", patience_s=0.5) as stream:
        sshd.stop()
        with pytest.raises(PortLostError, match=r"no agent for 0\.5 s: ssh: connect to host .*refused"):
            stream.read(60)


def test_a_network_that_falls_silent_does_not_let_the_first_agent_keep_the_port_from_the_second(sshd, board):
    with connect(url(sshd, board), "uart0", target="a", beat_s=0.2, silence_s=1.0) as stream:
        sessions = sshd.sessions()
        for pid in sessions:
            os.kill(pid, signal.SIGSTOP)
        try:
            until(lambda: stream.gaps, 60)
            stream.write(b"x")
            assert board.heard(1) == b"x"
        finally:
            for pid in sessions:
                os.kill(pid, signal.SIGCONT)
