"""The profile sirf over a receiver's recording, against what gpsd read in it."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.frame import Garbage
from gateway.profile.build import CompiledProfile
from gateway.profile.load import find_profile, load_profile
from gateway.schema.plan import Refused, values_of

LOG = Path(__file__).parents[3] / "shared" / "data" / "uart" / "gpsd" / "test" / "daemon" / "bu303-moving.log"
pytestmark = pytest.mark.conformance


def decoded(stream: bytes) -> dict[str, list[dict[str, Any]]]:
    """Return the values of every message, by its name."""
    compiled = CompiledProfile(load_profile(find_profile("sirf")))
    framer = compiled.framer()
    found: dict[str, list[dict[str, Any]]] = {}
    for body in [*framer.feed(stream), *framer.gap()]:
        name = None if isinstance(body, Garbage) else compiled.match(body, None)
        if name is not None:
            plan = compiled.messages[name]
            found.setdefault(name, []).append(values_of(plan, plan.decode(body)))
    return found


def recorded() -> tuple[dict[str, list[dict[str, Any]]], list[dict[str, Any]]]:
    if not LOG.exists():
        pytest.skip(f"{LOG} is absent")
    told = Path(f"{LOG}.chk").read_text().splitlines()
    return decoded(LOG.read_bytes()), [json.loads(line) for line in told if line.startswith("{")]


def test_every_position_and_velocity_is_gpsds():
    ours, told = recorded()
    positions = [report for report in told if report["class"] == "TPV"]
    read = [
        [fix[key] for key in ("x", "y", "z", "velocity_x", "velocity_y", "velocity_z")] for fix in ours["navigation"]
    ]
    assert read == [
        [
            *(report[key] for key in ("ecefx", "ecefy", "ecefz")),
            *(pytest.approx(report[key], abs=0.0051) for key in ("ecefvx", "ecefvy", "ecefvz")),
        ]
        for report in positions
    ]


def test_every_satellite_stands_where_gpsd_saw_it():
    ours, told = recorded()
    skies = [report["satellites"] for report in told if report["class"] == "SKY" and "satellites" in report]
    assert len(skies) > 3
    read = [
        {each["satellite"]: (each["azimuth"], each["elevation"]) for each in sky["tracked"] if each["satellite"]}
        for sky in ours["tracker"]
    ]
    told_places = [{each["PRN"]: (each["az"], each["el"]) for each in sky} for sky in skies]
    assert [{key: sky[key] for key in places} for sky, places in zip(read, told_places, strict=True)] == told_places


def test_a_spoilt_byte_anywhere_in_a_frame_refuses_it():
    frame = bytes.fromhex("a0a20009090000000000ba00440107b0b3")
    assert decoded(frame)["throughput"][0]["last"] == 68
    for place in range(len(frame)):
        spoilt = bytearray(frame)
        spoilt[place] ^= 1
        with contextlib.suppress(Refused):  # the tail is a constant of the message
            assert decoded(bytes(spoilt)) == {}
