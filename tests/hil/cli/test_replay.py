"""`tidegate hil replay` on real pseudo-terminals and a virtual CAN bus."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
import time
import tty
import uuid

import can
import pytest
from can.interfaces.virtual import channels
from click.testing import CliRunner

from gateway.errors import PortLostError
from hil.cli.replay import command
from hil.trace import Header, TraceWriter, make
from tests.waiting import WITHIN_S, first_met, until

MS = 1_000_000


def written(path, records, buses=None):
    buses = buses or {"uart0": {"protocol": "uart"}}
    writer = TraceWriter(path, Header(1, "2026-11-28T12:00:00Z", 7, buses))
    for record in records:
        writer.write(record)
    return path


@pytest.fixture
def line():
    ours, theirs = os.openpty()
    tty.setraw(ours)
    tty.setraw(theirs)
    yield ours, os.ttyname(theirs)
    os.close(ours)
    os.close(theirs)


def host(ours, *script):
    """Send and read as the script says, in a thread; return what was read, once it has ended."""
    read = []

    def work():
        for data, size in script:
            os.write(ours, data)
            got = b""
            while len(got) < size and select.select([ours], [], [], WITHIN_S)[0]:
                got += os.read(ours, 100)
            read.append(got)

    thread = threading.Thread(target=work)
    thread.start()
    return thread, read


def replayed(*arguments):
    done = CliRunner().invoke(command, [*map(str, arguments), "--json"])
    return done, json.loads(done.stdout) if done.stdout else None


PING = [
    make(0, "uart0", "tx", "bytes", b"ping"),
    make(2 * MS, "uart0", "rx", "bytes", b"pong"),
    make(10 * MS, "uart0", "tx", "bytes", b"more"),
    make(12 * MS, "uart0", "rx", "bytes", b"that"),
]


def test_a_host_that_does_as_in_the_trace_gets_its_answers_and_exit_0(tmp_path, line):
    thread, read = host(line[0], (b"ping", 4), (b"more", 4))
    done, answer = replayed(written(tmp_path / "a.trace", PING), "--to", f"uart0={line[1]}")
    thread.join()
    assert (done.exit_code, answer["diverged"], read) == (0, None, [b"pong", b"that"])


def test_a_host_that_does_otherwise_is_exit_1_with_the_record(tmp_path, line):
    thread, _ = host(line[0], (b"ping", 4), (b"less", 0))
    done, answer = replayed(written(tmp_path / "a.trace", PING), "--to", f"uart0={line[1]}", "--speed", "max")
    thread.join()
    assert done.exit_code == 1
    assert (answer["diverged"]["record"], answer["diverged"]["expected"]["data"]) == (3, b"more".hex())
    assert answer["diverged"]["got"]["data"] == b"less".hex()
    assert [record["data"] for record in answer["diverged"]["context"]] == [b"ping".hex(), b"pong".hex()]


def test_a_host_that_says_nothing_is_exit_1_after_the_time_out(tmp_path, line):
    path = written(tmp_path / "a.trace", PING)
    done, answer = replayed(path, "--to", f"uart0={line[1]}", "--timeout", "100ms")
    assert (done.exit_code, answer["diverged"]["record"], answer["diverged"]["got"]) == (1, 1, None)


def test_requests_in_another_order_are_fine_where_that_is_asked_for(tmp_path, line):
    thread, read = host(line[0], (b"more", 4), (b"ping", 4))
    path = written(tmp_path / "a.trace", PING)
    done, answer = replayed(path, "--to", f"uart0={line[1]}", "--order", "matched")
    thread.join()
    assert (done.exit_code, answer["diverged"], read) == (0, None, [b"that", b"pong"])


def test_frames_at_1_khz_keep_their_times(tmp_path, line):
    path = written(tmp_path / "a.trace", [make(n * MS, "uart0", "rx", "bytes", b"%04d" % n) for n in range(1000)])

    def played():
        """Return the median error in us, the drift in %, and how long it took for who listens, in s."""
        stamps = []

        def listen():
            got = 0
            while got < 4000 and select.select([line[0]], [], [], WITHIN_S)[0]:
                got += len(os.read(line[0], 100))
                stamps.append(time.monotonic())

        thread = threading.Thread(target=listen)
        thread.start()
        done, answer = replayed(path, "--to", f"uart0={line[1]}")
        thread.join()
        assert (done.exit_code, answer["timing"]["frames"]) == (0, 1000)
        return answer["timing"]["median_error_us"], abs(answer["timing"]["drift_percent"]), stamps[-1] - stamps[0]

    def is_as_promised(figures):
        return figures[0] < 1000 and figures[1] < 0.5 and figures[2] == pytest.approx(0.999, rel=0.05)

    figures = first_met(played, is_as_promised)
    assert is_as_promised(figures), figures


def test_can_frames_are_played_with_what_they_are(tmp_path):
    channel = f"replay-{uuid.uuid4()}"
    records = [
        make(0, "can0", "tx", "data", b"\1", id="123"),
        make(MS, "can0", "rx", "fd", bytes(12), id="18FEF100", brs=True, esi=True),
        make(MS, "can0", "rx", "remote", id="001", dlc=5),
        make(MS, "can0", "rx", "error", id="20000080"),
    ]
    path = written(tmp_path / "a.trace", records, {"can0": {"protocol": "can"}})
    with can.Bus(interface="virtual", channel=channel) as bus:

        def ask():
            until(lambda: len(channels[channel]) == 2)  # what is sent before the other is on the bus is nobody's
            bus.send(can.Message(arbitration_id=0x123, is_extended_id=False, data=b"\1"))

        asking = threading.Thread(target=ask)
        asking.start()
        done, answer = replayed(path, "--to", f"can0=virtual:{channel}")
        asking.join()
        got = [bus.recv(WITHIN_S), bus.recv(WITHIN_S)]
    assert (done.exit_code, answer["diverged"], answer["sent"]) == (0, None, 2)
    assert (got[0].arbitration_id, got[0].is_fd, got[0].bitrate_switch, got[0].error_state_indicator) == (
        0x18FEF100, True, True, True,
    )  # fmt: skip
    assert (got[1].is_remote_frame, got[1].dlc) == (True, 5)
    assert "1 x error cannot be sent" in done.stderr


@pytest.mark.parametrize(
    ("to", "words"),
    [
        ("uart0", "write BUS=PORT"),
        ("uart9=/dev/null", "no bus 'uart9'; did you mean 'uart0'"),
        ("ble0=hci0", "uart and can are played"),
    ],
)
def test_a_wrong_port_is_refused_with_the_next_step(tmp_path, to, words):
    buses = {"uart0": {"protocol": "uart"}, "ble0": {"protocol": "ble"}}
    done = CliRunner().invoke(command, [str(written(tmp_path / "a.trace", PING, buses)), "--to", to])
    assert words in str(done.exception) + done.output


def test_a_port_that_is_not_there_is_named(tmp_path):
    done = CliRunner().invoke(command, [str(written(tmp_path / "a.trace", PING)), "--to", "uart0=/dev/no-such-tty"])
    assert "/dev/no-such-tty is not there" in str(done.exception)


def test_a_terminal_whose_other_end_is_closed_ends_it_at_once_with_exit_3(tmp_path):
    ours, theirs = os.openpty()
    port = os.ttyname(theirs)
    closing = threading.Timer(0.5, os.close, [ours])
    closing.start()
    done, _ = replayed(written(tmp_path / "a.trace", PING), "--to", f"uart0={port}", "--timeout", "10m")
    closing.join()
    os.close(theirs)
    assert isinstance(done.exception, PortLostError)
    assert port in str(done.exception)


def test_a_wrong_speed_is_refused():
    done = CliRunner().invoke(command, ["a.trace", "--to", "uart0=/dev/null", "--speed", "fast"])
    assert (done.exit_code, "0.5x, or max" in done.output) == (2, True)


LOG = b"(1436509052.000000) can0 044#2A36\n(1436509052.000100) can0 045#01\n(1436509052.000200) can0 046#02\n"


@pytest.mark.parametrize(
    ("data", "code", "told", "sent"),
    [
        (LOG, 0, "", 3),
        (LOG.replace(b"045#01", b"0#01"), 1, "{}:2: no line of candump", 2),
        (LOG[:-1], 0, "{}:3: torn off", 3),
        (LOG[:-8], 0, "{}:3: torn off", 2),
        (b"hello\nthere\n", 2, "{}:1: no log of candump", None),
    ],
    ids=["whole", "damaged in its middle", "without its last end", "torn", "foreign"],
)
def test_what_is_damaged_in_another_programs_log_is_named_and_the_rest_played(tmp_path, data, code, told, sent):
    path = tmp_path / "x.log"
    path.write_bytes(data)
    words = ["hil", "replay", path, "--to", f"can0=virtual:{uuid.uuid4().hex}", "--speed", "max", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "gateway", *map(str, words)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == code, done.stderr
    assert told.format(path) in done.stderr
    assert (json.loads(done.stdout)["sent"] if done.stdout else None) == sent
