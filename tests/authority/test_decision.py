"""The one check of the dispatch: invariant 6, nothing acts without a Grant."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.authority.decision import Authority, Caller, Decision, authorise, authorise_issue, authorise_wall
from gateway.authority.grants import VERBS, Grants, Verb
from gateway.authority.scope import EVERYWHERE, Scope
from gateway.authority.token import Claims
from gateway.authority.walls import Wall, Walls
from tests.authority.kit import KEY, NOW_NS, OTHER_KEY, S, claims, grant, grants, moment, route

DESIRED = route("pump/motor/speed@desired")
LOCAL = Caller(principal="user:pi", is_local=True)
REMOTE = Caller(principal=None)
WRITER = grants(grant("pump/motor/*@desired", ("write",)))
ADMIN = grants(grant("**", ("write", "admin")))


def authority(given: Grants = WRITER, walls: Walls = Walls(), key: object = KEY.public) -> Authority:  # noqa: B008 - frozen
    return Authority(grants=given, walls=walls, key=key, ports_of={"pump": ["can0"]}.__getitem__)  # type: ignore[arg-type]


def carrying(text: Claims | str, principal: str | None = "user:pi", *, is_local: bool = True) -> Caller:
    token = text if isinstance(text, str) else KEY.sign(text)
    return Caller(principal=principal, token=token, is_local=is_local)


def walled(subject: str, verb: Verb = "write") -> Walls:
    kind = "routes" if "*" in subject else "name"
    return Walls((Wall(subject=subject, kind=kind, verb=verb, by="user:ops", since_ns=NOW_NS),))  # type: ignore[arg-type]


def reason(caller: Caller, verb: Verb = "write", on: Authority | None = None, target: object = DESIRED) -> str:
    return authorise(on or authority(), caller, target, verb, moment()).reason  # type: ignore[arg-type]


def test_a_granted_write_is_allowed() -> None:
    assert authorise(authority(), LOCAL, DESIRED, "write", moment()) == Decision(
        reason="granted", principal="user:pi", verb="write", target="pump/motor/speed@desired", message=""
    )  # fmt: skip


@pytest.mark.parametrize("principal", ["user:pi", "user:root", "user:#0", "service:tidegate"])
def test_without_grants_a_local_caller_may_read_and_nothing_else(principal: str) -> None:
    caller = Caller(principal=principal, is_local=True)
    reasons = [reason(caller, verb, authority(Grants())) for verb in VERBS]
    assert reasons == ["local_read", "no_grant", "no_grant"]


def test_a_caller_from_elsewhere_may_not_even_read() -> None:
    assert reason(Caller(principal="user:pi", is_local=False), "read", authority(Grants())) == "no_grant"


def test_nobody_may_nothing() -> None:
    assert [reason(REMOTE, verb, authority(ADMIN)) for verb in VERBS] == ["no_principal"] * 3


def test_a_grant_for_one_variant_gives_no_other() -> None:
    assert reason(LOCAL, target=route("pump/motor/speed@request")) == "no_grant"


def test_an_expired_grant_is_told_as_one() -> None:
    expired = grants(grant(expires_ns=NOW_NS - S))
    assert reason(LOCAL, on=authority(expired)) == "grant_expired"


@pytest.mark.parametrize("subject", ["can0", "pump", "pump/**", "**@desired"])
def test_a_wall_stops_who_has_every_grant(subject: str) -> None:
    assert reason(LOCAL, on=authority(ADMIN, walled(subject))) == "wall"


def test_a_wall_before_reading_stops_local_reading_too() -> None:
    assert reason(LOCAL, "read", authority(WRITER, walled("pump", "read"))) == "wall"


def test_a_wall_on_writes_leaves_reading() -> None:
    assert reason(LOCAL, "read", authority(WRITER, walled("pump"))) == "local_read"


def test_who_has_no_grant_is_not_told_of_walls() -> None:
    assert reason(LOCAL, on=authority(Grants(), walled("pump"))) == "no_grant"


def test_a_wall_tells_who_raised_it_and_how_it_is_lifted() -> None:
    message = authorise(authority(ADMIN, walled("can0")), LOCAL, DESIRED, "write", moment()).message
    assert message == "user:ops raised a wall: no write on can0; `tidegate wall can0 write on` lifts it"


def test_a_wall_on_all_administration_can_still_be_lifted() -> None:
    shut = authority(ADMIN, walled("**", "admin"))
    subject = shut.walls.subject_of("**", ["pump"], ["can0"])
    assert authorise_wall(shut, LOCAL, subject, moment()).allowed


def test_walls_take_an_admin_grant() -> None:
    subject = Walls().subject_of("pump", ["pump"], ["can0"])
    assert authorise_wall(authority(WRITER), LOCAL, subject, moment()).reason == "no_grant"


def test_a_device_s_administrator_may_wall_the_device_and_not_its_port() -> None:
    given = authority(grants(grant("pump/**", ("admin",))))
    subjects = [Walls().subject_of(text, ["pump"], ["can0"]) for text in ("pump", "can0")]
    assert [authorise_wall(given, LOCAL, subject, moment()).allowed for subject in subjects] == [True, False]


def test_the_gateway_takes_a_grant_on_everything() -> None:
    given = authority(grants(grant("pump/**", ("admin",))))
    assert reason(LOCAL, "admin", given, EVERYWHERE) == "no_grant"


def test_a_good_token_lets_its_carrier_do_what_it_says() -> None:
    decision = authorise(authority(), carrying(claims(), None, is_local=False), DESIRED, "write", moment())
    assert (decision.reason, decision.principal, decision.token_id) == ("granted", "user:pi", "00ff")


def test_a_token_speaks_for_its_principal_and_not_for_who_carries_it() -> None:
    eve = carrying(claims(principal="user:pi"), "user:eve")
    assert authorise(authority(), eve, DESIRED, "write", moment()).principal == "user:pi"


@pytest.mark.parametrize(
    ("token", "why"),
    [
        ("nonsense", "token_malformed"),
        ("", "token_malformed"),
        (OTHER_KEY.sign(claims()), "token_forged"),
        (OTHER_KEY.sign(claims(key=OTHER_KEY.public)), "token_revoked"),
        (KEY.sign(claims(at=moment(-600))), "token_expired"),
        (KEY.sign(claims("fan/**")), "token_scope"),
        (KEY.sign(claims(verbs=("read",))), "token_scope"),
    ],
)
def test_a_bad_token_is_refused_though_its_carrier_may_do_it(token: str, why: str) -> None:
    assert reason(LOCAL) == "granted"
    assert reason(carrying(token)) == why


def test_a_bad_token_is_refused_even_for_local_reading() -> None:
    assert reason(carrying("nonsense"), "read") == "token_malformed"


def test_a_token_without_read_does_not_read_by_who_carries_it() -> None:
    assert reason(carrying(claims()), "read") == "token_scope"


def test_a_token_for_reading_takes_a_grant_for_reading() -> None:
    assert reason(carrying(claims("**", ("read",))), "read") == "no_grant"


def test_a_token_for_more_than_its_principal_may_gives_no_more() -> None:
    wide = carrying(claims("**", ("read", "write", "admin")))
    assert [reason(wide), reason(wide, "admin"), reason(wide, target=route("fan/motor/speed@desired"))] == [
        "granted",
        "no_grant",
        "no_grant",
    ]


def test_a_grant_that_is_taken_away_takes_its_tokens_with_it() -> None:
    assert reason(carrying(claims()), on=authority(Grants())) == "no_grant"


def test_a_wall_stops_tokens_too() -> None:
    assert reason(carrying(claims()), on=authority(WRITER, walled("can0"))) == "wall"


def test_who_administers_the_routes_issues_tokens_of_those_who_may() -> None:
    given = authority(grants(grant("**", ("admin",)), grant("pump/**", ("write",), "service:hmi")))
    assert authorise_issue(given, LOCAL, claims(principal="service:hmi"), moment()).allowed


ISSUES = [  # what the issuer may, what is asked for, why not
    (grant("pump/**", ("write",)), claims(), "no_grant"),
    (grant("pump/motor/*", ("admin", "write")), claims("pump/**"), "no_grant"),
    (grant("**", ("admin",)), claims(), "exceeds_grants"),
    (grant("**", ("admin", "write")), claims(verbs=("read", "write")), "exceeds_grants"),
    (grant("**", ("admin", "write")), claims(principal="service:hmi"), "exceeds_grants"),
    (grant("**", ("admin", "read")), claims("**", ("read", "admin")), None),
]


@pytest.mark.parametrize(("held", "asked", "why"), ISSUES)
def test_a_token_never_exceeds_its_principal_s_grants(held: object, asked: Claims, why: str | None) -> None:
    decision = authorise_issue(authority(Grants([held])), LOCAL, asked, moment())  # type: ignore[list-item]
    assert (None if decision.allowed else decision.reason) == why


def test_a_token_issues_no_token() -> None:
    holder = carrying(claims("**", ("admin", "write")))
    assert authorise_issue(authority(ADMIN), holder, claims(), moment()).reason == "token_issues"


TOKENS = [OTHER_KEY.sign(claims()), KEY.sign(claims("fan/**")), "tg1.secret.secret"]


@pytest.mark.parametrize("token", TOKENS)
def test_the_record_of_a_refusal_does_not_hold_the_token(token: str) -> None:
    caller = carrying(token)
    decision = authorise(authority(), caller, DESIRED, "write", moment())
    told = json.dumps(decision.denied_body(caller)) + decision.message + repr(caller) + str(caller) + repr(decision)
    assert not any(part in told for part in token.split(".")[1:])


def test_the_record_of_a_refusal_tells_who_wanted_what_and_why_not() -> None:
    caller = carrying(claims("fan/**"), "user:eve")
    body = authorise(authority(), caller, DESIRED, "write", moment()).denied_body(caller)
    assert body == {
        "principal": "user:pi",
        "carrier": "user:eve",
        "is_local": True,
        "has_token": True,
        "token_id": "00ff",
        "verb": "write",
        "target": "pump/motor/speed@desired",
        "reason": "token_scope",
    }


def test_a_refusal_tells_the_next_step() -> None:
    message = authorise(authority(Grants()), LOCAL, DESIRED, "write", moment()).message
    assert "[grant.NAME]" in message


CALLERS = st.sampled_from(
    [LOCAL, REMOTE, Caller(principal="user:root", is_local=True), Caller(principal="user:pi"),
     carrying(claims()), carrying(claims("**", VERBS)), carrying("x"),
     carrying(claims(principal="user:root"), "user:pi")]
)  # fmt: skip
SCOPES = st.sampled_from(["**", "pump/**", "pump/motor/speed@desired", "*/motor/*", "fan/**@value"])
GRANTS = st.lists(
    st.builds(
        grant,
        SCOPES,
        st.lists(st.sampled_from(VERBS), min_size=1, max_size=3).map(tuple),
        st.sampled_from(["user:pi", "user:root"]),
        st.sampled_from([None, NOW_NS - S, NOW_NS + S]),
    ),
    max_size=4,
)


@given(caller=CALLERS, given_=GRANTS, target=SCOPES.map(Scope), verb=st.sampled_from(VERBS))
def test_nothing_is_allowed_that_no_living_grant_of_its_principal_holds(
    caller: Caller, given_: list[msgspec.Struct], target: Scope, verb: Verb
) -> None:
    decision = authorise(authority(Grants(given_)), caller, target, verb, moment())  # type: ignore[arg-type]
    living = [
        each.scope
        for each in Grants(given_)  # type: ignore[arg-type]
        if each.principal == decision.principal and verb in each.verbs and not each.has_expired(moment())
    ]
    is_local_read = verb == "read" and caller.is_local and caller.token is None
    assert not decision.allowed or is_local_read or target.is_within(living)


@given(caller=CALLERS, given_=GRANTS, target=SCOPES.map(Scope), verb=st.sampled_from(VERBS), wall=SCOPES)
def test_a_wall_never_allows_what_was_refused(
    caller: Caller, given_: list[msgspec.Struct], target: Scope, verb: Verb, wall: str
) -> None:
    before = authorise(authority(Grants(given_)), caller, target, verb, moment())  # type: ignore[arg-type]
    after = authorise(authority(Grants(given_), walled(wall)), caller, target, verb, moment())  # type: ignore[arg-type]
    assert before.allowed or not after.allowed
