"""Patterns as sets of routes."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.authority.scope import EVERYWHERE, MAX_SCOPE_CHARS, Scope
from gateway.errors import RouteError
from gateway.route import Route, Variant
from tests.authority.kit import route

SEGMENTS = st.sampled_from(["a", "b", "pump"])
VARIANTS = st.sampled_from([Variant.VALUE, Variant.DESIRED, Variant.REPORTED])
ROUTES = st.builds(Route, SEGMENTS, SEGMENTS, SEGMENTS, VARIANTS)


@st.composite
def scopes(draw: st.DrawFn) -> Scope:
    """Draw patterns that match something: a `**` stands wherever fewer than three segments are named."""
    parts = draw(st.lists(SEGMENTS | st.sampled_from(["*", "**"]), min_size=3, max_size=3))
    parts.insert(draw(st.integers(0, 3)), draw(st.sampled_from(["**", ""])))
    return Scope("/".join(filter(None, parts)) + draw(st.sampled_from(["", "@value", "@desired"])))


def sample() -> list[Route]:
    """Return every route of the names that patterns are drawn from, and of one that is in none."""
    names = ("a", "b", "pump", "fresh")
    variants = (Variant.VALUE, Variant.DESIRED, Variant.REPORTED)
    return [Route(*segments, variant) for segments in product(names, repeat=3) for variant in variants]


SAMPLE = sample()

MATCHES = [  # pattern, route, is it held
    ("pump/motor/speed@desired", "pump/motor/speed@desired", True),
    ("pump/motor/speed@desired", "pump/motor/speed", False),
    ("pump/motor/speed@desired", "pump/motor/speed@reported", False),
    ("pump/motor/speed@value", "pump/motor/speed", True),
    ("pump/motor/speed@value", "pump/motor/speed@desired", False),
    ("pump/motor/speed", "pump/motor/speed", True),
    ("pump/motor/speed", "pump/motor/speed@desired", True),
    ("pump/motor/*@desired", "pump/motor/speed@desired", True),
    ("pump/motor/*@desired", "pump/valve/speed@desired", False),
    ("pump/*/speed", "pump/motor/speed@ack", True),
    ("*/motor/speed", "fan/motor/speed", True),
    ("*/*/*", "fan/motor/speed@desired", True),
    ("**", "fan/motor/speed@desired", True),
    ("**@desired", "fan/motor/speed@desired", True),
    ("**@desired", "fan/motor/speed", False),
    ("pump/**", "pump/motor/speed", True),
    ("pump/**", "pump-2/motor/speed", False),
    ("**/speed", "pump/motor/speed", True),
    ("**/speed", "pump/motor/torque", False),
    ("pump/**/speed", "pump/motor/speed", True),
    ("**/motor/**", "pump/motor/speed", True),
    ("**/motor/**", "motor/pump/speed", True),
    ("**/motor/**", "pump/fan/speed", False),
    ("pump/motor/speed/**", "pump/motor/speed", True),
    ("**/**/**/**/pump/**/**", "pump/motor/speed", True),
]


@pytest.mark.parametrize(("pattern", "text", "is_held"), MATCHES)
def test_a_pattern_holds_the_routes_it_says(pattern: str, text: str, is_held: bool) -> None:
    assert Scope(pattern).holds(route(text)) is is_held


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "*",  # one segment is no route
        "pump",
        "pump/motor",
        "pump/*",
        "a/b/c/d",
        "a/b/c/*",
        "a/**/b/c/d",
        "pump//speed",
        "pump/motor/sp*",
        "pump/motor/speed@",
        "pump/motor/speed@wanted",
        "pump/motor/*@*",
        "pump/motor/speed@desired@desired",
        "Pump/**",
        "pump/***",
        "pump/motor/speed#17",
        "/" * 1000,
        "**/" * 1000,
        "a" * (MAX_SCOPE_CHARS + 1),
    ],
)
def test_what_is_no_pattern_or_matches_no_route_is_refused(text: str) -> None:
    with pytest.raises(RouteError):
        Scope(text)


def test_a_device_alone_is_told_how_to_name_all_of_it() -> None:
    with pytest.raises(RouteError, match=r"write 'pump/\*\*'"):
        Scope("pump")


def test_the_scope_of_a_plain_route_holds_none_of_its_variants() -> None:
    assert not Scope.of_route(route("pump/motor/speed")).holds(route("pump/motor/speed@desired"))


def test_a_route_of_any_length_has_a_scope() -> None:
    one = Route("a" * 1000, "b", "c")
    assert Scope.of_route(one).holds(one)


@given(one=ROUTES)
def test_the_scope_of_a_route_is_what_its_text_says(one: Route) -> None:
    assert Scope.of_route(one) == Scope(Scope.of_route(one).text)


def test_a_device_is_all_its_routes() -> None:
    assert Scope.of_device("pump") == Scope("pump/*/*")


def test_what_cannot_name_a_device_has_no_scope() -> None:
    with pytest.raises(RouteError):
        Scope.of_device("pump/motor")


WITHIN = [  # pattern, within these, does it lie
    ("pump/**", ["pump/*/*"], True),
    ("pump/**", ["**"], True),
    ("**", ["pump/**"], False),
    ("**", ["*/*/*"], True),
    ("pump/**", ["pump/**@desired"], False),
    ("pump/**@desired", ["pump/**"], True),
    ("pump/*/speed", ["pump/motor/*", "pump/valve/*"], False),  # there may be a third family
    ("pump/motor/speed", ["pump/motor/*@desired", "pump/motor/*@value"], False),
    ("pump/motor/speed", [f"pump/motor/*@{variant}" for variant in Variant], True),
    ("**/motor/**", ["*/motor/*", "motor/**", "**/motor"], True),
    ("**/motor/**", ["*/motor/*", "motor/**"], False),
    ("pump/**", [], False),
]


@pytest.mark.parametrize(("pattern", "given_", "lies"), WITHIN)
def test_several_scopes_together_hold_another(pattern: str, given_: list[str], lies: bool) -> None:
    assert Scope(pattern).is_within(map(Scope, given_)) is lies


@given(inner=scopes(), outer=st.lists(scopes(), max_size=4), one=ROUTES)
def test_a_route_of_a_scope_within_others_is_held_by_one_of_them(inner: Scope, outer: list[Scope], one: Route) -> None:
    if inner.is_within(outer) and inner.holds(one):
        assert any(scope.holds(one) for scope in outer)


@given(inner=scopes(), outer=st.lists(scopes(), max_size=4))
def test_a_scope_not_within_others_has_a_route_that_none_of_them_holds(inner: Scope, outer: list[Scope]) -> None:
    escapes = [one for one in SAMPLE if inner.holds(one) and not any(scope.holds(one) for scope in outer)]
    assert bool(escapes) is not inner.is_within(outer)


@given(one=scopes(), two=scopes())
def test_scopes_overlap_when_some_route_is_in_both(one: Scope, two: Scope) -> None:
    assert one.overlaps(two) is any(one.holds(each) and two.holds(each) for each in SAMPLE)


@given(one=scopes(), two=scopes())
def test_overlap_has_no_direction(one: Scope, two: Scope) -> None:
    assert one.overlaps(two) is two.overlaps(one)


@given(one=scopes())
def test_everything_lies_within_everywhere(one: Scope) -> None:
    assert one.is_within([EVERYWHERE])


@given(one=scopes())
def test_its_own_text_gives_the_same_scope(one: Scope) -> None:
    assert Scope(one.text) == one


@pytest.mark.parametrize(
    ("pattern", "scope"),
    [
        ("pump", "pump/**"), ("pump/motor", "pump/motor/*"), ("*/motor/speed", "*/motor/speed"), ("*", "**"),
        ("pump/motor/speed@desired", "pump/motor/speed"), ("pu*", "**"), ("pump/mo?or", "**"), ("", "**"),
        ("pump/motor/speed#7", "**"),
    ],
)  # fmt: skip
def test_who_looks_needs_what_the_pattern_may_show(pattern: str, scope: str) -> None:
    assert Scope.of_look(pattern) == Scope(scope)
