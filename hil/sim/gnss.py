"""A GNSS receiver aboard a small boat, as NMEA 0183 writes it: no position for the first seconds, then a round trip.

Sentences are written here from the standard, not by the profile that reads them: the one is a check on the other.
Source: NMEA 0183 version 4.11, approved sentences RMC, GGA, GSA, GSV, VTG, GLL.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

PERIOD_S: Final = 1.0
SECONDS_TO_FIRST_FIX: Final = 3
CENTRE: Final = (54.3960, 10.2010)  # off the mouth of a fjord
RADIUS_M: Final = 900.0
SPEED_KN: Final = 6.2
METRES_PER_DEGREE: Final = 111_120.0  # of latitude: 60 nautical miles
METRES_PER_S_PER_KNOT: Final = 1852 / 3600
START: Final = datetime(2026, 6, 21, 10, 20, 0, tzinfo=UTC)


class Fix(NamedTuple):
    """Where the boat is and how it moves."""

    latitude_deg: float
    longitude_deg: float
    course_deg: float
    speed_kn: float


class Satellite(NamedTuple):
    """One satellite in view."""

    number: int
    elevation_deg: int
    azimuth_deg: int
    snr_db: int | None


def sentence(body: str) -> bytes:
    """Return a sentence on the wire: `$`, body, the xor of the body's characters in hex, CR LF."""
    check = 0
    for byte in body.encode("ascii"):
        check ^= byte
    return f"${body}*{check:02X}\r\n".encode("ascii")


def seconds(seed: int = 7, start: datetime = START) -> Iterator[bytes]:
    """Give what the receiver says each second, without end; the same seed gives the same bytes."""
    random_ = random.Random(seed)  # noqa: S311 - measurement noise
    for number in _count():
        when = start + timedelta(seconds=number)
        if number < SECONDS_TO_FIRST_FIX:
            yield _searching(when)
        else:
            yield _position(when, _fix(number, random_), _sky(number, random_))


def recording(length_s: int, seed: int = 7) -> bytes:
    """Return the first seconds of the stream as a raw log, for `replay:`."""
    stream = seconds(seed)
    return b"".join(next(stream) for _ in range(length_s))


def _count() -> Iterator[int]:
    number = 0
    while True:
        yield number
        number += 1


def _fix(number: int, random_: random.Random) -> Fix:
    speed_kn = SPEED_KN + 0.4 * math.sin(number / 17) + random_.gauss(0, 0.03)
    turned = number * SPEED_KN * METRES_PER_S_PER_KNOT / RADIUS_M  # radians, clockwise from north
    north_m = RADIUS_M * math.cos(turned) + random_.gauss(0, 0.4)
    east_m = RADIUS_M * math.sin(turned) + random_.gauss(0, 0.4)
    latitude = CENTRE[0] + north_m / METRES_PER_DEGREE
    longitude = CENTRE[1] + east_m / (METRES_PER_DEGREE * math.cos(math.radians(CENTRE[0])))
    return Fix(latitude, longitude, (math.degrees(turned) + 90) % 360, speed_kn)


def _sky(number: int, random_: random.Random) -> list[Satellite]:
    tracks = ((2, 71, 110), (5, 44, 295), (7, 18, 38), (11, 9, 204), (13, 55, 181), (20, 31, 73), (29, 25, 322))
    return [
        Satellite(
            prn,
            max(1, min(90, round(elevation + 3 * math.sin(number / 400 + prn)))),
            round(azimuth + number / 60) % 360,
            None if elevation < 10 else round(24 + elevation / 4 + random_.gauss(0, 1)),
        )
        for prn, elevation, azimuth in tracks
    ]


def _searching(when: datetime) -> bytes:
    clock, date = _clock(when), f"{when:%d%m%y}"
    return b"".join(
        map(
            sentence,
            (
                f"GNRMC,{clock},V,,,,,,,{date},,,N",
                f"GNGGA,{clock},,,,,0,00,99.9,,M,,M,,",
                "GNGSA,A,1,,,,,,,,,,,,,99.9,99.9,99.9",
                "GPGSV,1,1,00",
                "GNVTG,,T,,M,,N,,K,N",
                f"GNGLL,,,,,{clock},V,N",
            ),
        )
    )


def _position(when: datetime, fix: Fix, sky: list[Satellite]) -> bytes:
    clock, date = _clock(when), f"{when:%d%m%y}"
    north, east = _degrees(fix.latitude_deg, 2, "NS"), _degrees(fix.longitude_deg, 3, "EW")
    used = [satellite.number for satellite in sky if satellite.snr_db is not None]
    numbers = ",".join([f"{number:02d}" for number in used] + [""] * (12 - len(used)))
    knots, kmh = f"{fix.speed_kn:.2f}", f"{fix.speed_kn * 1.852:.2f}"
    course, compass = f"{fix.course_deg:.1f}", f"{(fix.course_deg - 4.1) % 360:.1f}"
    return b"".join(
        map(
            sentence,
            [
                f"GNRMC,{clock},A,{north},{east},{knots},{course},{date},4.1,E,A",
                f"GNGGA,{clock},{north},{east},1,{len(used):02d},0.9,2.4,M,42.6,M,,",
                f"GNGSA,A,3,{numbers},1.6,0.9,1.3",
                *_in_view(sky),
                f"GNVTG,{course},T,{compass},M,{knots},N,{kmh},K,A",
                f"GNGLL,{north},{east},{clock},A,A",
            ],
        )
    )


def _in_view(sky: list[Satellite]) -> list[str]:
    groups = [sky[start : start + 4] for start in range(0, len(sky), 4)]
    return [
        f"GPGSV,{len(groups)},{place},{len(sky):02d}" + "".join(map(_satellite, group))
        for place, group in enumerate(groups, 1)
    ]


def _satellite(one: Satellite) -> str:
    snr = "" if one.snr_db is None else str(one.snr_db)
    return f",{one.number:02d},{one.elevation_deg:02d},{one.azimuth_deg:03d},{snr}"


def _clock(when: datetime) -> str:
    return f"{when:%H%M%S}.{when.microsecond // 10_000:02d}"


def _degrees(value: float, digits: int, letters: str) -> str:
    """Return ddmm.mmmmm,N: degrees of fixed width, minutes with five decimals (about 2 cm)."""
    total = round(abs(value) * 60 * 100_000)
    whole, rest = divmod(total, 60 * 100_000)
    return f"{whole:0{digits}d}{rest // 100_000:02d}.{rest % 100_000:05d},{letters[value < 0]}"
