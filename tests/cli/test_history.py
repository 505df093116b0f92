"""`tidegate history`: what a route said, decoded as it was laid out in its time; nothing missing in silence."""

import csv
import io
import json

import pytest

from gateway.api.history import Span, Stretches, tell
from gateway.ledger import Ledger
from gateway.ledger.record import Gap, Record
from gateway.route import parse_route
from gateway.taint import DELIVERY_DROPPED
from tests.cli.ledgers import NS, SMALL, Sensor, make, said, tidegate

TEMPERATURE = "therm-1/climate/temperature"


@pytest.fixture
def climate(tmp_path):
    """A sensor that is replaced by one with another scale, and a drop between."""
    with Ledger.open(tmp_path / "ledger", options=SMALL) as ledger:
        sensor = Sensor(tmp_path)
        sensor.tell(ledger)
        sensor.say(ledger, "08 66 28")
        sensor.say(ledger, "80 00 29", 1, taints=DELIVERY_DROPPED)
        ledger.append("gap", None, {"dropped": 7, "reason": "mailbox full", "route": TEMPERATURE}, "state")
        ledger.append("gap", None, {"dropped": 8, "reason": "other device", "route": "pump/motor/speed"}, "state")
        finer = Sensor(tmp_path, scale=0.001, version="2.0.0")
        finer.tell(ledger)
        finer.say(ledger, "08 66 28", 2)
    return tmp_path / "ledger"


def history(folder, *arguments) -> dict:
    _, out = said(tidegate("history", *arguments, "--json", "--dir", folder))
    told: dict = json.loads(out)
    return told


def test_a_value_is_decoded_with_the_schema_of_its_time(climate):
    told = history(climate, TEMPERATURE)
    assert [each["v"] for each in told["points"]] == [21.5, None, 2.15]


def test_a_value_has_its_number_time_units_and_taints(climate):
    told = history(climate, TEMPERATURE)
    assert (told["route"], told["units"]) == (TEMPERATURE, "Cel")
    assert told["points"][1] == {"t": 1795867201.0, "v": None, "seq": 3, "taints": ["delivery.dropped"]}


def test_what_was_dropped_of_this_route_is_told_where_it_is_missing(climate):
    told = history(climate, TEMPERATURE)
    assert [each["dropped"] for each in told["gaps"]] == [7]


def test_since_and_until_are_both_included(climate):
    told = history(climate, TEMPERATURE, "--since", "2026-11-28T12:00:01Z", "--until", "2026-11-28T13:00:02+01:00")
    assert [each["seq"] for each in told["points"]] == [3, 7]


def test_a_stored_route_is_printed_as_it_is_stored(tmp_path):
    folder = make(tmp_path / "x", ("desired", "pump/motor/speed@desired", {"value": 1200}, "state"))
    assert [each["v"] for each in history(folder, "pump/motor/speed@desired")["points"]] == [{"value": 1200}]


def test_the_payload_of_readings_is_a_route_too(climate):
    first = history(climate, "therm-1/climate/air@frame")["points"][1]
    assert first["v"]["hex"].endswith("086628")


def test_csv_has_a_header_and_a_row_a_value(climate):
    rows = list(csv.reader(io.StringIO(said(tidegate("history", TEMPERATURE, "--csv", "--dir", climate))[1])))
    assert rows[0] == ["t", "seq", "v", "units", "taints"]
    assert [(row[1], row[2], row[4]) for row in rows[1:]] == [
        ("2", "21.5", ""),
        ("3", "", "delivery.dropped"),
        ("4", "", "-- 7 records were never stored: mailbox full --"),
        ("7", "2.15", ""),
    ]


def test_a_reading_without_its_schema_is_counted_and_told(tmp_path):
    with Ledger.open(tmp_path / "ledger", options=SMALL) as ledger:
        Sensor(tmp_path).say(ledger, "08 66 28")
    done = tidegate("history", TEMPERATURE, "--dir", tmp_path / "ledger")
    assert said(done) == (0, "")
    assert b"1 readings of therm-1/climate could not be decoded; the first: record 1: no schema" in done.stderr


def test_a_route_that_nobody_recorded_is_told(climate):
    done = tidegate("history", "pump/motor/torque", "--dir", climate)
    assert b"no record of pump/motor/torque" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["therm-1"],
        [f"{TEMPERATURE}#3"],
        [TEMPERATURE, "--since", "yesterday"],
        [TEMPERATURE, "--since", "2026-02-01", "--until", "2026-01-01"],
        [TEMPERATURE, "--csv", "--json"],
        [],
    ],
)
def test_a_wrong_call_exits_64_because_2_is_damage(climate, arguments):
    assert said(tidegate("history", *arguments, "--dir", climate)) == (64, "")


def record(seq: int, wall_s: int) -> Record:
    return Record(seq, 1, "note", "a/b/c", "state", wall_s * NS, 1, None, b"1", True)


def test_times_that_came_twice_are_printed_twice_and_told():
    stretches = Stretches(Span(10 * NS, 20 * NS))
    inside = [stretches.take(seq, at * NS) for seq, at in enumerate([5, 10, 15, 25, 12, 13, 30], 1)]
    assert inside == [False, True, True, False, True, True, False]
    assert list(stretches.notes()) == ["the clock went back: these times lie in 2 stretches, records 2 to 3, 5 to 6"]


def test_a_clock_that_goes_back_within_the_times_asked_for_is_told():
    stretches = Stretches(Span(None, None))
    assert [stretches.take(seq, at) for seq, at in ((1, 5), (2, 6), (3, 4))] == [True] * 3
    assert "2 stretches, records 1 to 2, 3 to 3" in next(stretches.notes())


def test_a_clock_that_only_runs_on_is_not_mentioned():
    stretches = Stretches(Span(1, None))
    assert [stretches.take(seq, seq) for seq in range(3)] == [False, True, True]
    assert list(stretches.notes()) == []


class Fixed:
    """A ledger that reads as it is told."""

    def __init__(self, *items: Record | Gap) -> None:
        self.items = items

    def read(self, from_seq: int = 1):
        return (item for item in self.items if item.seq >= from_seq)


class Told:
    """A writer that keeps what it was told, in order."""

    def __init__(self) -> None:
        self.all: list[dict] = []

    def means(self, units) -> None:
        pass

    def point(self, point) -> None:
        self.all.append({"seq": point.seq})

    def gap(self, facts, _words) -> None:
        self.all.append({"gap": facts})


def printed(span: Span, *items: Record | Gap) -> list[dict]:
    writer = Told()
    tell(Fixed(*items), parse_route("a/b/c")[0], span, writer)
    return writer.all


def test_missing_numbers_are_told_where_they_should_be():
    told = printed(Span(None, None), Gap(1, 4, "retention"), record(5, 10), Gap(6, 7, "lost"), record(8, 20))
    assert [each.get("seq", each.get("gap", {}).get("from_seq")) for each in told] == [1, 5, 6, 8]


def test_only_what_is_missing_beside_the_times_asked_for_is_told():
    items = [
        record(1, 10), Gap(2, 2, "early"), record(3, 20), Gap(4, 4, "before"), record(5, 30), Gap(6, 6, "behind"),
        record(7, 40), Gap(8, 8, "late"),
    ]  # fmt: skip
    told = printed(Span(25 * NS, 35 * NS), *items)
    assert [each.get("gap", {}).get("reason", "value") for each in told] == ["before", "value", "behind"]


def test_what_is_missing_at_the_end_is_told():
    assert [each.get("seq") for each in printed(Span(None, None), record(1, 1), Gap(2, 9, "lost"))] == [1, None]
