"""`tidegate hil agent` as a process of its own, with a real serial port behind it: killed, stopped, started again."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from gateway.errors import PortLostError, PortTimeoutError
from hil.agent.client import connect
from hil.agent.dialling import start
from hil.agent.errors import AgentLostError, AgentRefusedError
from hil.lease import LeaseLostError, Pool
from tests.hil.agent.agents import payloads
from tests.hil.agent.boards import AGENT
from tests.waiting import WITHIN_S, heard, until


def said(stream, size):
    """What the board said, in one piece or more."""
    return heard(lambda: b"".join(payload for _, payload, _ in stream.read(0.1)), size)


def stdio(board, *more):
    return lambda: start([*AGENT, "--stdio", "--rig", str(board.rig), *more])


def test_bytes_go_both_ways_through_a_real_port(board, agents):
    _, address = agents()
    with connect(address, "uart0") as stream:
        board.say(b"hello")
        assert said(stream, 5) == b"hello"
        stream.write(b"version\r\n")
        assert board.heard(9) == b"version\r\n"


def test_an_agent_that_is_told_to_end_does(agents):
    process, _ = agents()
    process.terminate()
    assert process.wait(WITHIN_S) == 0


def test_over_the_pipes_of_ssh_it_is_the_same(board):
    with connect("ssh://pi", "uart0", line=stdio(board)) as stream:
        board.say(b"hello")
        assert said(stream, 5) == b"hello"
        stream.write(b"version\r\n")
        assert board.heard(9) == b"version\r\n"


def test_over_pipes_in_place_of_a_socket_too(board):
    words = ["sh", "-c", 'cat | "$@" | cat', "-", *AGENT, "--stdio", "--rig", str(board.rig)]
    with connect("ssh://pi", "uart0", line=lambda: start(words)) as stream:
        stream.write(b"version\r\n")
        assert board.heard(9) == b"version\r\n"


def test_why_the_far_end_did_not_start_is_told(board):
    board.rig.unlink()
    with pytest.raises(AgentLostError, match=r"rig\.toml cannot be read"):
        connect("ssh://pi", "uart0", line=stdio(board))


def test_a_killed_agent_is_told_as_a_gap_when_it_is_back(board, agents):
    process, address = agents()
    with connect(address, "uart0") as stream:
        board.say(b"1")
        assert payloads(stream, 1) == [b"1"]
        process.kill()
        process.wait()
        agents(int(address.rpartition(":")[2]))
        until(lambda: stream.gaps)
        board.say(b"2")
        assert payloads(stream, 1) == [b"2"]
        assert [gap.records for gap in stream.gaps] == [0]
        stream.write(b"x")
        assert board.heard(1) == b"x"


def test_a_killed_agent_that_stays_away_is_a_lost_port(agents):
    process, address = agents()
    with connect(address, "uart0", patience_s=0.5) as stream:
        process.kill()
        with pytest.raises(PortLostError, match=r"no agent for 0\.5 s"):
            stream.read(WITHIN_S)


def test_a_stopped_agent_is_noticed_and_nothing_that_it_read_is_lost(board, agents):
    process, address = agents()
    with connect(address, "uart0", beat_s=0.2, silence_s=1.0) as stream:
        process.send_signal(signal.SIGSTOP)
        with pytest.raises((PortTimeoutError, PortLostError)):
            stream.write(b"?", timeout_s=3)
        board.say(b"meanwhile")
        process.send_signal(signal.SIGCONT)
        assert said(stream, 9) == b"meanwhile"
        assert not stream.gaps


def test_a_runner_without_a_lease_is_refused_and_one_that_lost_it_is_thrown_out(board, agents, tmp_path):
    pool = Pool(tmp_path / "pool")
    pool.put("a")
    _, address = agents(0, "--pool", pool.path)
    with pytest.raises(AgentRefusedError, match="lease"):
        connect(address, "uart0")
    lease = pool.take("name=a")
    with connect(address, "uart0", lease_token=lease.token) as stream:
        stream.write(b"mine")
        pool.kick("a")
        with pytest.raises(LeaseLostError):
            stream.write(b"not mine")
    assert board.heard(4) == b"mine"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "either --listen HOST:PORT or --stdio"),
        (["--stdio", "--listen", "127.0.0.1:0"], "either --listen HOST:PORT or --stdio"),
        (["--listen", "0.0.0.0:0"], "give --cert and --key"),
        (["--listen", "127.0.0.1:0", "--cert", "x"], "give both --cert and --key"),
        (["--listen", "127.0.0.1:0", "--client-ca", "x"], "--client-ca asks runners for certificates"),
        (["--listen", "127.0.0.1:0", "--target", "b"], "has no target 'b'"),
        (["--stdio"], "--stdio speaks with a program"),
    ],
)
def test_wrong_use_is_told_in_one_line(board, words, told):
    rig = ["--rig", str(board.rig)] if words else []
    command = [*AGENT, *words, *rig]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_rig_file_may_name_a_board_that_hangs_on_another_machine(board, agents, tmp_path):
    _, address = agents()
    (tmp_path / "here.toml").write_text(
        f'[rig]\nname = "far"\n[target.a]\nstates = ["powered"]\n'
        f'[target.a.resource.uart0]\nprotocol = "uart"\nagent = "{address}"\nbaud = 115200\n'
    )
    (tmp_path / "test_far.py").write_text(
        "def test_far(uart):\n    uart.write(b'ping')\n    assert uart.read(4, timeout=60) == b'pong'\n"
    )
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "test_far.py", "--hil-rig", "here.toml"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as run:
        assert board.heard(4, 2 * WITHIN_S) == b"ping"  # a whole pytest starts before it
        board.say(b"pong")
        out, _ = run.communicate(timeout=120)
    assert run.returncode == 0, out


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('agent = "pi:x"', "'pi:x' is no address of an agent"),
        ('agent = "pi"\nport = "/dev/x"', "the agent knows the port"),
    ],
)
def test_a_wrong_agent_in_a_rig_file_is_told_with_its_line(tmp_path, line, told):
    file = tmp_path / "rig.toml"
    file.write_text(f'[rig]\nname = "r"\n[target.a.resource.uart0]\nprotocol = "uart"\n{line}\n')
    words = [sys.executable, "-m", "gateway", "hil", "check", str(file)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert f"{file}:5: target.a.resource.uart0.agent: {told}" in done.stdout
