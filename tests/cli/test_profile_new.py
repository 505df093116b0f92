"""`tidegate profile new`: what it writes is a profile, and decodes the capture it was made from."""

import json
import random

import pytest
from click.testing import CliRunner

from gateway.cli import exit_code_of
from gateway.cli.decode import command as decode_command
from gateway.cli.profile_new import command
from gateway.errors import GatewayError
from gateway.framing.build import build_framer
from gateway.framing.spec import CheckSpec, Cobs, Slip
from gateway.profile.load import check_profile

PMS = bytes.fromhex("424d001c000c0023002f000b001e00290834028000780010000400019700033d")
SENTENCES = b"$GPGLL,5057.970,N,00146.110,E,142451,A*27\r\n$PGRME,15.0,M,45.0,M,25.0,M*1C\r\n" * 5
CANDUMP = b"".join(
    b"(%d.5) can0 %s#%02X0102\n" % (at, can_id, at) for at in range(9) for can_id in (b"123", b"18FEF100")
)


def new(*arguments, code=0):
    result = CliRunner().invoke(command, [str(argument) for argument in arguments])
    failure = exit_code_of(result.exception) if isinstance(result.exception, GatewayError) else result.exit_code
    assert failure == code, result.output or result.exception
    return result


def decoded(profile, capture, *options):
    result = CliRunner().invoke(decode_command, [str(profile), str(capture), *options])
    return [json.loads(line) for line in result.stdout.splitlines()]


def frames(framing, count=30):
    framer, source = build_framer(framing), random.Random(9)
    return b"".join(framer.encode(bytes([1 + at % 2, at]) + source.randbytes(3 + at % 9)) for at in range(count))


def pms_frames():
    """PMS5003 frames whose numbers move."""
    found = b""
    for at in range(12):
        body = PMS[:4] + bytes([0, at]) + PMS[6:-2]
        found += body + sum(body).to_bytes(2, "big")
    return found


CAPTURES = {
    "cobs": frames(Cobs(check=CheckSpec(kind="crc-16-ibm-3740"))),
    "slip": frames(Slip()),
    "pms": pms_frames(),
    "nmea": SENTENCES,
    "lines": b"temperature 21.5\nhumidity 40\n" * 5,
    "candump": CANDUMP,
}


@pytest.mark.parametrize("name", CAPTURES)
def test_the_profile_passes_check_and_decodes_the_whole_capture(name, tmp_path):
    capture, profile = tmp_path / "capture.dat", tmp_path / "new.toml"
    capture.write_bytes(CAPTURES[name])

    new("acme/thing", "--from", capture, "-o", profile)

    assert [str(problem) for problem in check_profile(profile) if problem.severity == "error"] == []
    records = decoded(profile, capture)
    assert len(records) >= 10
    refused = [record for record in records if "garbage" in record]
    assert [bytes.fromhex(record["garbage"])[:2] for record in refused] == ([b"$P"] * 5 if name == "nmea" else [])
    assert all(record["values"] for record in records if "values" in record)


def test_what_was_found_and_how_sure_it_is_is_told(tmp_path):
    (tmp_path / "capture.bin").write_bytes(CAPTURES["pms"])

    told = new("air", "--from", tmp_path / "capture.bin").stderr

    assert "high  length: 12 frames, 100% of 384 bytes: 42 4d, size = u16be at byte 2 + 4" in told
    assert "sum-16 from byte 0 at the end holds" in told


def test_a_capture_may_be_hex_lines(tmp_path):
    (tmp_path / "capture.txt").write_text("# a capture\n" + CAPTURES["pms"].hex(" "))

    text = new("air", "--from", tmp_path / "capture.txt").stdout

    assert 'start = "42 4d"' in text
    assert 'check = { kind = "sum-16" }' in text


def test_every_can_id_is_a_message(tmp_path):
    (tmp_path / "drive.log").write_bytes(CANDUMP)

    text = new("car", "--from", tmp_path / "drive.log").stdout

    assert "[message.id_123]\nwhen = { can_id = 0x123 }" in text
    assert "[message.id_18fef100]\nwhen = { can_id = 0x18fef100, extended = true }" in text
    assert '{ name = "byte_0", type = "u8" },' in text
    assert "byte 1: always 0x01" in text


@pytest.mark.parametrize("bus", ["uart", "can", "ble", "spi"])
def test_without_a_capture_it_is_a_place_to_begin(bus, tmp_path):
    new("acme/thing", "--bus", bus, "-o", tmp_path / "new.toml")

    assert [str(problem) for problem in check_profile(tmp_path / "new.toml") if problem.severity == "error"] == []


def test_the_name_of_a_capture_cannot_leave_its_comment(tmp_path):
    capture = tmp_path / "a\n[evil]\n.bin"
    capture.write_bytes(CAPTURES["pms"])

    assert "\n[evil]" not in new("air", "--from", capture).stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["two words"],
        ['quo"te'],
        ["x", "--from", "/nowhere.bin"],
        ["x", "--from", "/"],
        ["x", "--from", "/dev/null"],
        ["x", "--bus", "i2c"],
        ["x", "--bus", "ble", "--from", "/proc/self/cmdline"],
    ],
)
def test_what_cannot_be_made_is_exit_2(arguments):
    assert new(*arguments, code=2).stdout == ""


def test_a_file_that_is_there_is_never_overwritten(tmp_path):
    (tmp_path / "mine.toml").write_text("precious")

    new("x", "-o", tmp_path / "mine.toml", code=2)

    assert (tmp_path / "mine.toml").read_text() == "precious"


@pytest.mark.parametrize(("file", "name"), [("Pump 2 (new).bin", "pump-2-new"), ("---.bin", "my-device")])
def test_without_a_name_the_capture_gives_it(tmp_path, file, name):
    capture = tmp_path / file
    capture.write_bytes(pms_frames())
    assert f'id = "example/{name}@0.1.0"' in new("--from", capture).stdout
    assert 'id = "example/my-device@0.1.0"' in new().stdout
