"""`tidegate decode --format spi`: a transfer a line in, a record a line out."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.cli.decode import command
from gateway.errors import UsageError
from gateway.profile.load import load_profile, shipped_profiles

SPI = sorted(name for name, path in shipped_profiles().items() if load_profile(path).link.bus == "spi")
TRIM = {"tx": "88" + "00" * 24, "rx": "00706b436718fc7d8e43d6d00b270b8c00f9ff8c3cf8c67017"}
SAMPLE = {"tx": "f7000000000000", "rx": "00655ac07eed00"}


def run(profile, rows, *options, exit_code=0):
    text = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    result = CliRunner().invoke(command, [profile, *options], input=text, catch_exceptions=False)
    assert result.exit_code == exit_code, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_calibration_read_before_is_used_by_the_samples_after_it():
    before, trim, after = run("bmp280", [SAMPLE, TRIM, SAMPLE], "--format", "spi")
    assert before["values"] == {"temperature": None, "pressure": None}
    assert (trim["message"], trim["values"]) == ("trim", {})
    # BMP280 datasheet, section 3.12: 25.08 Cel, 100653.27 Pa
    assert after["values"]["temperature"] == pytest.approx(25.08, abs=0.005)
    assert after["values"]["pressure"] == pytest.approx(100653.27, abs=0.01)


def test_spi_is_the_usual_format_of_an_spi_profile():
    assert [record["message"] for record in run("bmp280", [TRIM, SAMPLE])] == ["trim", "sample"]


def test_raw_shows_internal_fields_and_no_computed_ones():
    trim, sample = run("bmp280", [TRIM, SAMPLE], "--raw")
    assert trim["values"] == {
        "_t1": 27504,
        "_t2_t3": [26435, -1000],
        "_p1": 36477,
        "_p2_p9": [-10685, 3024, 2855, 140, -7, 15500, -14600, 6000],
    }
    assert sample["values"] == {"_pressure": 415148, "_temperature": 519888}


def test_raw_counts_of_an_analog_input_do_not_depend_on_its_reference():
    row = {"tx": "019000", "rx": "000200"}
    assert run("mcp3008", [row], "--raw")[0]["values"] == {"channel_1": 512}
    assert run("mcp3008", [row], "--param", "vref_mv=5000")[0]["values"] == {"channel_1": 2.5}


def test_the_time_of_a_line_is_kept():
    assert run("bmp280", [{**SAMPLE, "t": 12.5}])[0]["t"] == 12.5


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("nonsense", "not json"),
        ("[1, 2]", "not json"),
        ('{"tx": 1, "rx": "00"}', "not json"),
        ('{"rx": "00"}', "no tx"),
        ('{"tx": "00"}', "no rx"),
        ('{"tx": "zz", "rx": "00"}', "not hex"),
        ('{"tx": "d000", "rx": "00"}', "length"),
        ('{"tx": "", "rx": ""}', "length"),
        ('{"tx": "88000000", "rx": "00706b43"}', "length"),
        ('{"tx": "74 27", "rx": "00 00"}', "write"),
        ('{"tx": "f300", "rx": "0000"}', "unknown"),
        ('{"tx": "d000", "rx": "00ff"}', "const"),
    ],
)
def test_what_is_no_message_is_one_record_with_its_reason(line, reason):
    (record,) = run("bmp280", [line], exit_code=1)
    assert record["reason"] == reason


def test_a_refused_identity_is_shown_with_its_whole_transfer():
    (record,) = run("bmp280", [{"tx": "d000", "rx": "aa60"}], exit_code=1)
    assert record["garbage"] == "aa60"


def test_blank_lines_and_comments_are_no_records():
    assert len(run("bmp280", ["", "# a comment", TRIM])) == 1


def test_a_calibration_that_was_refused_is_not_used():
    short = {"tx": TRIM["tx"][:20], "rx": TRIM["rx"][:20]}
    *_, sample = run("bmp280", [short, SAMPLE], exit_code=1)
    assert sample["values"] == {"temperature": None, "pressure": None}


@pytest.mark.parametrize("level", ["00", "ff"])
def test_a_stuck_line_gives_no_value_of_the_pressure_sensors(level):
    for name, rows in {
        "bmp280": [TRIM, {"tx": SAMPLE["tx"], "rx": level * 7}],
        "bme280": [{"tx": "f7" + "00" * 8, "rx": level * 9}],
    }.items():
        assert set(run(name, rows)[-1]["values"].values()) == {None}


@pytest.mark.parametrize(
    ("name", "size"), [("max31855", 4), ("max6675", 2), ("mcp3008", 3), ("mfrc522", 2), ("adxl345", 2)]
)
def test_a_line_stuck_high_is_refused_by_the_bits_that_are_always_low(name, size):
    tx = {"mcp3008": "018000", "mfrc522": "ee00", "adxl345": "8000"}.get(name, "00" * size)
    (record,) = run(name, [{"tx": tx, "rx": "ff" * size}], exit_code=1)
    assert record["reason"] == "const"


def test_a_profile_of_another_bus_is_bad_usage():
    with pytest.raises(UsageError, match="bus spi"):
        run("pms5003", [TRIM], "--format", "spi")


def test_a_newcomer_who_gives_transfers_as_hex_is_told_the_format():
    text = json.dumps(TRIM) + "\n"
    result = CliRunner().invoke(command, ["bmp280", "--format", "hex"], input=text)
    assert "--format spi" in result.stderr


row = st.fixed_dictionaries({"tx": st.binary(max_size=30).map(bytes.hex), "rx": st.binary(max_size=30).map(bytes.hex)})


@pytest.mark.parametrize("name", SPI)
@given(rows=st.lists(row | st.text(alphabet='{}":,txr09f ', max_size=20), max_size=5), data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_line_is_exactly_one_record_whatever_it_holds(name, rows, data):
    asks = [spec.ask for spec in load_profile(shipped_profiles()[name]).message.values() if spec.ask]
    ask = data.draw(st.sampled_from(asks))
    mask = load_profile(shipped_profiles()[name]).link.read_mask
    tx = bytes.fromhex(ask.send) if ask.send else bytes([ask.register | mask]) + bytes(ask.length)
    rows.append({"tx": tx.hex(), "rx": data.draw(st.binary(min_size=len(tx), max_size=len(tx))).hex()})
    lines = [text if isinstance(text, str) else json.dumps(text) for text in rows]
    lines = [line for line in lines if line.strip()]
    result = CliRunner().invoke(command, [name], input="\n".join(lines), catch_exceptions=False)
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [record["n"] for record in records] == list(range(1, len(lines) + 1))
    assert result.exit_code == (1 if any("garbage" in record for record in records) else 0)
