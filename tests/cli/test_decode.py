"""`tidegate decode`, as its users meet it: arguments in, JSON lines and an exit code out."""

import json
import subprocess
import sys
from itertools import groupby
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.cli import exit_code_of
from gateway.cli.decode import command, likely_format
from gateway.errors import GatewayError
from gateway.profile.load import shipped_profiles

TIDEGATE = [sys.executable, "-m", "gateway"]
PMS = "424d001c000c0023002f000b001e00290834028000780010000400019700033d"
COUNTER = """
[profile]
id = "test/counter@1.0.0"
[params]
unit = { type = "u8", default = 1 }
[link]
bus = "uart"
[framing]
kind = "cobs"
check = { kind = "crc-16-ibm-3740" }
max = 16384
[message.tick]
when = { bytes = { 0 = 1 } }
fields = [
  { type = "u8" },
  { name = "count", type = "u16be", scale = 0.5, invalid = 65535 },
  { name = "mode", type = "u8", labels = { 0 = "idle" } },
  { name = "_spare", type = "u8" },
]
[message.order]
when = { bytes = { 0 = 2 } }
direction = "out"
fields = [{ type = "u8" }, { name = "go", type = "bool" }]
[message.strange]
when = { bytes = { 0 = 3 } }
fields = [{ type = "u8" }, { type = "u8", const = 7 }]
"""
CAN = """
[profile]
id = "test/can@1.0.0"
[link]
bus = "can"
[message.status]
when = { can_id = 0x123 }
fields = [{ name = "a", type = "u8" }, { name = "b", type = "u16be" }]
[message.far]
when = { can_id = 0x123, extended = true }
fields = [{ name = "c", type = "u8" }]
[message.order]
when = { can_id = 0x200 }
direction = "out"
fields = [{ name = "d", type = "u8" }]
"""
BLE = """
[profile]
id = "test/ble@1.0.0"
[link]
bus = "ble"
mode = "advertisement"
[message.any]
when = { manufacturer = "any", length = 1 }
fields = [{ name = "company", type = "u16le" }, { name = "x", type = "u8" }]
[message.service]
when = { service = "fcd2" }
fields = [{ name = "y", type = "u8" }]
"""


def decode(*arguments, given=b"", code=0):
    """Return the records; `code` is the exit code to expect."""
    result = CliRunner().invoke(command, [str(argument) for argument in arguments], input=given)
    failure = exit_code_of(result.exception) if isinstance(result.exception, GatewayError) else result.exit_code
    assert failure == code, result.output or result.exception
    return [json.loads(line, parse_constant=pytest.fail) for line in result.stdout.splitlines()]


@pytest.fixture(scope="module")
def profiles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("profiles")
    for name, text in {"counter": COUNTER, "can": CAN, "ble": BLE}.items():
        (folder / f"{name}.toml").write_text(text)
    return folder


def wire(*bodies):
    done = subprocess.run(
        [sys.executable, "-c", FRAMES, *(body.hex() for body in bodies)], capture_output=True, text=True, check=True
    )
    return bytes.fromhex(done.stdout)


FRAMES = """
import sys
from gateway.framing.build import build_framer
from gateway.framing.spec import CheckSpec, Cobs
framer = build_framer(Cobs(check=CheckSpec(kind="crc-16-ibm-3740"), max=16384))
print(b"".join(framer.encode(bytes.fromhex(text)) for text in sys.argv[1:]).hex())
"""
TICK, UNKNOWN, ORDER, STRANGE = b"\x01\x00\x05\x00\x00", b"\x09\x09", b"\x02\x01", b"\x03\x08"


# --- records


def test_a_record_has_these_keys_in_this_order():
    result = CliRunner().invoke(command, ["pms5003", "--hex", PMS + "ff"])

    decoded, refused = result.stdout.splitlines()
    assert decoded.startswith('{"n":1,"t":null,"address":null,"message":"data","values":{"pm1_0_cf1":12,')
    assert decoded.endswith('"particles_10um":1},"taints":[]}')
    assert refused == '{"n":2,"t":null,"address":null,"garbage":"ff","reason":"noise"}'
    assert result.exit_code == 1


