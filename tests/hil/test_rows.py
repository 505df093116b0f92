"""Rows compared field by field."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.rows import compare, rows_of

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.floats(-9, 9) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
rows = st.lists(st.dictionaries(st.sampled_from(["a", "b", "c"]), json_values, max_size=3), max_size=5)


@given(rows=rows)
def test_rows_are_equal_to_themselves_in_any_order_of_fields(rows):
    turned = [dict(reversed(row.items())) for row in rows]

    assert rows_of(rows) == rows
    assert compare(rows, turned) is None


@given(golden=rows, got=rows)
def test_without_tolerance_rows_are_equal_when_their_values_are(golden, got):
    same = [_strict(row) for row in golden] == [_strict(row) for row in got]

    assert (compare(golden, got) is None) == same


def _strict(value):
    """Return a value in which true is not 1, as in JSON."""
    if isinstance(value, dict):
        return {key: _strict(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_strict(inner) for inner in value]
    return repr(value) if isinstance(value, bool) else value


def test_the_first_difference_names_its_row_field_and_values():
    golden = [{"n": n, "t": 20.0} for n in range(6)]
    got = [*golden[:4], {"n": 4, "t": 21.5}, {"n": 9, "t": 0}]

    difference = compare(golden, got)

    assert difference is not None
    assert (difference.row, difference.field, difference.expected, difference.got) == (5, "t", 20.0, 21.5)
    assert difference.context == golden[1:4]
    assert str(difference).splitlines() == [
        "t is 21.5, golden 20.0",
        '    2 {"n":1,"t":20.0}',
        '    3 {"n":2,"t":20.0}',
        '    4 {"n":3,"t":20.0}',
        "  - 5 t: 20.0",
        "  + 5 t: 21.5",
    ]


@pytest.mark.parametrize(
    ("golden", "got", "tolerance", "equal"),
    [
        (1.0, 1.1, 0.1, True),  # exactly as far, though not in floats
        (1.0, 1.1000001, 0.1, False),
        (100, 102, "2%", True),
        (100, 102.1, "2%", False),
        (-100, -98, "2 %", True),
        (0, 1, "2%", False),
        (1, 1.5, "0.5", True),
        ([1, 2], [1.05, 1.95], 0.1, True),
        ([1, 2], [1.05, 2.2], 0.1, False),
        ({"x": {"y": 1}}, {"x": {"y": 2}}, 1, True),
        ({"x": 1}, {"y": 1}, 1, False),
        ([1], [1, 1], 9, False),
        ("1", 1, 9, False),
        (True, 1, 9, False),
        (None, 0, 9, False),
        (10**30, 10**30 + 1, 1, True),
    ],
)
def test_a_tolerance_holds_for_every_number_of_its_field_and_for_numbers_only(golden, got, tolerance, equal):
    assert (compare([{"v": golden, "w": 0}], [{"v": got, "w": 0}], {"v": tolerance}) is None) == equal


def test_a_tolerance_is_told_where_it_did_not_suffice():
    assert "v is 3, golden 1 (tolerance 2%)" in str(compare([{"v": 1}], [{"v": 3}], {"v": "2%"}))


def test_a_difference_within_a_table_says_the_way_to_it():
    difference = compare([{"v": {"x": [1, {"y": 2}]}}], [{"v": {"x": [1, {"y": 3}]}}])

    assert (difference.field, difference.expected, difference.got) == ("v.x[1].y", 2, 3)


def test_ignored_fields_may_differ_and_be_missing():
    assert compare([{"t": 1, "v": 1}], [{"v": 1}], ignore=["t"]) is None
    assert compare([{"v": 1}], [{"t": 2, "v": 1}], ignore=["t"]) is None


def test_a_field_that_is_missing_or_new_is_a_difference():
    assert "v is missing, golden null" in str(compare([{"v": None}], [{}]))
    assert "v is null, and the golden row has none" in str(compare([{}], [{"v": None}]))


def test_rows_that_are_missing_or_too_many_are_a_difference():
    missing = compare([{"v": 1}, {"v": 2}], [{"v": 1}])
    surplus = compare([{"v": 1}], [{"v": 1}, {"v": 2}])

    assert (missing.row, missing.field, missing.expected, missing.got) == (2, None, {"v": 2}, None)
    assert (surplus.row, surplus.field, surplus.expected, surplus.got) == (2, None, None, {"v": 2})
    assert str(missing).splitlines() == ["row 2 is missing: 1 came of 2", '    1 {"v":1}', '  - 2 {"v":2}']
    assert str(surplus).splitlines()[-1] == '  + 2 {"v":2}'


@pytest.mark.parametrize("tolerance", [-1, math.nan, math.inf, "x", "", "%", "-2%", True, None])
def test_a_tolerance_that_is_none_is_refused(tolerance):
    with pytest.raises(ValueError, match="tolerance of v"):
        compare([], [], {"v": tolerance})


def test_a_single_number_is_no_tolerance_by_field():
    with pytest.raises(ValueError, match=r"give it by field: \{'voltage': 0\.5\}"):
        compare([], [], 0.5)


def test_a_single_name_is_no_list_of_ignored_fields():
    with pytest.raises(ValueError, match=r"\['time'\]"):
        compare([], [], ignore="time")


@dataclass
class Sample:
    name: str
    raw: bytes


class Struct(msgspec.Struct):
    sample: Sample


class Record:
    def line(self):
        return b'{"t_ns":1,"bus":"uart0"}\n'


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"v": b"\x01\xff", "w": (1, 2)}, {"v": "01ff", "w": [1, 2]}),
        (Sample("x", b"\xab"), {"name": "x", "raw": "ab"}),
        (Struct(Sample("x", b"\xab")), {"sample": {"name": "x", "raw": "ab"}}),
        ({"v": Sample("x", bytearray(b"\xab"))}, {"v": {"name": "x", "raw": "ab"}}),
        ({"v": datetime(2026, 1, 2, tzinfo=UTC)}, {"v": "2026-01-02T00:00:00Z"}),
        (Record(), {"t_ns": 1, "bus": "uart0"}),
    ],
)
def test_records_and_structures_are_rows(row, expected):
    assert rows_of([row]) == [expected]


@pytest.mark.parametrize("row", [{"v": math.nan}, {"v": object()}, {"v": "\ud800"}, object(), 5, [1], "text", None])
def test_what_is_no_row_is_refused_with_its_number(row):
    with pytest.raises(ValueError, match="row 2"):
        rows_of([{}, row])


def test_a_row_without_end_is_refused():
    row = {}
    row["v"] = row
    with pytest.raises(ValueError, match="row 1"):
        rows_of([row])


def test_a_number_that_json_lacks_is_named_with_its_row_and_field():
    with pytest.raises(ValueError, match="row 2, field 'speed', is nothing that JSON can hold"):
        rows_of([{"speed": 1.0}, {"name": "x", "speed": float("nan")}])
