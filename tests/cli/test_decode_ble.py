"""`tidegate decode` for Bluetooth: encrypted advertisements with a key, and GATT values."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from gateway.cli import exit_code_of
from gateway.cli.decode import command, likely_format
from gateway.errors import GatewayError
from tests.schema.test_cipher import KEY, MAC, SEALED, VICTRON, VICTRON_KEY, XIAOMI, XIAOMI_KEY, sealed

FCD2 = "0000fcd2-0000-1000-8000-00805f9b34fb"
READ = {"humidity": pytest.approx(50.55), "temperature": pytest.approx(25.06)}


def decode(*arguments: str, lines: list[dict[str, object] | str] = ()) -> Result:  # type: ignore[assignment]
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    return CliRunner().invoke(command, list(arguments), input=text)


def records(result: Result) -> list[dict[str, object]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def advert(body: bytes, uuid: str = FCD2, address: str = MAC) -> dict[str, object]:
    return {"address": address, "rssi": -60, "service_data": {uuid: body.hex()}}


@pytest.mark.parametrize("option", [["--key", KEY.hex()], ["--param", f"key={KEY.hex()}"]])
@pytest.mark.parametrize("uuid", [FCD2, "fcd2", "0000FCD2", "0xfcd2"])
def test_a_key_opens_encrypted_advertisements(option, uuid):
    result = decode("bthome", "--format", "adv", *option, lines=[advert(SEALED, uuid)])
    assert result.exit_code == 0
    assert [(row["message"], row["values"], row["taints"]) for row in records(result)] == [("bthome", READ, [])]


def test_no_key_and_a_wrong_key_are_told_apart():
    assert records(decode("bthome", lines=[advert(SEALED)]))[0]["reason"] == "no key"
    wrong = decode("bthome", "--key", "00" * 16, lines=[advert(SEALED)])
    assert wrong.exit_code == 1
    assert records(wrong) == [{"n": 1, "t": None, "address": MAC, "garbage": SEALED.hex(), "reason": "wrong key"}]


def test_an_equal_counter_is_read_again_and_a_lower_one_refused():
    lines = [advert(sealed(counter)) for counter in (7, 7, 6, 8)]
    result = decode("bthome", "--key", KEY.hex(), lines=lines)
    assert [row.get("reason", row.get("values")) for row in records(result)] == [READ, READ, "replayed", READ]


def test_every_element_is_one_record():
    line = {**advert(SEALED), "manufacturer_data": {"76": "0215"}}
    result = decode("bthome", "--key", KEY.hex(), lines=[line])
    assert [row.get("reason", row.get("values")) for row in records(result)] == ["unknown", READ]


def test_mibeacon_and_victron_open_too():
    line = advert(XIAOMI, "fe95", "A4:C1:38:02:83:F4")
    (row,) = records(decode("xiaomi-lywsd03mmc", "--format", "adv", "--key", XIAOMI_KEY.hex(), lines=[line]))
    assert row["values"] == {"packet": 80, "humidity": pytest.approx(46.7)}
    line = {"address": MAC, "manufacturer_data": {"737": VICTRON.hex()}}
    (row,) = records(decode("victron-ble", "--format", "adv", "--key", VICTRON_KEY.hex(), lines=[line]))
    assert row["message"] == "battery_monitor"
    assert row["values"]["state_of_charge"] == 50.0  # type: ignore[index]


@pytest.mark.parametrize("key", ["231d39c1", "zz1d39c1d7cc1ab1aee224cd096db932", "231d39c1d7cc1ab1aee224cd096db93"])
def test_a_key_that_cannot_be_one_is_refused_without_being_shown(key):
    result = decode("bthome", "--key", key, lines=[advert(SEALED)])
    assert isinstance(result.exception, GatewayError)
    assert exit_code_of(result.exception) == 2
    assert key not in str(result.exception) + result.output


def test_a_key_written_without_its_name_is_not_shown():
    result = decode("bthome", "--param", KEY.hex(), lines=[advert(SEALED)])
    assert isinstance(result.exception, GatewayError)
    assert KEY.hex() not in str(result.exception) + result.output


def test_a_key_for_a_profile_without_one_is_a_usage_error():
    result = decode("ruuvitag-df5", "--key", KEY.hex(), lines=[advert(SEALED)])
    assert isinstance(result.exception, GatewayError)
    assert exit_code_of(result.exception) == 2


def value(characteristic: object, data: object, **more: object) -> dict[str, object]:
    return {"characteristic": characteristic, "hex": data, **more}


@pytest.mark.parametrize("form", [["--format", "gatt"], [], ["--format", "jsonl"]])
@pytest.mark.parametrize("uuid", ["2a37", "2A37", "0x2a37", "00002a37", "00002A37-0000-1000-8000-00805F9B34FB"])
def test_a_gatt_value_is_found_by_its_characteristic_in_any_form(form, uuid):
    result = decode("heart-rate", *form, lines=[value(uuid, "164ee803", t=12.5, address="aa:bb:cc:dd:ee:ff")])
    assert records(result) == [
        {
            "n": 1,
            "t": 12.5,
            "address": "AA:BB:CC:DD:EE:FF",
            "message": "measurement",
            "values": {"contact": True, "rate": 78, "rr_interval": [0.9765625]},
            "taints": [],
        }
    ]


def test_a_value_that_is_asked_for_is_found_without_when():
    (row,) = records(decode("heart-rate", "--format", "gatt", lines=[value("2a19", "5f")]))
    assert (row["message"], row["values"]) == ("battery", {"battery": 95})


def test_a_cut_value_gives_what_is_there():
    lines = [value("2a37", "1f2c01"), value("2a37", "1f2c"), value("2a19", "")]
    result = decode("heart-rate", "--format", "gatt", lines=lines)
    assert [row["values"] for row in records(result)] == [
        {"contact": True, "rate": 300, "energy": None, "rr_interval": None},
        {"contact": True, "rate": None, "energy": None, "rr_interval": None},
        {"battery": None},
    ]
    assert {tuple(row["taints"]) for row in records(result)} == {("trust.truncated",)}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("nonsense", "not json"),
        (value("heart", "00"), "not a characteristic"),
        ({"hex": "00"}, "no characteristic"),
        ({"characteristic": "2a37"}, "no hex"),
        (value("2a37", "0"), "not hex"),
        (value(5, "00"), "not json"),
        (value("2a00", "00"), "unknown"),
    ],
)
def test_a_line_that_is_no_gatt_value_is_one_refused_record(line, reason):
    result = decode("heart-rate", "--format", "gatt", lines=[line])
    assert result.exit_code == 1
    assert [row["reason"] for row in records(result)] == [reason]


def test_gatt_lines_are_known_by_their_beginning():
    assert likely_format(b'{"characteristic": "2a37", "hex": "0048"}\n') == "gatt"