def test_a_decoded_value_may_be_null_labelled_or_marked(profiles):
    bodies = [b"\x01\xff\xff\x00\x00", b"\x01\x00\x05\x09\x00", b"\x01\x00\x05"]

    found = decode(profiles / "counter.toml", "--format", "bin", given=wire(*bodies))

    assert [(record["values"], record["taints"]) for record in found] == [
        ({"count": None, "mode": "idle"}, []),
        ({"count": 2.5, "mode": 9}, ["trust.label"]),
        ({"count": 2.5, "mode": None}, ["trust.truncated"]),
    ]


def test_raw_shows_wire_numbers_and_internal_fields(profiles):
    [record] = decode(profiles / "counter.toml", "--payload", "--raw", "--hex", "01ffff0007")

    assert record["values"] == {"count": 65535, "mode": 0, "_spare": 7}
    assert record["taints"] == []


def test_raw_tells_what_is_missing_but_not_what_numbers_mean(profiles):
    [cut] = decode(profiles / "counter.toml", "--payload", "--raw", "--hex", "010005")
    [odd] = decode(profiles / "counter.toml", "--payload", "--raw", "--hex", "0100050900")

    assert (cut["values"]["mode"], cut["taints"]) == (None, ["trust.truncated"])
    assert (odd["values"]["mode"], odd["taints"]) == (9, [])


@pytest.mark.parametrize(("body", "reason"), [(UNKNOWN, "unknown"), (ORDER, "unknown"), (STRANGE, "const")])
def test_a_good_frame_that_is_no_message_is_refused_as_it_stood_on_the_wire(profiles, body, reason):
    stream = wire(body)

    [record] = decode(profiles / "counter.toml", "--format", "bin", given=stream, code=1)

    assert (record["garbage"], record["reason"]) == (stream.hex(), reason)


def test_a_sentence_that_is_no_message_is_refused_with_its_own_start_and_line_end():
    stream = b"!AIVDM,1,1,,A,x,0*5E\r\n$GPZDA,,,,,,*48\n$GPZDA,,,,,,*48$PGRME,15.0,M,45.0,M,25.0,M*1C\r\n"

    found = decode("nmea-gnss", given=stream, code=1)

    assert {record["reason"] for record in found} == {"unknown"}
    assert b"".join(bytes.fromhex(record["garbage"]) for record in found) == stream


