"""`tidegate send` over real pseudo-terminals and a virtual CAN bus."""

import pytest
from click.testing import CliRunner

from gateway.cli import exit_code_of
from gateway.cli.send import command
from gateway.errors import GatewayError
from hil.sim.pty import Cable
from tests.waiting import WITHIN_S, heard


@pytest.fixture
def cable(tmp_path):
    cable = Cable(tmp_path / "ttyTEST0")
    cable.plug()
    yield cable
    cable.unplug()


def exit_code(result):
    return exit_code_of(result.exception) if isinstance(result.exception, GatewayError) else result.exit_code


def invoke(*arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def send(*arguments):
    result = invoke(*arguments)
    assert exit_code(result) == 0, result.output or result.exception
    return result


def test_bytes_arrive_as_they_were_given(cable):
    result = send(cable.path, "00 ff 0a0d 11 13", "--baud", "115200")

    assert heard(cable.receive, 6) == bytes.fromhex("00ff0a0d1113")
    assert "sent 6 bytes" in result.stderr


@pytest.mark.parametrize(
    ("options", "body", "wire"),
    [
        (["--framing", "cobs"], "01 00", "02010100"),
        (["--profile", "ublox-nav"], "0135 0000", "b562 0135 0000 36a3"),  # the poll of NAV-SAT
    ],
)
def test_a_body_is_framed_when_asked(cable, options, body, wire):
    send(cable.path, body, *options)

    assert heard(cable.receive, len(bytes.fromhex(wire))) == bytes.fromhex(wire)


def test_a_can_frame_arrives_with_its_id():
    can = pytest.importorskip("can")
    with can.Bus(interface="virtual", channel="send-test") as bus:
        send("virtual:send-test", "0102", "--address", "18FEF100")
        message = bus.recv(WITHIN_S)

    assert (message.arbitration_id, message.is_extended_id, bytes(message.data)) == (0x18FEF100, True, b"\x01\x02")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["/dev/nowhere", "00"], 3),
        (["/dev/nowhere", "0g"], 2),
        (["/dev/nowhere", "00", "--address", "123"], 2),
        (["can0", "00"], 2),
        (["can0", "00", "--address", "xyz"], 2),
        (["/dev/nowhere", "00", "--framing", "line", "--profile", "pms5003"], 2),
        (["/dev/nowhere", "00", "--profile", "pms5003", "--baud", "-1"], 2),
        (["/dev/nowhere", "00" * 30, "--profile", "sds011"], 2),
        (["replay:/dev/null", "00"], 3),
    ],
)
def test_what_cannot_be_sent_says_why(arguments, code):
    assert exit_code(invoke(*arguments)) == code
