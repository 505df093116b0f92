from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.authority.refusals import AT_ONCE, GATHER_NS, MOST_KINDS, REFILL_NS, Refusals, Told


def refusal(principal: str | None = "user:eve", target: str = "pump/motor/speed@desired") -> dict[str, Any]:
    return {
        "principal": principal, "carrier": principal, "is_local": True, "has_token": False, "token_id": None,
        "verb": "write", "target": target, "reason": "no_grant",
    }  # fmt: skip


def take(refusals: Refusals, times: int, now_ns: int = 0, **facts: Any) -> list[Told]:
    body = refusal(**facts)
    found = [refusals.take(body["target"], body, now_ns) for _ in range(times)]
    return [told for told in found if told is not None]


def test_the_first_refusals_have_a_record_each() -> None:
    told = take(Refusals(), AT_ONCE)
    assert [(each.route, each.body) for each in told] == [
        ("pump/motor/speed@desired", refusal() | {"count": 1})
    ] * AT_ONCE


def test_what_comes_after_them_is_in_one_record_that_says_how_many() -> None:
    refusals = Refusals()
    take(refusals, AT_ONCE + 500)
    assert refusals.tell() == [Told("pump/motor/speed@desired", refusal() | {"count": 500})]


def test_what_was_told_is_not_told_again() -> None:
    refusals = Refusals()
    take(refusals, AT_ONCE + 1)
    refusals.tell()
    assert (refusals.tell(), refusals.due_ns) == ([], None)


def test_what_is_gathered_is_due_after_a_while() -> None:
    refusals = Refusals()
    take(refusals, AT_ONCE + 1, now_ns=7)
    take(refusals, 5, now_ns=8)
    assert refusals.due_ns == 7 + GATHER_NS


def test_other_targets_are_no_other_kind_and_what_is_not_shared_is_left_open() -> None:
    refusals = Refusals()
    take(refusals, AT_ONCE)
    for number in range(100):
        take(refusals, 1, target=f"pump/motor/m{number}@desired")
    assert refusals.tell() == [Told(None, refusal() | {"target": None, "count": 100})]


def test_a_flood_of_one_hides_nothing_of_another() -> None:
    refusals = Refusals()
    take(refusals, 2_000)
    assert len(take(refusals, 1, principal="user:mallory")) == 1


def test_who_is_refused_now_and_then_has_a_record_each_time() -> None:
    refusals = Refusals()
    found = [take(refusals, 1, now_ns=turn * REFILL_NS) for turn in range(2 * AT_ONCE)]
    assert all(len(told) == 1 for told in found)


def test_principals_beyond_all_measure_take_no_more_room() -> None:
    refusals = Refusals()
    for number in range(MOST_KINDS + 50):
        take(refusals, 2, principal=f"user:u{number}")
    assert len(refusals._kinds) <= MOST_KINDS + 1


def test_a_kind_that_was_quiet_makes_room() -> None:
    refusals = Refusals()
    for number in range(MOST_KINDS):
        take(refusals, 1, principal=f"user:u{number}")
    told = take(refusals, 1, now_ns=2 * REFILL_NS, principal="user:new")
    assert len(refusals._kinds) == 1
    assert told[0].body["principal"] == "user:new"


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["user:a", "user:b", None]), st.sampled_from(["x/y/z@desired", "**"]),
            st.integers(0, 3 * REFILL_NS), st.booleans(),
        ),
        max_size=200,
    )
)  # fmt: skip
def test_the_counts_of_all_records_add_up_to_the_refusals(calls: list[tuple[str | None, str, int, bool]]) -> None:
    refusals, told, now_ns = Refusals(), [], 0
    for principal in ("user:a", "user:b", None):
        told += take(refusals, AT_ONCE - 2, principal=principal, target="**")
    for principal, target, later_ns, is_told in calls:
        now_ns += later_ns
        told += take(refusals, 1, now_ns, principal=principal, target=target)
        told += refusals.tell() if is_told else []
    assert sum(each.body["count"] for each in [*told, *refusals.tell()]) == len(calls) + 3 * (AT_ONCE - 2)
