"""Transforms of Bluetooth devices: documented vectors, and that no bytes at all make one raise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.schema.transforms_ble import BLE


@pytest.mark.parametrize(
    ("raw", "temperature"),
    [(0x1A1E, 26.3), (0x7F63, 127.99), (0xFF63, -127.99), (0x8001, -0.01), (0x0000, 0.0), (0x1A64, None), (None, None)],
)
def test_ruuvi_degrees_have_a_sign_and_hundredths(raw, temperature):
    assert BLE["ruuvi-df3"]({"_temperature": raw}) == {"temperature": temperature}


@pytest.mark.parametrize(
    ("packed", "failed", "temperature", "humidity"),
    [
        (0x0341C2, 0, 21.3, 44.2),
        (0x034DB2, 0, 21.6, 49.8),
        (0x830FC9, 0, -20.0, 64.9),
        (0x8003E7, 0, 0.0, 99.9),
        (0x0341C2, 1, None, None),
        (None, 0, None, None),
        (0x0341C2, None, None, None),
    ],
)
def test_govee_packs_two_values_into_24_bits(packed, failed, temperature, humidity):
    given_values = BLE["govee-packed"]({"_packed": packed, "_failed": failed})
    assert given_values == {"temperature": temperature, "humidity": humidity}


@pytest.mark.parametrize(
    ("scheme", "rest", "url"),
    [
        (3, "6769746875620063697472757a", "https://github.com/citruz"),
        (0, "676f6f07", "http://www.goo.com"),
        (1, "6106", "https://www.a.gov/"),
        (2, "", "http://"),
        (2, "610d", "http://a.gov"),
        (2, "610e", None),
        (2, "6120", None),
        (2, "617f", None),
        (4, "61", None),
        (None, "61", None),
        (2, None, None),
    ],
)
def test_eddystone_urls_are_written_out(scheme, rest, url):
    assert BLE["eddystone-url"]({"_scheme": scheme, "_rest": rest}) == {"url": url}


def test_mopeka_needs_an_echo_and_a_medium_it_knows():
    level = BLE["mopeka-level"]
    heard = {"_echo": 500, "temperature": 70, "quality": 1}
    assert level(heard)["level"] == pytest.approx(174.645)
    assert level({**heard, "medium": 1})["level"] == pytest.approx(
        500 * (0.153096 + 0.000327 * 70 - 0.000000294 * 4900)
    )
    assert level({**heard, "quality": 0}) == {"level": None}
    assert level({**heard, "_echo": None}) == {"level": None}
    assert level({**heard, "medium": 4}) == {"level": None}


NUMBERS = st.none() | st.integers(0, 0xFFFFFF)


@given(
    number=NUMBERS,
    other=NUMBERS,
    failed=st.sampled_from([0, 1, None]),
    rest=st.none() | st.binary(max_size=20).map(bytes.hex),
    medium=st.integers(-2, 9) | st.floats(allow_nan=True),
)
@pytest.mark.parametrize("name", sorted(BLE))
def test_whatever_the_wire_says_gives_the_names_promised(name, number, other, failed, rest, medium):
    fields = {
        "_temperature": number,
        "_packed": number,
        "_failed": failed,
        "_scheme": other,
        "_rest": rest,
        "_echo": number,
        "temperature": other,
        "quality": failed,
        "medium": medium,
    }
    assert tuple(BLE[name](fields)) == BLE[name].gives
