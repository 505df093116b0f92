from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.follow.values import Item, Missing, Span, Stretch
from gateway.sinks.senml import UNITS, is_told, pack
from gateway.units import check_unit
from tests.sinks import senml_rules
from tests.sinks.senml_rules import resolve

NOW = 1_800_000_000.25
SEGMENTS = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,8}", fullmatch=True)
ROUTES = st.builds("{}/{}/{}{}".format, *[SEGMENTS] * 3, st.sampled_from(["", "@desired", "@reported", "@event"]))
TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXTS,
    st.lists(st.one_of(TEXTS, st.integers(-(2**53), 2**53)), max_size=3), st.dictionaries(TEXTS, TEXTS, max_size=2),
)  # fmt: skip
ITEMS = st.builds(
    Item, route=ROUTES, v=VALUES, u=st.sampled_from([*UNITS, "1", "kW.h", "hPa", "[g]"]),
    t=st.floats(0, 4e9), seq=st.integers(1, 2**40), q=st.just("good"),
    taints=st.lists(st.sampled_from(["trust.range", "delivery.dropped"]), unique=True),
)  # fmt: skip


def item(**changes: Any) -> Item:
    told = {"route": "node/climate/temperature", "v": 21.5, "u": "Cel", "t": NOW, "seq": 7, "q": "good", "taints": ()}
    return Item(**{**told, **changes})  # type: ignore[arg-type]


def packed(*items: Item) -> list[dict[str, Any]]:
    found = json.loads(pack("log", Stretch(5, 9, list(items), 3), items))
    assert isinstance(found, list)
    return found


@given(st.lists(ITEMS, min_size=1, max_size=8))
def test_whatever_is_told_resolves_to_what_it_was(items: list[Item]) -> None:
    told = list(filter(is_told, items))
    if not told:
        return
    records = resolve(pack("log", Stretch(1, 2, list(told), 1), told))
    for record, each in zip(records, told, strict=True):
        assert record.name == each.route.replace("@", ":")
        assert record.time == each.t
        assert record.unit == UNITS.get(each.u)
        value = json.loads(record.value) if isinstance(each.v, list | dict) else record.value
        assert (value, type(value)) == (each.v, type(each.v))
        assert record.extra["tg-seq"] == each.seq
        assert record.extra.get("tg-taints", []) == list(each.taints)


def test_a_record_has_the_whole_name_and_the_time_of_its_value() -> None:
    (record,) = packed(item(route="node/climate/temperature@desired"))
    assert (record["n"], record["t"], record["u"]) == ("node/climate/temperature:desired", NOW, "Cel")


@pytest.mark.parametrize(
    ("value", "label", "told"),
    [
        (21.5, "v", 21.5),
        (True, "vb", True),
        ("open", "vs", "open"),
        (["hot", "dry"], "vs", '["hot","dry"]'),
        (10**30, "v", 10**30),
    ],
)
def test_a_value_has_the_label_of_its_kind(value: Any, label: str, told: Any) -> None:
    (record,) = packed(item(v=value))
    assert record[label] == told


def test_the_identity_of_a_value_can_be_told() -> None:
    first, second = packed(item(), item(seq=8))
    assert (first["tg-log"], first["tg-inc"], first["tg-from"], first["tg-to"], first["tg-seq"]) == ("log", 3, 5, 9, 7)
    assert second.keys() == {"n", "t", "tg-seq", "u", "v"}
    assert second["tg-seq"] == 8


@pytest.mark.parametrize("unit", ["kW.h", "hPa", "mV", "[g]"])
def test_a_unit_that_version_10_does_not_know_is_left_out_and_told_as_ucum(unit: str) -> None:
    (record,) = packed(item(u=unit))
    assert "u" not in record
    assert record["tg-u"] == unit


def test_a_value_without_unit_tells_none() -> None:
    (record,) = packed(item(u="1"))
    assert record.keys().isdisjoint({"u", "tg-u"})


@pytest.mark.parametrize(
    "untold",
    [item(v=None), item(t=12.5), Missing(Span(1, 2, "retention"))],
    ids=["no value", "a clock that was never set", "a gap"],
)
def test_what_senml_has_no_word_for_is_not_told(untold: Item | Missing) -> None:
    assert not is_told(untold)


@pytest.mark.parametrize("ucum", UNITS)
def test_units_are_ucum_and_stand_in_the_registry(ucum: str) -> None:
    check_unit(ucum)
    assert UNITS[ucum] in senml_rules.UNITS
