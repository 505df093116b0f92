"""NMEA 0183 against what gpsd and pynmea2 made of the same sentences.

A gpsd capture's `.chk` file holds the sentences gpsd saw, or made from a binary receiver's messages, each cycle
followed by what it reports: `TPV` (position) and `SKY` (satellites). A report is compared with its cycle's sentences.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.frame import Garbage
from gateway.profile.build import CompiledProfile
from gateway.profile.load import load_profile, shipped_profiles
from gateway.schema.plan import values_of

DATA = Path(__file__).parents[3] / "shared" / "data" / "uart"
CAPTURES = DATA / "gpsd" / "test" / "daemon"
PYNMEA2 = DATA / "nmea0183" / "pynmea2.jsonl"
CHECKED = sorted(CAPTURES.glob("*.log.chk"))

pytestmark = [
    pytest.mark.conformance,
    pytest.mark.skipif(not CHECKED, reason=f"{CAPTURES} is absent: gpsd's captures with their expected reports"),
]

KNOT_M_PER_S = 1852 / 3600
# TPV key -> (our name, factor, tolerance): half a unit of the last digit of the sentence or of the report
POSITION = {
    "lat": ("latitude", 1, 2e-8),
    "lon": ("longitude", 1, 2e-8),
    "speed": ("speed", KNOT_M_PER_S, 6e-4),
    "track": ("course", 1, 5.1e-4),
    "magvar": ("magnetic_variation", 1, 0.051),
    "altMSL": ("altitude", 1, 5.1e-3),
    "geoidSep": ("geoid_separation", 1, 5.1e-4),
}
ELSEWHERE = {
    # the report has altitude and separation from a binary message, the sentence those of another fix of the same second
    ("ac12_binary.log.chk", "altMSL"),
    ("ac12_binary.log.chk", "geoidSep"),
    # these receivers send variation 0.0 as they have no model; gpsd puts its own in the place
    ("magellan-ec10.log.chk", "magvar"),
    ("meinberg-gps164.log.chk", "magvar"),
}
# receivers of several signals, or of sentences and binary messages mixed: the report keeps the strength of one of them,
# which is not always the one that GSV gave
OTHER_SIGNAL = {
    "isync.log.chk",
    "skytraq-PX1172RH_DS.log.chk",
    "trimble-res720-dr.log.chk",
    "trimble-res720.log.chk",
    "ublox-zed-f9p-nmea.log.chk",
    "ublox-zed-f9t-ubx_nmea_l5.log.chk",
}
# ten fixes a second, dilutions once a second: the GSA of a cycle repeats the second before the report
OTHER_DILUTION = {"ublox-neo-m8l.log.chk"}
OTHER_AZIMUTH = {"isync.log.chk"}  # two messages of one second, a degree apart

Sentence = tuple[str, dict[str, Any]]


@pytest.fixture(scope="module")
def profile() -> CompiledProfile:
    return CompiledProfile(load_profile(shipped_profiles()["nmea-gnss"]))


def cycles(path: Path, profile: CompiledProfile, report: str) -> Iterator[tuple[dict[str, Any], list[Sentence]]]:
    """Yield each report of the class with the decoded sentences since the last one."""
    framer = profile.framer()
    seen: list[Sentence] = []
    for line in path.read_bytes().split(b"\n"):
        if not line.startswith(b"{"):
            seen += decoded(framer.feed(line + b"\n"), profile)
            continue
        try:
            found = json.loads(line)
        except ValueError:
            continue  # one capture holds a line of binary noise that begins like this
        if found.get("class") == report:
            yield found, seen
            seen = []


def decoded(found: list[bytes | Garbage], profile: CompiledProfile) -> list[Sentence]:
    sentences = []
    for body in found:
        name = None if isinstance(body, Garbage) else profile.match(body, None)
        if name is not None and isinstance(body, bytes):
            plan = profile.messages[name]
            sentences.append((name, values_of(plan, plan.decode(body))))
    return sentences


def moment(values: dict[str, Any], day: str) -> str | None:
    """Return when a sentence's fix was, completed by `day` where the sentence has only the time."""
    if values.get("utc"):
        return str(values["utc"])
    second = values.get("time_of_day")
    if second is None:
        return None
    return f"{day}T{int(second) // 3600:02d}:{int(second) // 60 % 60:02d}:{second % 60:06.3f}Z"


def positions_of(report: dict[str, Any], sentences: list[Sentence]) -> dict[str, Any]:
    """Return the values that sentences of the very fix reported give; the last sentence counts, as it does for gpsd."""
    time = report.get("time", "")
    fix: dict[str, Any] = {}
    for name, values in sentences:
        if name in {"rmc", "gga", "gll"} and time and moment(values, time[:10]) == time:
            fix.update({key: value for key, value in values.items() if value is not None})
    return fix