def test_every_byte_of_a_stream_is_decoded_or_refused(profiles):
    noise = bytes(range(1, 200))
    stream = wire(TICK) + noise + b"\x00" + wire(UNKNOWN, TICK, STRANGE)

    found = decode(profiles / "counter.toml", "--format", "bin", given=stream, code=1)

    decoded = sum(1 for record in found if "message" in record) * len(wire(TICK))
    refused = sum(len(record["garbage"]) // 2 for record in found if "garbage" in record)
    assert decoded + refused == len(stream)
    assert [record["n"] for record in found] == list(range(1, len(found) + 1))


def test_a_long_refusal_comes_in_pieces(profiles):
    found = decode(profiles / "counter.toml", "--payload", "--hex", "09" * 10_000, code=1)

    assert [len(record["garbage"]) // 2 for record in found] == [4096, 4096, 1808]


# --- formats


def test_a_hex_line_goes_through_the_framing_and_ends_with_silence(profiles):
    frame = wire(TICK).hex()
    text = f"# two lines, one cut off\n{frame}{frame}\n\n{frame[:-4]}\n{frame}\nnot hex\n".encode()

    found = decode(profiles / "counter.toml", "--format", "hex", given=text, code=1)

    assert [record.get("message") or record["reason"] for record in found][:2] == ["tick", "tick"]
    assert "message" not in found[2]
    assert [record.get("message") or record["reason"] for record in found][-2:] == ["tick", "not hex"]
    assert bytes.fromhex(found[-1]["garbage"]) == b"not hex"


def test_with_payload_a_line_is_one_body(profiles):
    found = decode(profiles / "counter.toml", "--payload", "--format", "hex", given=b"01 00 05 00 00\n0100070000\n")

    assert [record["values"]["count"] for record in found] == [2.5, 3.5]


def test_every_can_frame_is_exactly_one_record(profiles):
    log = b"""(1436509052.249713) vcan0 123#0A0B0C
(1436509052.249714) vcan0 00000123#07
(1436509052.249715) vcan0 123##10A0B0CFFFFFFFFFFFFFFFFFF
(1436509052.249716) vcan0 124#0A
(1436509052.249717) vcan0 123#R3
(1436509052.249718) vcan0 20000004#0001
(1436509052.249719) vcan0 200#01
(1436509052.249720) vcan0 123#
hello
"""
    found = decode(profiles / "can.toml", given=log, code=1)

    assert [
        (record["t"], record["address"], record.get("values") or (record["garbage"], record["reason"]))
        for record in found
    ] == [
        (1436509052.249713, "123", {"a": 10, "b": 0x0B0C}),
        (1436509052.249714, "00000123", {"c": 7}),
        (1436509052.249715, "123", {"a": 10, "b": 0x0B0C}),
        (1436509052.249716, "124", ("0a", "unknown id")),
        (1436509052.249717, "123", ("", "remote")),
        (1436509052.249718, "20000004", ("0001", "error frame")),
        (1436509052.249719, "200", ("01", "unknown id")),
        (1436509052.24972, "123", {"a": None, "b": None}),
        (None, None, (b"hello".hex(), "not candump")),
    ]


@pytest.mark.parametrize(("address", "message"), [("123", "status"), ("00000123", "far"), ("0x123", "status")])
def test_a_can_body_is_matched_by_the_address_given_with_it(profiles, address, message):
    [record] = decode(profiles / "can.toml", "--hex", "010203", "--address", address)

    assert record["message"] == message
    assert record["address"] == ("00000123" if message == "far" else "123")


def test_a_can_frame_may_have_no_bytes(profiles):
    [record] = decode(profiles / "can.toml", "--hex", "", "--address", "123")

    assert (record["values"], record["taints"]) == ({"a": None, "b": None}, ["trust.truncated"])


def test_a_can_body_without_address_has_no_known_id(profiles):
    [record] = decode(profiles / "can.toml", "--hex", "01", code=1)

    assert record["reason"] == "unknown id"


def test_every_element_of_an_advertisement_is_one_record(profiles):
    line = {
        "address": "aa:bb:cc:dd:ee:ff",
        "rssi": -60,
        "name": None,
        "manufacturer_data": {"1177": "07", "76": "0215"},
        "service_data": {"0000fcd2-0000-1000-8000-00805f9b34fb": "09"},
        "service_uuids": [],
    }

    found = decode(profiles / "ble.toml", "-", given=json.dumps(line).encode(), code=1)

    assert {record["address"] for record in found} == {"AA:BB:CC:DD:EE:FF"}
    assert [record.get("values") or (record["garbage"], record["reason"]) for record in found] == [
        {"company": 1177, "x": 7},
        ("0215", "unknown"),
        {"y": 9},
    ]


@pytest.mark.parametrize(("body", "message"), [("990407", "any"), ("0907", "service")])
def test_a_ble_body_is_the_first_element_that_a_message_takes_it_for(profiles, body, message):
    [record] = decode(profiles / "ble.toml", "--hex", body, "--address", "aa:bb:cc:dd:ee:ff")

    assert (record["message"], record["address"]) == (message, "AA:BB:CC:DD:EE:FF")


def test_a_jsonl_line_carries_its_time_and_address(profiles):
    rows = b'{"hex":"010203","t":17.5,"address":"123"}\n{"hex":"07","t":18,"address":"00000123"}\n'

    found = decode(profiles / "can.toml", "--format", "jsonl", given=rows)

    assert [(record["t"], record["address"], record["message"]) for record in found] == [
        (17.5, "123", "status"),
        (18.0, "00000123", "far"),
    ]


@pytest.mark.parametrize("suffix", ["asc", "blf", "trc"])
def test_can_logs_of_other_programs_are_read(profiles, tmp_path, suffix):
    can = pytest.importorskip("can")
    log = tmp_path / f"drive.{suffix}"
    with can.Logger(log) as writer:
        for number in range(700):
            writer(can.Message(1700000000 + number, 0x123, is_extended_id=False, data=[number % 256, 1, 2]))
        writer(can.Message(1700001000, 0x123, is_extended_id=True, data=[9]))

    found = decode(profiles / "can.toml", log)

    assert [record["values"] for record in found] == [
        *({"a": number % 256, "b": 0x0102} for number in range(700)),
        {"c": 9},
    ]
    assert (found[1]["t"], found[-1]["t"]) == (1700000001.0, 1700001000.0)


J1939 = """
[profile]
id = "test/truck@1.0.0"
[link]
bus = "can"
[framing]
kind = "j1939"
[message.dm1]
when = { pgn = 65226 }
fields = [{ name = "all", type = "bytes", length = "rest" }]
[message.eec1]
when = { pgn = 61444 }
fields = [{ type = "bytes", length = 3 }, { name = "speed", type = "u16le", scale = 0.125, units = "/min" }]
"""


def test_a_joined_parameter_group_is_one_record_at_its_last_frame(tmp_path):
    (tmp_path / "truck.toml").write_text(J1939)
    log = b"""(1.0) can0 18ECFF00#200E0002FFCAFE00
(1.1) can0 18EBFF00#0101020304050607
(1.15) can0 0CF00400#FFFFFF4038FFFFFF
(1.2) can0 18EBFF00#0208090A0B0C0D0E
(1.3) can0 18ECFF01#200E0002FFCAFE00
(1.4) can0 18EBFF01#0101020304050607
"""

    found = decode(tmp_path / "truck.toml", given=log, code=1)

    assert [(record["t"], record["address"], record.get("values", record.get("reason"))) for record in found] == [
        (1.15, "0CF00400", {"speed": 1800.0}),
        (1.2, "18FECA00", {"all": "0102030405060708090a0b0c0d0e"}),
        (1.4, None, "cut"),
    ]


@pytest.mark.parametrize("name", sorted(shipped_profiles()))
def test_what_a_shipped_profile_says_of_itself_is_true(name, tmp_path):
    golden = shipped_profiles()[name].parent / "golden.jsonl"
    rows = [json.loads(line) for line in golden.read_text().splitlines()]

    for (form, params), alike in groupby(rows, key=lambda row: (form_of(row), row.get("params", {}))):
        together = list(alike)
        wire = [row["candump"] if form == "candump" else json.dumps(row) for row in together]
        file = tmp_path / "golden"
        file.write_text("\n".join(line for each in wire for line in ([each] if isinstance(each, str) else each)))
        options = [text for key, value in params.items() for text in ("--param", f"{key}={value}")]
        found = decode(name, file, "--format", form, *options)
        assert [record["message"] for record in found] == [row["message"] for row in together]
        for record, row in zip(found, together, strict=True):
            assert_near(record["values"], row["values"])


def form_of(row):
    """Return the format in which `decode` reads a golden row."""
    forms = {"request": "modbus", "tx": "spi", "characteristic": "gatt", "candump": "candump"}
    return next((form for key, form in forms.items() if key in row), "jsonl")


def assert_near(found, expected):
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        for name, value in expected.items():
            assert_near(found[name], value)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_near(one, other)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-9)
    else:
        assert found == expected


# --- bad usage


@pytest.mark.parametrize(
    "arguments",
    [
        ["pms5003", "--hex", "0g"],
        ["pms5003", "--hex", "00", "file.bin"],
        ["pms5003", "--hex", "00", "--format", "bin"],
        ["pms5003", "--format", "morse"],
        ["pms5003", "/nowhere/at/all.bin"],
        ["pms5003", "/"],
        ["pms5003", "--address", "123", "--hex", "00"],
        ["motor", "--address", "xyz", "--hex", "00"],
        ["pms5003", "--param", "unit", "--hex", "00"],
        ["pms5003", "--param", "unit=1", "--hex", "00"],
        ["no-such-profile", "--hex", "00"],
        [],
    ],
)
def test_bad_usage_is_exit_2(arguments):
    assert decode(*arguments, code=2) == []


def run(*arguments, given=b""):
    return subprocess.run([*TIDEGATE, "decode", *arguments], input=given, capture_output=True, timeout=120, check=False)


def test_a_broken_profile_is_told_with_file_and_line(tmp_path):
    (tmp_path / "broken.toml").write_text('[profile]\nid = "test/broken@1.0.0"\n[link]\nbus = "bus"\n')

    done = run(str(tmp_path / "broken.toml"), "--hex", "00")

    assert done.returncode == 2
    assert f"{tmp_path}/broken.toml:4: link.bus:" in done.stderr.decode()
    assert done.stdout == b""


def test_a_broken_dbc_is_told_with_file_and_line(tmp_path):
    (tmp_path / "broken.dbc").write_text('VERSION ""\n\nBO_ 1 A: eight X\n')

    done = run(str(tmp_path / "broken.dbc"), "--hex", "00")

    assert done.returncode == 2
    assert done.stderr.decode().startswith(f"{tmp_path}/broken.dbc:")
    assert "Traceback" not in done.stderr.decode()


def test_a_reader_that_leaves_is_no_error():
    with subprocess.Popen(
        [*TIDEGATE, "decode", "pms5003", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        process.stdout = None
        _, stderr = process.communicate(bytes.fromhex(PMS) * 50_000, timeout=120)

    assert (process.returncode, stderr) == (0, b"")


def test_what_comes_through_a_pipe_is_shown_before_its_end():
    with subprocess.Popen([*TIDEGATE, "decode", "pms5003"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdin.write(bytes.fromhex(PMS))
        process.stdin.flush()

        assert json.loads(process.stdout.readline())["n"] == 1

        process.stdin.close()
        assert process.wait(timeout=20) == 0


def test_a_wrong_format_is_hinted_at():
    done = run("pms5003", given=f"{PMS}\n{PMS}\n".encode())

    assert done.returncode == 1
    assert "--format hex" in done.stderr.decode()


@pytest.mark.parametrize(
    ("text", "form"),
    [
        (b"", None),
        (b"42 4d\n", "hex"),
        (b"# comment\n\n424d", "hex"),
        (b"(1.5) can0 123#00", "candump"),
        (b"#\n" * 9 + b"  can0  09F8027F   [8]  00 FC FF FF 00 00 FF FF", "candump"),
        (b'{"hex":"00"}', "jsonl"),
        (b'{"address":"A","manufacturer_data":{}}', "adv"),
        (b"\x42\x4d\x00", None),
    ],
)
def test_a_text_format_is_known_by_its_beginning(text, form):
    assert likely_format(text) == form


# --- bad input


@pytest.mark.parametrize("form", ["hex", "bin", "candump", "adv", "jsonl"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=400))
def test_any_bytes_in_any_format_are_records(profiles, form, data):
    profile = {"candump": "can", "adv": "ble"}.get(form, "counter")
    result = CliRunner().invoke(command, [str(profiles / f"{profile}.toml"), "--format", form], input=data)

    assert result.exit_code in {0, 1}
    assert [json.loads(line)["n"] for line in result.stdout.splitlines()] == list(
        range(1, 1 + len(result.stdout.splitlines()))
    )


@pytest.mark.slow
@pytest.mark.parametrize("byte", [0x00, 0x42, 0xFF])
def test_memory_stays_flat_on_a_long_stream_of_nothing(profiles, tmp_path, byte):
    peaks = []
    for megabytes in (1, 24):
        stream = tmp_path / "stream.bin"
        with stream.open("wb") as file:
            for _ in range(megabytes):
                file.write(bytes([byte]) * 1_000_000)
        script = (
            "import resource, sys; from gateway.cli import main\n"
            f"sys.argv = ['tidegate', 'decode', {str(profiles / 'counter.toml')!r}, {str(stream)!r}]\n"
            "try: main()\nfinally: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=120, check=False)
        assert done.returncode in {0, 1}
        peaks.append(int(done.stderr.split()[-1]))

    assert peaks[1] - peaks[0] < 4_000  # kB


def test_an_empty_input_is_no_record(tmp_path):
    Path(tmp_path / "empty.bin").write_bytes(b"")

    assert decode("pms5003", tmp_path / "empty.bin") == []
