from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.plain import MARK, age_text, clock_text, printable, unit_text, value_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (True, "yes"),
        (False, "no"),
        (3.3000000000000003, "3.3"),
        (54.40412, "54.40412"),
        (12345678.0, "1.234568e+07"),
        (101325, "101325"),
        ("holding", "holding"),
        ([], "none"),
        (["stall", "hot"], "stall,hot"),
        ({"prn": 5}, '{"prn": 5}'),
    ],
)
def test_a_value_is_written_for_people(value: object, text: str) -> None:
    assert value_text(value) == text


@pytest.mark.parametrize("value", ["a\x1b[2Jb\r\nc", ["a\x1b[2Jb\r\nc"], {"a\x1b[2Jb\r\nc": 1}, {"a": "\x9b2J"}])
def test_no_value_moves_the_cursor_or_breaks_the_line(value: object) -> None:
    assert value_text(value).isprintable()


@given(st.text())
def test_printable_text_is_printable_and_stays_so(text: str) -> None:
    assert printable(text).isprintable()
    assert printable(printable(text)) == printable(text)


def test_letters_with_accents_stay_however_they_are_spelt() -> None:
    assert printable("Ge\u0301ne\u0301rateur") == "G\u00e9n\u00e9rateur"
    assert printable("x\u0301\u0301") == f"x{MARK}{MARK}"


def test_ucum_one_is_no_unit() -> None:
    assert [unit_text(unit) for unit in ("1", "Cel")] == ["", "Cel"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.04, "0.0s"),
        (-0.1, "0.0s"),
        (9.94, "9.9s"),
        (42, "42s"),
        (240, "4m"),
        (3000, "50m"),
        (36_000, "10h"),
        (400_000, "5d"),
    ],
)
def test_an_age_is_short(seconds: float | None, text: str) -> None:
    assert age_text(seconds) == text


def test_a_time_is_local_with_milliseconds() -> None:
    wall_s = 1_700_000_000.25
    assert clock_text(wall_s) == time.strftime("%H:%M:%S", time.localtime(wall_s)) + ".250"
