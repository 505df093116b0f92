"""Parameters: values of a device put into texts, hex and sums."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.profile.model import ParamSpec
from gateway.profile.params import Parameters, check_value, example_of, resolve, sum_of

SPECS = {
    "unit": ParamSpec(type="u8", default=1, minimum=1, maximum=247),
    "node": ParamSpec(type="u16le"),
    "shift": ParamSpec(type="s16be", default=-2),
    "key": ParamSpec(type="key"),
    "label": ParamSpec(default="Cellar"),
}


def filled(**given_values: object) -> Parameters:
    parameters, wrong = resolve(SPECS, {"node": 0x102, "key": "00FF", **given_values})
    assert wrong == {}
    return parameters


def test_a_name_in_braces_becomes_the_value() -> None:
    assert filled().as_text("{label} {unit}/{node}") == "Cellar 1/258"


def test_braces_that_name_nothing_possible_stay() -> None:
    assert filled().as_text("{} {1} { unit }") == "{} {1} { unit }"


def test_in_hex_a_value_is_written_in_its_type() -> None:
    assert filled().as_hex("{unit} {node} {shift} {key}") == "01 0201 fffe 00ff"
    assert filled(label="A").as_hex("{label}") == "41"


def test_in_units_braces_are_annotations_unless_they_name_a_parameter() -> None:
    assert filled().as_units("{rev}/{label}") == "{rev}/Cellar"


def test_a_sum_of_integers_is_added_up() -> None:
    assert sum_of("0x180 + 5") == 0x185
    assert sum_of("1+2+0x10") == 19


@pytest.mark.parametrize("text", ["", "+", "1 +", "x", "1 - 2", "1 * 2", "0x", "1_0", "__import__('os')", "9" * 30])
def test_what_is_no_sum_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no sum"):
        sum_of(text)


@given(st.lists(st.integers(0, 2**60), min_size=1, max_size=5), st.booleans())
def test_a_sum_means_what_it_says(numbers: list[int], is_hex: bool) -> None:
    assert sum_of(" + ".join(hex(number) if is_hex else str(number) for number in numbers)) == sum(numbers)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("unit", 5, 5),
        ("unit", "5", 5),
        ("unit", "0x0a", 10),
        ("shift", "-3", -3),
        ("key", "00 fF", "00ff"),
        ("label", 7, "7"),
    ],
)
def test_a_value_is_read_as_its_type(name: str, value: object, expected: object) -> None:
    assert check_value(SPECS[name], value) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("unit", 0),
        ("unit", 248),
        ("unit", "x"),
        ("unit", True),
        ("unit", 1.5),
        ("node", 65536),
        ("key", "0"),
        ("label", True),
    ],
)
def test_a_value_outside_its_type_is_refused(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=r"outside|no integer|hex|no text"):
        check_value(SPECS[name], value)


def test_a_value_that_must_be_given_and_is_not_is_told() -> None:
    _, wrong = resolve(SPECS, {"node": 1})
    assert list(wrong) == ["key"]


def test_a_value_for_no_parameter_is_told_with_the_nearest() -> None:
    _, wrong = resolve(SPECS, {"node": 1, "key": "00", "unti": 3})
    assert wrong == {"unti": "the profile has no parameter 'unti'; did you mean 'unit'?"}


def test_examples_stand_in_where_nobody_gives_values() -> None:
    parameters, wrong = resolve(SPECS, None)
    assert wrong == {}
    assert parameters.values == {"unit": 1, "node": 1, "shift": -2, "key": "00" * 16, "label": "Cellar"}
    assert example_of(ParamSpec(type="u8", minimum=7)) == 7


def test_a_key_makes_the_whole_secret() -> None:
    assert filled().have_secrets
    assert not Parameters({"unit": SPECS["unit"]}, {"unit": 1}).have_secrets
