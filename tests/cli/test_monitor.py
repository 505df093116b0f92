"""`tidegate monitor` over real pseudo-terminals, a virtual CAN bus and recordings."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

from gateway.cli import exit_code_of
from gateway.cli.monitor import command
from gateway.cli.wire import bus_of, framing_of
from gateway.errors import GatewayError, UsageError
from gateway.framing.spec import CheckSpec, Cobs, Line
from hil.sim.pty import Cable
from tests.waiting import WITHIN_S, first_met

PMS = bytes.fromhex("424d001c000c0023002f000b001e00290834028000780010000400019700033d")


@pytest.fixture
def cable(tmp_path):
    cable = Cable(tmp_path / "ttyTEST0")
    cable.plug()
    yield cable
    cable.unplug()


def started(*arguments):
    command = [sys.executable, "-m", "gateway", "monitor", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def hear(cable, process, data, until):
    """Speak until the monitor, which is starting up, shows a line with `until` in it; return all lines."""
    os.set_blocking(process.stdout.fileno(), False)
    seen = b""
    give_up_s = time.monotonic() + WITHIN_S
    while until not in seen:
        assert time.monotonic() < give_up_s, seen
        assert process.poll() is None, process.stderr.read()
        cable.send(data)
        time.sleep(0.1)
        seen += process.stdout.read() or b""
    return seen.decode().splitlines()


def test_raw_bytes_stand_beside_the_values_in_them(cable):
    with started(cable.path, "--profile", "pms5003") as process:
        shown = hear(cable, process, PMS, b"particles")
        process.send_signal(signal.SIGINT)
        assert process.wait(WITHIN_S) == 0
        assert process.stderr.read() == b""

    assert any("< 42 4d 00 1c 00 0c 00 23 00 2f 00 0b 00 1e 00 29 |BM.....#./.....)|" in line for line in shown)
    assert any("data pm1_0_cf1=12 ug/m3 pm2_5_cf1=35 ug/m3" in line for line in shown)


def test_a_port_that_goes_away_is_exit_3_and_says_so(cable):
    with started(cable.path) as process:
        hear(cable, process, b"\x1b[31m hello", b"hello")
        cable.unplug()
        assert process.wait(WITHIN_S) == 3
        assert b"disappeared" in process.stderr.read()


def test_bytes_of_the_device_never_reach_the_terminal_as_they_are(cable):
    with started(cable.path, "--framing", "line") as process:
        shown = hear(cable, process, b"\x1b[31mred\n", b"frame [")
        process.send_signal(signal.SIGTERM)

    assert not any("\x1b" in line for line in shown)


def exit_code(result):
    return exit_code_of(result.exception) if isinstance(result.exception, GatewayError) else result.exit_code


def invoke(*arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def monitor(*arguments):
    result = invoke(*arguments)
    assert exit_code(result) == 0, result.output or result.exception
    return result.stdout


def test_a_recording_is_shown_to_its_end_with_what_is_left_over(tmp_path):
    (tmp_path / "log.bin").write_bytes(PMS + PMS[:10])

    shown = monitor(f"replay:{tmp_path}/log.bin?speed=0", "--profile", "pms5003", "--json")

    records = [json.loads(line) for line in shown.splitlines()]
    raw = b"".join(bytes.fromhex(record["hex"]) for record in records if "hex" in record)
    assert raw == PMS + PMS[:10]
    assert [record["values"]["pm2_5_cf1"] for record in records if "message" in record] == [35]
    assert [(record["garbage"], record["reason"]) for record in records if "garbage" in record] == [
        (PMS[:10].hex(), "cut")
    ]


def test_can_frames_are_shown_with_their_ids(tmp_path):
    (tmp_path / "drive.log").write_text(
        "(1700000000.5) can0 201#DC057D00516013AE\n(1700000001.5) can0 18FEF100#0102\n(1700000002.5) can0 201#R\n"
    )

    shown = monitor(f"replay:{tmp_path}/drive.log?speed=0", "--profile", "motor").splitlines()

    assert [line.partition("<")[2] for line in shown if "<" in line] == [
        " 201 [8] dc 05 7d 00 51 60 13 ae",
        " 18FEF100 [2] 01 02",
        " 201 [0]  remote",
    ]
    assert "status speed=1500 /min" in shown[1]
    assert "refused, unknown id: 01 02" in shown[3]
    assert "refused, remote" in shown[5]


def test_joined_parameter_groups_are_shown_with_the_id_of_the_group(tmp_path):
    (tmp_path / "truck.toml").write_text(
        '[profile]\nid = "test/truck@1.0.0"\n[link]\nbus = "can"\n[framing]\nkind = "j1939"\n[message.dm1]\n'
        'when = { pgn = 65226 }\nfields = [{ name = "all", type = "bytes", length = "rest" }]\n'
    )
    (tmp_path / "drive.log").write_text(
        "(1700000000.0) can0 18ECFF00#200E0002FFCAFE00\n(1700000000.1) can0 18EBFF00#0101020304050607\n"
        "(1700000000.2) can0 18EBFF00#0208090A0B0C0D0E\n"
    )

    shown = monitor(f"replay:{tmp_path}/drive.log?speed=0", "--profile", tmp_path / "truck.toml", "--json")

    records = [json.loads(line) for line in shown.splitlines()]
    assert [(record["address"], record["values"]["all"]) for record in records if "message" in record] == [
        ("18FECA00", "0102030405060708090a0b0c0d0e")
    ]


def test_frames_are_found_without_a_profile(tmp_path):
    (tmp_path / "log.bin").write_bytes(b"\x03\x01\x02\x00\x02\x05\x00")

    shown = monitor(f"replay:{tmp_path}/log.bin?speed=0", "--framing", "cobs", "--json")

    records = [json.loads(line) for line in shown.splitlines()]
    assert [record["frame"] for record in records if "frame" in record] == ["0102", "05"]


def test_watching_ends_by_itself_after_the_time_asked_for(cable):
    def watched():
        began_s = time.monotonic()
        assert monitor(cable.path, "--seconds", "0.3") == ""
        return time.monotonic() - began_s

    assert 0.3 <= first_met(watched, lambda took_s: took_s < 5) < 5


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["/dev/nowhere"], 3),
        (["/dev/nowhere", "--framing", "morse"], 2),
        (["/dev/nowhere", "--framing", "line", "--profile", "pms5003"], 2),
        (["/dev/nowhere", "--profile", "no-such"], 2),
        (["/dev/nowhere", "--profile", "motor", "--bus", "uart"], 2),
        (["can0", "--baud", "9600"], 2),
        (["replay:/nowhere.bin"], 3),
    ],
)
def test_what_cannot_be_watched_says_why(arguments, code):
    assert exit_code(invoke(*arguments)) == code


@pytest.mark.parametrize(
    ("port", "bus"),
    [
        ("/dev/ttyUSB0", "uart"),
        ("usb:0403:6001:A50285BI", "uart"),
        ("socket://10.0.0.1:7000", "uart"),
        ("can0", "can"),
        ("virtual:demo", "can"),
        ("replay:drive.log?speed=2", "can"),
        ("replay:capture.bin", "uart"),
        ("replay:adverts.jsonl", "ble"),
        ("/dev/spidev0.1", "spi"),
        ("hci0", "ble"),
    ],
)
def test_a_port_text_tells_its_bus(port, bus):
    assert bus_of(port) == bus


def test_a_framing_is_a_word_or_a_whole_table():
    assert framing_of("line") == Line()
    assert framing_of('kind = "cobs", check = { kind = "crc-16-modbus" }') == Cobs(
        check=CheckSpec(kind="crc-16-modbus")
    )
    assert framing_of('{ kind = "cobs" }') == Cobs()


def test_a_misspelt_framing_is_told_with_its_neighbour_or_all_there_are():
    with pytest.raises(UsageError, match="did you mean 'cobs'"):
        framing_of("cob")
    with pytest.raises(UsageError, match=r"one of cobs, slip, .*dsmr-p1"):
        framing_of("morse")


@pytest.mark.parametrize("text", ["", "morse", "kind =", 'kind = "cobs", size = 3', 'kind = "line", end = "x"', "a\nb"])
def test_what_is_no_framing_is_refused(text):
    with pytest.raises(UsageError, match="--framing"):
        framing_of(text)
