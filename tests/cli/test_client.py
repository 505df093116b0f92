from __future__ import annotations

import pytest

from gateway.cli.client import plain_age, plain_unit, plain_value, table


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "-"),
        (True, "yes"),
        (False, "no"),
        (3.3000000000000003, "3.3"),
        (1234567.0, "1.23457e+06"),
        (101325, "101325"),
        ("holding", "holding"),
        ([], "none"),
        (["stall", "hot"], "stall,hot"),
        ({"prn": 5}, '{"prn": 5}'),
    ],
)
def test_a_value_is_written_for_people(value: object, expected: str) -> None:
    assert plain_value(value) == expected


def test_ucum_one_is_no_unit() -> None:
    assert [plain_unit(unit) for unit in ("1", "Cel")] == ["", "Cel"]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(None, "-"), (0.04, "0.0s"), (9.9, "9.9s"), (12.3, "12s"), (240, "4m"), (10_000, "3h"), (400_000, "5d")],
)
def test_an_age_is_written_for_people(seconds: float | None, expected: str) -> None:
    assert plain_age(seconds) == expected


def test_a_table_lines_up_its_columns() -> None:
    assert table([("A", "B"), ("long", "x")]) == "A     B\nlong  x"
