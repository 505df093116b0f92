from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.shadow.reconcile import Coherence, agree, coherence, is_storable

TOLERANCE = 10
D = 1000  # desired
AT, OFF = D + 4, D - 500  # within the tolerance of it, and not

# rows: R is there, R is stale, D is there, R agrees with D, a command is open, E: none / agrees with D / differs
# `-`: whatever it is
TABLE = """
no  -   -   -   -   -        UNKNOWN
yes yes -   -   -   -        STALE
yes no  no  -   -   -        STABLE
yes no  yes yes -   -        STABLE
yes no  yes no  yes -        PENDING
yes no  yes no  no  differs  CLAMPED
yes no  yes no  no  none     DIVERGED
yes no  yes no  no  agrees   DIVERGED
"""
ROWS = [row.split() for row in TABLE.strip().splitlines()]
INPUTS = list(
    itertools.product(("yes", "no"), ("yes", "no"), ("yes", "no"), ("yes", "no"), ("yes", "no"),
                      ("none", "agrees", "differs"))
)  # fmt: skip


def word_of(inputs: tuple[str, ...]) -> str:
    for *row, word in ROWS:
        if all(cell in {"-", given} for cell, given in zip(row, inputs, strict=True)):
            return word
    raise AssertionError(f"the table says nothing about {inputs}")


@pytest.mark.parametrize("inputs", INPUTS, ids="-".join)
def test_coherence_is_what_the_table_says_for_every_combination(inputs: tuple[str, ...]) -> None:
    is_reported, is_stale, is_desired, is_agreed, is_open, effective = inputs

    word = coherence(
        D if is_desired == "yes" else None,
        None if is_reported == "no" else AT if is_agreed == "yes" else OFF,
        {"none": None, "agrees": AT, "differs": OFF}[effective],
        tolerance=TOLERANCE,
        is_stale=is_stale == "yes",
        is_open=is_open == "yes",
    )

    assert word == word_of(inputs)


def test_every_word_stands_in_the_table() -> None:
    assert {row[-1] for row in ROWS} == set(Coherence)


@pytest.mark.parametrize(
    ("one", "other", "tolerance", "expected"),
    [
        (1000, 1010, 10, True),
        (1000, 1011, 10, False),
        (21.0, 20.9, 0.1, True),  # 0.10000000000000142 in doubles
        (21.0, 20.899, 0.1, False),
        (0.1 + 0.2, 0.3, 0, True),
        (1, 1.0, 0, True),
        (1 << 63, (1 << 63) + 1, 0, False),  # not told apart by doubles
        (1 << 63, (1 << 63) + 1, 1, True),
        (10**400, 1.0, 5, False),
        (True, False, 1, False),  # no tolerance makes on the same as off
        (True, 1, 0, True),
        (0, True, 1, False),
        ("auto", "auto", 5, True),
        ("auto", "manual", 5, False),
        ("auto", 2, 5, False),  # a label, and a raw number that has none
        ("1", 1, 5, False),
        ([1, 2.05], [1, 2], 0.1, True),
        ([1, 2], [1, 2, 3], 5, False),
        ({"x": 1.0}, {"x": 1.05}, 0.1, True),
        ({"x": 1.0}, {"y": 1.0}, 0.1, False),
        ([1], 1, 0, False),
        (math.nan, math.nan, 5, False),
        (math.inf, math.inf, 5, False),
        (math.inf, 1, math.inf, False),
        ([math.nan], [math.nan], 5, False),
        (0.0, -0.0, 0, True),
    ],
)
def test_two_values_agree_as_the_table_says(one: Any, other: Any, tolerance: float, expected: bool) -> None:
    assert (agree(one, other, tolerance), agree(other, one, tolerance)) == (expected, expected)


@pytest.mark.parametrize("value", [None, math.nan, -math.inf, [1, math.nan], {"x": [math.inf]}])
def test_nothing_and_nan_are_never_stored(value: Any) -> None:
    assert not is_storable(value)


@pytest.mark.parametrize("value", [0, False, "", [], 1e308, [None, 1], {"x": "nan"}])
def test_everything_else_may_be_stored(value: Any) -> None:
    assert is_storable(value)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3)
)


@given(one=ANYTHING, other=ANYTHING, tolerance=st.floats(0, 1e6))
def test_agreeing_is_mutual_and_never_raises(one: Any, other: Any, tolerance: float) -> None:
    assert agree(one, other, tolerance) is agree(other, one, tolerance)


@given(value=ANYTHING.filter(is_storable))
def test_what_may_be_stored_agrees_with_itself(value: Any) -> None:
    assert agree(value, value, 0)


@given(one=st.integers() | st.floats(), other=st.integers() | st.floats(), more=st.floats(0, 1e6))
def test_a_wider_tolerance_parts_nothing(one: float, other: float, more: float) -> None:
    assert agree(one, other, more) or not agree(one, other, 0)
