"""`tidegate why`: from a record to its causes, from a value to its bits."""

import json

import pytest

from gateway.api.why import target_of
from gateway.errors import UsageError
from gateway.ledger import Ledger
from gateway.route import Route
from tests.cli.ledgers import SMALL, Sensor, make, said, tidegate

AIR = "therm-1/climate/air@frame"


def why(folder, target) -> dict:
    code, out = said(tidegate("why", target, "--json", "--dir", folder))
    assert code == 0
    return json.loads(out)


@pytest.fixture
def climate(tmp_path):
    with Ledger.open(tmp_path / "ledger", options=SMALL) as ledger:
        sensor = Sensor(tmp_path)
        sensor.tell(ledger)
        ledger.append_many([("note", None, place) for place in range(3000)])
        sensor.say(ledger, "08 66 28")
    return tmp_path / "ledger"


def test_a_reading_is_taken_apart_down_to_its_bytes(climate):
    code, out = said(tidegate("why", 3002, "--dir", climate))
    assert (code, [line.strip() for line in out.splitlines()[1:]]) == (
        0,
        [
            f"message air, laid out as schema {why(climate, 3002)['chain'][0]['schema']['digest']} says (record 1)",
            "payload 08 66 28",
            "temperature = 21.5 Cel: bytes 0 to 1 = 08 66, s16be 2150 x 0.01",
            "humidity = 40 %: byte 2 = 28, u8 40",
        ],
    )


def test_a_route_of_a_reading_is_asked_for_alone(climate):
    (told,) = why(climate, "therm-1/climate/temperature#3002")["chain"]
    assert [(each["name"], each["value"], each["raw"], each["hex"]) for each in told["fields"]] == [
        ("temperature", 21.5, 2150, "08 66")
    ]


def test_causes_are_followed_to_the_first(tmp_path):
    folder = make(
        tmp_path / "x",
        ("command_intent", "pump/motor/speed@request", {"value": 1}, "command"),
        ("command_sent", "pump/motor/speed@request", {}, "command", 1),
        ("command_result", "pump/motor/speed@request", {"outcome": "acked"}, "command", 2),
    )
    told = why(folder, 3)
    assert ([each["seq"] for each in told["chain"]], told["end"]) == ([3, 2, 1], "")


def test_what_the_site_adjusted_is_told(tmp_path):
    with Ledger.open(tmp_path / "ledger", options=SMALL) as ledger:
        sensor = Sensor(tmp_path)
        adjust = {"temperature": (1.0, -0.5)}
        sensor.tell(ledger, adjust)
        key = sensor.schema(adjust).key
        sensor.schema = lambda: type("Keyed", (), {"key": key})
        sensor.say(ledger, "08 66 28")
    _, out = said(tidegate("why", "therm-1/climate/temperature#2", "--dir", tmp_path / "ledger"))
    assert "temperature = 21 Cel: bytes 0 to 1 = 08 66, s16be 2150 x 0.01, adjusted by the site - 0.5" in out


def test_a_reading_whose_layout_is_lost_still_shows_its_bytes(tmp_path):
    with Ledger.open(tmp_path / "ledger", options=SMALL) as ledger:
        Sensor(tmp_path).say(ledger, "08 66 28")
    (told,) = why(tmp_path / "ledger", 1)["chain"]
    assert ("no schema" in told["undecoded"], told["body"]["hex"].endswith("086628")) == (True, True)


def test_bytes_that_are_no_reading_are_shown_as_they_are(tmp_path):
    folder = make(tmp_path / "x", ("reading", AIR, b"\x09garbage"))
    (told,) = why(folder, 1)["chain"]
    assert told["body"] == {"hex": b"\x09garbage".hex()}


@pytest.mark.parametrize(
    ("target", "word"),
    [
        ("4000", "there is no record 4000; the newest is 3002"),
        ("therm-1/climate/pressure#3002", "has no pressure; message air has temperature, humidity"),
        ("therm-1/motor/speed#3002", "is not about therm-1/motor/speed"),
        ("therm-1/climate/temperature#2", "is not about"),
        ("therm-1/climate/temperature", "names no record"),
        ("0", "start at 1"),
        ("x", "is no route"),
        ("99999999999999999999999", "is no sequence number"),
    ],
)
def test_what_cannot_be_asked_exits_64_and_says_why(climate, target, word):
    done = tidegate("why", target, "--dir", climate)
    assert (said(done), word in done.stderr.decode()) == ((64, ""), True), done.stderr


def test_a_target_is_a_number_or_a_route_with_one():
    assert target_of("17") == (17, None)
    assert target_of("a/b/c@desired#17") == (17, Route("a", "b", "c", "desired"))


def test_a_route_alone_is_no_target():
    with pytest.raises(UsageError, match="tidegate history a/b/c"):
        target_of("a/b/c")
