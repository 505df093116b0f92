"""What the tests of authority are made of."""

from __future__ import annotations

from gateway.authority.grants import Grant, Grants, Verb
from gateway.authority.moment import ClockQuality, Moment
from gateway.authority.scope import Scope
from gateway.authority.token import Claims, PublicKey, SigningKey, claims_of
from gateway.route import Route, parse_route

NOW_NS = 1_800_000_000_000_000_000  # 2027-01-15
S = 1_000_000_000
KEY = SigningKey.generate()
OTHER_KEY = SigningKey.generate()


def moment(
    after_s: float = 0,
    *,
    quality: ClockQuality = "ntp",
    boot: str = "boot-1",
    monotonic_s: float | None = None,
    floor_ns: int = 0,
) -> Moment:
    """Return the instant `after_s` after a fixed one, on both clocks unless told otherwise."""
    since_start_s = 1000 + after_s if monotonic_s is None else monotonic_s
    return Moment(
        wall_ns=NOW_NS + round(after_s * S),
        monotonic_ns=round(since_start_s * S),
        boot_id=boot,
        quality=quality,
        floor_ns=floor_ns,
    )


def route(text: str) -> Route:
    return parse_route(text)[0]


def grant(
    routes: str = "pump/**",
    verbs: tuple[Verb, ...] = ("write",),
    principal: str = "user:pi",
    expires_ns: int | None = None,
) -> Grant:
    return Grant(
        name="one", principal=principal, scope=Scope(routes), verbs=frozenset(verbs), expires_ns=expires_ns
    )  # fmt: skip


def grants(*given: Grant) -> Grants:
    return Grants(given)


def claims(
    routes: str = "pump/**",
    verbs: tuple[Verb, ...] = ("write",),
    *,
    principal: str = "user:pi",
    lifetime_s: float = 600,
    at: Moment | None = None,
    key: PublicKey = KEY.public,
) -> Claims:
    return claims_of(
        token_id="00ff",
        principal=principal,
        routes=routes,
        verbs=verbs,
        lifetime_ns=round(lifetime_s * S),
        moment=at or moment(),
        key=key,
    )