def test_positions_equal_those_of_gpsd(profile):
    compared: Counter[str] = Counter()
    differences = []
    for path in CHECKED:
        for report, sentences in cycles(path, profile, "TPV"):
            fix = positions_of(report, sentences)
            for key, (name, factor, tolerance) in POSITION.items():
                # gpsd leaves a value out while it has no fix (mode 0 or 1), whatever the sentence says
                if name not in fix or key not in report or (path.name, key) in ELSEWHERE:
                    continue
                compared[key] += 1
                if abs(fix[name] * factor - report[key]) > tolerance:
                    differences.append((path.name, report["time"], key, fix[name], report[key]))
    assert not differences, differences[:20]
    assert compared["lat"] > 2000
    assert min(compared.values()) > 1000


def test_satellites_equal_those_of_gpsd(profile):
    compared: Counter[str] = Counter()
    differences = []
    keys = {"az": "azimuth", "el": "elevation", "ss": "snr"}
    for path in CHECKED:
        heard: dict[int, list[dict[str, Any]]] = {}
        for report, sentences in cycles(path, profile, "SKY"):
            for name, values in sentences:
                for satellite in values["satellites"] if name == "gsv" and values["talker"] in {"GP", "GN"} else []:
                    heard.setdefault(satellite["prn"], []).append(satellite)
            for satellite in report.get("satellites", []):
                if satellite.get("gnssid") != 0 or satellite["PRN"] not in heard:
                    continue  # beyond GPS gpsd numbers satellites its own way
                for key, name in keys.items():
                    if (path.name in OTHER_SIGNAL and key == "ss") or (path.name in OTHER_AZIMUTH and key == "az"):
                        continue
                    if key in satellite:
                        compared[key] += 1
                        given = [each[name] for each in heard[satellite["PRN"]] if each[name] is not None]
                        if not any(abs(value - satellite[key]) <= 0.5 for value in given):
                            differences.append((path.name, satellite, given))
            if report.get("satellites"):
                heard.clear()
    assert not differences, differences[:20]
    assert min(compared.values()) > 5000


def test_dilutions_of_precision_equal_those_of_gpsd(profile):
    compared = 0
    differences = []
    for path in CHECKED:
        for report, sentences in cycles(path, profile, "SKY"):
            given = [values for name, values in sentences if name == "gsa" and values["pdop"] is not None]
            for key in ("pdop", "hdop", "vdop"):
                # without a dilution in GSA the report's comes from a binary message or from gpsd's own calculation
                if key not in report or not given or path.name in OTHER_DILUTION:
                    continue
                compared += 1
                if not any(each[key] is not None and abs(each[key] - report[key]) <= 0.0501 for each in given):
                    differences.append((path.name, key, [each[key] for each in given], report[key]))
    assert not differences, differences[:20]
    assert compared > 4000


def test_every_sentence_of_every_capture_is_decoded(profile):
    counts: Counter[str] = Counter()
    for path in sorted(CAPTURES.glob("*.log")):
        framer = profile.framer()
        found = framer.feed(path.read_bytes()) + framer.gap()
        for name, values in decoded(found, profile):
            counts[name] += 1
            if name == "gsv":
                assert len(values["satellites"]) <= 4
            if values.get("latitude") is not None:
                assert abs(values["latitude"]) <= 90
    assert set(counts) == {"rmc", "gga", "gsa", "gsv", "vtg", "gll"}
    assert min(counts.values()) > 400


def pynmea2_rows() -> list[dict[str, Any]]:
    return [json.loads(line) for line in PYNMEA2.read_text().splitlines()] if PYNMEA2.is_file() else []


def test_pynmea2_reads_the_same_values(profile):
    read = {}
    for row in pynmea2_rows():
        framer = profile.framer()
        for name, values in decoded(framer.feed(row["sentence"].encode() + b"\r\n") + framer.gap(), profile):
            read[row["sentence"]] = (name, values, row)
    by_name = {name: (values, row["expect"]["fields"]) for name, values, row in read.values() if row["expect"]}

    values, fields = by_name["gga"]
    assert values["time_of_day"] == 16 * 3600 + 14 * 60 + 5.68
    assert values["longitude"] == pytest.approx(fields["@longitude"], abs=1e-12)
    assert values["latitude"] == pytest.approx(37.352387 / 60, abs=1e-12)
    assert (values["satellites_used"], values["altitude"]) == (int(fields["num_sats"]), fields["altitude"])

    values, fields = by_name["gsa"]
    assert values["satellites"] == [int(v) for k, v in fields.items() if k.startswith("sv_id") and v]
    assert (values["pdop"], values["hdop"], values["vdop"]) == (1.6, 1.6, 1.0)

    values, fields = by_name["vtg"]
    assert (values["course_true"], values["speed_knots"], values["speed_kmh"]) == (None, 0.0, None)

    # pynmea2 refuses the backslash behind the check; the framer takes the sentence and reports the rest as garbage
    refused = next(values for name, values, row in read.values() if row["error"])
    assert refused["satellites"] == [{"prn": 24, "elevation": 3, "azimuth": 46, "snr": None}]
    # proprietary sentences and other formatters are no message of this profile
    assert {name for name, _, _ in read.values()} == {"gga", "gsa", "vtg", "gsv"}
