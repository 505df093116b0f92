"""UBX streams of real receivers: every frame and value that pyubx2 found, and every byte accounted for."""

import json
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest

from gateway.frame import Garbage
from gateway.profile.build import CompiledProfile
from gateway.profile.load import find_profile, load_profile
from gateway.schema.plan import values_of

FOLDER = find_profile("ublox-nav").parent
DATA = Path(__file__).parents[3] / "shared" / "data" / "uart" / "ubx"
FILES = [
    f"pygpsdata-{name}.log"
    for name in (
        "ALL",
        "CFG",
        "ESF",
        "HNR",
        "MIXED2",
        "MIXED3",
        "MIXED3BADCK",
        "NAV-ZED-X20P",
        "NMEABADEND",
        "RXMRAWX",
    )
]
FIX_TYPES = ["no_fix", "dead_reckoning", "2d", "3d", "gnss_dead_reckoning", "time_only"]
CONSTELLATIONS = ["gps", "sbas", "galileo", "beidou", "imes", "qzss", "glonass", "navic"]
pytestmark = pytest.mark.conformance


@cache
def expected():
    path = DATA / "expected_frames.jsonl"
    if not path.exists():
        pytest.skip(f"{path} is absent")
    return [json.loads(line) for line in path.read_text().splitlines()]


def stream_of(name):
    path = DATA / "pyubx2" / "tests" / name
    if not path.exists():
        pytest.skip(f"{path} is absent")
    return path.read_bytes()


def compiled():
    return CompiledProfile(load_profile(FOLDER / "profile.toml"))


def near(values):
    return {
        name: pytest.approx(value, rel=1e-9) if isinstance(value, float) else value for name, value in values.items()
    }


def nav_pvt(theirs):
    """pyubx2 keeps mm and mm/s, and has applied the scale of angles and pDOP."""
    plain = {
        "iTOW": "itow",
        "year": "year",
        "month": "month",
        "day": "day",
        "hour": "hour",
        "min": "minute",
        "second": "second",
        "nano": "nanosecond",
        "numSV": "satellites_used",
        "lon": "longitude",
        "lat": "latitude",
        "headMot": "heading_of_motion",
        "headAcc": "heading_accuracy",
        "pDOP": "pdop",
    }
    thousandths = {
        "height": "height",
        "hMSL": "height_msl",
        "hAcc": "horizontal_accuracy",
        "vAcc": "vertical_accuracy",
        "velN": "velocity_north",
        "velE": "velocity_east",
        "velD": "velocity_down",
        "gSpeed": "ground_speed",
        "sAcc": "speed_accuracy",
    }
    ours = {name: theirs[key] for key, name in plain.items()}
    ours |= {name: theirs[key] / 1000 for key, name in thousandths.items()}
    return ours | {"fix_type": FIX_TYPES[theirs["fixType"]]}


def satellite(theirs, number):
    def of(key):
        return theirs[f"{key}_{number:02d}"]

    return {
        "gnss": CONSTELLATIONS[of("gnssId")],
        "sv": of("svId"),
        "cno": of("cno"),
        "elevation": None if of("elev") == -91 else of("elev"),
        "azimuth": of("azim"),
        "residual": of("prRes"),
        "quality": of("qualityInd"),
        "used": bool(of("svUsed")),
        "health": ["unknown", "healthy", "unhealthy"][of("health")],
        "differential": bool(of("diffCorr")),
        "smoothed": bool(of("smoothed")),
    }


@pytest.mark.parametrize("name", FILES)
def test_every_frame_of_a_stream_is_found_and_every_byte_is_accounted_for(name):
    stream = stream_of(name)
    rows = [row for row in expected() if row["file"] == name and row["kind"] == "UBXMessage"]
    wires = [bytes.fromhex(row["raw"]["hex"]) for row in rows]
    framer = compiled().framer()

    found = [*framer.feed(stream), *framer.gap()]

    bodies = [piece for piece in found if not isinstance(piece, Garbage)]
    garbage = sum(len(piece.raw) for piece in found if isinstance(piece, Garbage))
    assert bodies == [wire[2:-2] for wire in wires]
    assert garbage + sum(map(len, wires)) == len(stream)
    assert [framer.encode(body) for body in bodies] == wires


def test_every_navigation_solution_reads_as_pyubx2_reads_it():
    plan = compiled().messages["nav_pvt"]
    rows = [row for row in expected() if row["identity"] == "NAV-PVT"]

    found = [values_of(plan, plan.decode(bytes.fromhex(row["raw"]["hex"])[2:-2])) for row in rows]

    assert len(rows) >= 8
    for ours, row in zip(found, rows, strict=True):
        assert ours == near(nav_pvt(row["fields"]))


def test_every_satellite_reads_as_pyubx2_reads_it():
    plan = compiled().messages["nav_sat"]
    rows = [row for row in expected() if row["identity"] == "NAV-SAT"]

    assert len(rows) >= 4
    for row in rows:
        ours = values_of(plan, plan.decode(bytes.fromhex(row["raw"]["hex"])[2:-2]))
        theirs = row["fields"]
        assert ours["itow"] == theirs["iTOW"]
        assert len(ours["satellites"]) == theirs["numSvs"]
        for number, found in enumerate(ours["satellites"], 1):
            assert found == near(satellite(theirs, number))


def test_only_navigation_messages_match():
    match = compiled().match
    names = {"NAV-PVT": "nav_pvt", "NAV-SAT": "nav_sat"}
    rows = [row for row in expected() if row["kind"] == "UBXMessage"]

    found = [match(bytes.fromhex(row["raw"]["hex"])[2:-2], None) for row in rows]

    assert found == [names.get(row["identity"]) for row in rows]


@pytest.mark.parametrize(("name", "least"), [("ublox-glo", 299), ("ublox-neo-m8p", 58)])
def test_positions_and_speeds_are_those_that_gpsd_reports_at_the_same_instant(name, least):
    """gpsd rounds to 0.1 um of arc, mm and mm/s; it reports no position where the receiver has no fix."""
    log = DATA.parent / "gpsd" / "test" / "daemon" / f"{name}.log"
    if not log.exists():
        pytest.skip(f"{log} is absent")
    profile = compiled()
    framer, plan = profile.framer(), profile.messages["nav_pvt"]
    bodies = [body for body in framer.feed(log.read_bytes()) if not isinstance(body, Garbage)]
    ours = [values_of(plan, plan.decode(body)) for body in bodies if profile.match(body, None) == "nav_pvt"]
    reports = {}
    for line in log.with_suffix(".log.chk").read_text(errors="replace").splitlines():
        if '"class":"TPV"' in line:
            report = json.loads(line)
            reports.setdefault(report.get("time"), []).append(report)

    met = [(values, reports[instant(values)]) for values in ours if instant(values) in reports]

    assert len(met) >= least
    for values, theirs in met:
        if values["fix_type"] == "no_fix":
            assert all("lat" not in report for report in theirs)
        else:
            assert any(is_same_fix(values, report) for report in theirs), values


def instant(values):
    whole = datetime(*(values[part] for part in ("year", "month", "day", "hour", "minute", "second")), tzinfo=UTC)
    moment = whole + timedelta(milliseconds=round(values["nanosecond"] / 1e6))
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def is_same_fix(values, report):
    pairs = [("latitude", "lat", 2e-7), ("longitude", "lon", 2e-7), ("height", "altHAE", 2e-3)]
    pairs += [("height_msl", "altMSL", 2e-3), ("ground_speed", "speed", 2e-3)]
    return "lat" in report and all(
        abs(values[mine] - report[theirs]) < within for mine, theirs, within in pairs if theirs in report
    )
