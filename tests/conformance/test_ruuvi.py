"""RuuviTag advertisements: the manufacturer's own test vectors, and other formats of the same maker left alone."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.profile.build import CompiledProfile
from gateway.profile.load import find_profile, load_profile
from gateway.schema.advert import elements_of
from gateway.schema.plan import values_of
from gateway.taint import TRUST_RANGE

FOLDER = find_profile("ruuvitag-df5").parent
DATA = Path(__file__).parents[3] / "shared" / "data" / "ble" / "recorded" / "ruuvitag-sensor.jsonl"
GOLDEN = [json.loads(line) for line in (FOLDER / "golden.jsonl").read_text().splitlines()]
pytestmark = pytest.mark.conformance


def near(values):
    return {
        name: pytest.approx(value, rel=1e-9) if isinstance(value, float) else value for name, value in values.items()
    }


@pytest.fixture(scope="module")
def compiled():
    return CompiledProfile(load_profile(FOLDER / "profile.toml"))


@pytest.mark.parametrize("row", GOLDEN, ids=lambda row: row["source"].rpartition(": ")[2])
def test_the_makers_vectors_read_as_documented(row, compiled):
    [(body, element)] = elements_of(row["adv"])
    plan = compiled.messages["df5"]

    assert compiled.match(body, element) == "df5"
    assert values_of(plan, plan.decode(body)) == near(row["values"])


@pytest.mark.parametrize("row", GOLDEN[:3], ids=lambda row: row["source"].rpartition(": ")[2])
def test_the_makers_vectors_can_be_written(row, compiled):
    [(body, _element)] = elements_of(row["adv"])
    inside = {name: value for name, value in row["values"].items() if name != "humidity"}

    encoded = compiled.messages["df5"].encode(inside | {"humidity": min(row["values"]["humidity"], 100)})

    assert encoded[:3] + encoded[5:] == body[:3] + body[5:]


def test_humidity_over_100_is_kept_and_marked(compiled):
    [(body, _element)] = elements_of(GOLDEN[1]["adv"])

    assert compiled.messages["df5"].decode(body)[-1] == TRUST_RANGE


def test_other_formats_of_the_same_maker_are_not_format_5(compiled):
    if not DATA.exists():
        pytest.skip(f"{DATA} is absent")
    rows = [json.loads(line) for line in DATA.read_text().splitlines()]
    others = [row["data"] for row in rows if row["decoder"] == "DfE1Decoder"]

    assert others
    for data in others:
        [(body, element)] = elements_of({"address": "A", "manufacturer_data": {"1177": data}})
        assert compiled.match(body, element) is None


@given(st.integers(-32767, 32767))
def test_any_temperature_count_is_5_thousandths_of_a_degree(compiled, count):
    body = b"\x05" + count.to_bytes(2, "big", signed=True) + bytes(21)

    assert compiled.messages["df5"].decode(body)[0] == pytest.approx(count / 200, rel=1e-9)
