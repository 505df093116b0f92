"""What nobody granted is denied."""

from __future__ import annotations

import pytest

from gateway.authority.grants import VERBS, Grants, Verb, check_principal, instant_ns, instant_text
from gateway.authority.scope import EVERYWHERE, Scope
from gateway.errors import UsageError
from tests.authority.kit import NOW_NS, S, grant, grants, moment

SPEED = Scope("pump/motor/speed@desired")


@pytest.mark.parametrize("principal", ["user:root", "user:pi", "service:tidegate"])
def test_no_principal_has_anything_by_its_name(principal: str) -> None:
    assert [Grants().judge(principal, SPEED, verb, moment()) for verb in VERBS] == ["no_grant"] * 3


def test_a_grant_lets_its_principal() -> None:
    assert grants(grant("pump/motor/*@desired")).judge("user:pi", SPEED, "write", moment()) == "granted"


def test_a_user_and_a_service_of_one_name_are_two() -> None:
    assert grants(grant()).judge("service:pi", SPEED, "write", moment()) == "no_grant"


@pytest.mark.parametrize("held", VERBS)
def test_no_verb_implies_another(held: Verb) -> None:
    given = grants(grant(verbs=(held,)))
    assert [verb for verb in VERBS if given.judge("user:pi", SPEED, verb, moment()) == "granted"] == [held]


def test_several_grants_count_together() -> None:
    given = grants(grant("*/motor/*"), grant("motor/**"), grant("**/motor"))
    assert given.judge("user:pi", Scope("**/motor/**"), "write", moment()) == "granted"


def test_grants_of_two_principals_do_not_count_together() -> None:
    given = grants(grant("*/motor/*"), grant("motor/**", principal="user:eve"), grant("**/motor"))
    assert given.judge("user:pi", Scope("**/motor/**"), "write", moment()) == "no_grant"


def test_a_part_of_what_is_asked_is_not_enough() -> None:
    assert grants(grant("pump/**")).judge("user:pi", EVERYWHERE, "write", moment()) == "no_grant"


@pytest.mark.parametrize(("after_s", "verdict"), [(-1, "granted"), (0, "grant_expired"), (1, "grant_expired")])
def test_a_grant_ends_at_its_expiry(after_s: int, verdict: str) -> None:
    given = grants(grant(expires_ns=NOW_NS))
    assert given.judge("user:pi", SPEED, "write", moment(after_s)) == verdict


@pytest.mark.parametrize(
    ("quality", "floor_ns", "verdict"),
    [
        ("none", 0, "granted"),  # nobody is shut out by a clock that is not believed yet
        ("rtc", 0, "granted"),
        ("none", NOW_NS, "grant_expired"),  # the clock fell back behind what has certainly passed
        ("rtc", NOW_NS, "grant_expired"),
        ("ntp", NOW_NS, "granted"),  # the network knows better
    ],
)
def test_a_clock_that_fell_back_does_not_bring_a_grant_back(quality: str, floor_ns: int, verdict: str) -> None:
    at = moment(-60, quality=quality, floor_ns=floor_ns)
    assert grants(grant(expires_ns=NOW_NS)).judge("user:pi", SPEED, "write", at) == verdict


def test_one_expired_grant_beside_a_lasting_one_changes_nothing() -> None:
    given = grants(grant(expires_ns=NOW_NS - S), grant())
    assert given.judge("user:pi", SPEED, "write", moment()) == "granted"


def test_an_expired_grant_that_would_not_have_been_enough_is_no_grant() -> None:
    given = grants(grant("pump/valve/*", expires_ns=NOW_NS - S))
    assert given.judge("user:pi", SPEED, "write", moment()) == "no_grant"


def test_a_grant_is_shown_as_the_site_file_says_it() -> None:
    shown = grant("pump/**", ("write", "read"), expires_ns=instant_ns("2027-01-31T18:00:00+01:00")).as_json()
    assert shown == {
        "name": "one",
        "principal": "user:pi",
        "routes": "pump/**",
        "verbs": ["read", "write"],
        "expires": "2027-01-31T17:00:00Z",
    }


@pytest.mark.parametrize("text", ["user:pi", "service:node-red", "user:#1000", "user:max.muster@corp", "user:_apt"])
def test_a_principal_is_a_user_or_a_service(text: str) -> None:
    assert check_principal(text) == text


@pytest.mark.parametrize("text", ["", "pi", "user:", "root:pi", "user:*", "user:a b", "user:a\n", "user:" + "a" * 65])
def test_what_is_no_principal_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no principal"):
        check_principal(text)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("1970-01-01", "1970-01-01T00:00:00Z"),
        ("2027-01-15T08:00:00", "2027-01-15T08:00:00Z"),  # UTC where nothing is said
        ("2027-01-15T09:00:00+01:00", "2027-01-15T08:00:00Z"),
        ("20270115T0800Z", "2027-01-15T08:00:00Z"),
        ("2027-01-15 08:00:00.123456+00:00", "2027-01-15T08:00:00Z"),
        ("2027-01-15T08:00Z", "2027-01-15T08:00:00Z"),
        ("1969-12-31T23:59:59Z", "1969-12-31T23:59:59Z"),
        ("9999-12-31", "9999-12-31T00:00:00Z"),
    ],
)
def test_an_instant_is_iso_8601(text: str, same: str) -> None:
    assert instant_text(instant_ns(text)) == same


@pytest.mark.parametrize(
    "text", ["", "soon", "2027-13-01", "31.01.2027", "10m", "2027-01-15T25:00Z", "2027-01-15x08:00", "1" * 5000]
)
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no ISO 8601 time"):
        instant_ns(text)
