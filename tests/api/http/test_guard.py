from __future__ import annotations

import pytest

from gateway.api.http.guard import Allowance, check_host, check_origin, token_of
from gateway.api.http.problems import Problem

S = 1_000_000_000


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost", "LOCALHOST:1", "[::1]:8080", "127.9.9.9"])
def test_on_loopback_its_own_addresses_are_meant_for_us(host: str) -> None:
    assert check_host(host, is_loopback=True, names={"boiler-room"}) == host


@pytest.mark.parametrize(
    "host",
    [None, "", "evil.example", "evil.example:8080", "10.0.0.1:8080", "boiler-room", "[::1", "localhost:x", "a b"],
)
def test_on_loopback_every_other_name_is_foreign(host: str | None) -> None:
    with pytest.raises(Problem) as refused:
        check_host(host, is_loopback=True, names={"boiler-room"})
    assert (refused.value.status, refused.value.code) == (403, "foreign_host")


@pytest.mark.parametrize("host", ["10.0.0.1:8443", "Boiler-Room:8443", "[fe80::1]:8443", "localhost"])
def test_beyond_loopback_addresses_and_names_of_this_machine_are_meant_for_us(host: str) -> None:
    assert check_host(host, is_loopback=False, names={"boiler-room"}) == host


def test_beyond_loopback_a_name_that_was_bent_to_our_address_is_foreign() -> None:
    with pytest.raises(Problem, match="not this gateway"):
        check_host("rebound.example:8443", is_loopback=False, names={"boiler-room"})


@pytest.mark.parametrize("origin", [None, "http://127.0.0.1:8080", "HTTP://127.0.0.1:8080"])
def test_our_own_pages_and_programs_may_ask(origin: str | None) -> None:
    check_origin(origin, "http", "127.0.0.1:8080")


@pytest.mark.parametrize(
    "origin", ["null", "http://evil.example", "https://127.0.0.1:8080", "http://127.0.0.1:8081", "http://127.0.0.1", ""]
)
def test_pages_of_other_sites_may_not(origin: str) -> None:
    with pytest.raises(Problem) as refused:
        check_origin(origin, "http", "127.0.0.1:8080")
    assert (refused.value.status, refused.value.code) == (403, "foreign_origin")


@pytest.mark.parametrize(
    ("authorization", "offered", "token"),
    [
        (None, (), None),
        ("Bearer tg1.a.b", (), "tg1.a.b"),
        ("bearer  tg1.a.b ", (), "tg1.a.b"),
        (None, ("tidegate.v1", "tg1.a.b"), "tg1.a.b"),
        (None, ("tidegate.v1",), None),
        (None, ("tg1.a.b",), None),
        ("Bearer one", ("tidegate.v1", "two"), "one"),
    ],
)
def test_a_token_comes_as_bearer_or_as_a_subprotocol(
    authorization: str | None, offered: tuple[str, ...], token: str | None
) -> None:
    assert token_of(authorization, offered) == token


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer ", "Basic dTpw", "tg1.a.b"])
def test_credentials_of_another_kind_are_none(authorization: str) -> None:
    with pytest.raises(Problem) as refused:
        token_of(authorization)
    assert (refused.value.status, refused.value.headers) == (401, {"WWW-Authenticate": "Bearer"})


def test_so_many_writes_a_second_and_no_more() -> None:
    allowance = Allowance(per_s=50)
    assert [allowance.take("user:pi", 0) for _ in range(50)] == [0.0] * 50
    assert allowance.take("user:pi", 0) == pytest.approx(0.02)
    assert allowance.take("user:pi", S // 50) == 0.0


def test_what_one_principal_uses_up_another_still_has() -> None:
    allowance = Allowance(per_s=1)
    allowance.take("user:pi", 0)
    assert allowance.take("user:pi", 0) > 0
    assert allowance.take("service:mqtt", 0) == 0.0


def test_a_long_silence_is_worth_one_second_s_writes() -> None:
    allowance = Allowance(per_s=2)
    allowance.take("user:pi", 0)
    assert [allowance.take("user:pi", 3600 * S) > 0 for _ in range(3)] == [False, False, True]
