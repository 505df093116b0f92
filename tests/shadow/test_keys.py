from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.shadow.intent import Intent, Outcome
from gateway.shadow.keys import KEPT_NS, Keys, Remembered, digest_of


def intent(command_id: str, key: str | None = "k", *, principal: str = "user:pi", digest: str | None = "d1") -> Intent:
    return Intent(
        id=command_id,
        route="pump/motor/speed@desired",
        value=5,
        principal=principal,
        made_wall_ns=0,
        expires_after_ns=1,
        key=key,
        digest=digest,
    )


def opened(*intents: Intent, most: int = 10) -> Keys:
    keys = Keys(most)
    for one in intents:
        keys.opened(one, 0)
    return keys


def test_a_key_that_nobody_used_is_new() -> None:
    assert Keys().look("user:pi", "k", "d1", 0) == ("new", None)


def test_the_same_key_and_body_is_the_same_command() -> None:
    assert opened(intent("c1")).look("user:pi", "k", "d1", 1) == ("same", Remembered("c1", "d1", KEPT_NS))


def test_the_same_key_with_another_body_is_reused() -> None:
    assert opened(intent("c1")).look("user:pi", "k", "d2", 1)[0] == "reused"


def test_a_key_belongs_to_its_principal() -> None:
    assert opened(intent("c1")).look("user:eve", "k", "d1", 1) == ("new", None)


@pytest.mark.parametrize(("principal", "key"), [("user:pik", ""), ("user:p", "ik"), ("", "user:pik")])
def test_principal_and_key_have_one_reading(principal: str, key: str) -> None:
    assert opened(intent("c1")).look(principal, key, "d1", 1) == ("new", None)


def test_a_command_without_key_is_not_remembered() -> None:
    assert opened(intent("c1", None, digest=None)).count == 0


def test_an_ended_command_is_told_with_outcome_and_receipt() -> None:
    keys = opened(intent("c1"))
    keys.ended("c1", Outcome.REPORTED, 77)

    assert keys.look("user:pi", "k", "d1", 1)[1] == Remembered("c1", "d1", KEPT_NS, Outcome.REPORTED, 77)


def test_the_end_of_a_command_without_key_is_no_news() -> None:
    keys = opened(intent("c1"))
    keys.ended("c2", Outcome.REPORTED, 77)

    assert keys.look("user:pi", "k", "d1", 1)[1] == Remembered("c1", "d1", KEPT_NS)


def test_a_key_is_kept_for_24_hours() -> None:
    assert opened(intent("c1")).look("user:pi", "k", "d1", KEPT_NS - 1)[0] == "same"


def test_a_key_is_forgotten_after_24_hours() -> None:
    keys = opened(intent("c1"))

    assert (keys.look("user:pi", "k", "d1", KEPT_NS), keys.count) == (("new", None), 0)


def test_a_forgotten_key_leaves_nothing_behind() -> None:
    keys = opened(intent("c1"))
    keys.look("user:pi", "k", "d1", KEPT_NS)

    assert (keys._of, keys._open) == ({}, {})


def test_a_key_from_the_ledger_keeps_the_time_that_it_has_left() -> None:
    keys = Keys()
    keys.opened(intent("c1"), 100, age_ns=KEPT_NS - 10)

    assert [keys.look("user:pi", "k", "d1", at)[0] for at in (109, 110)] == ["same", "new"]


def test_a_key_from_the_ledger_beyond_its_time_is_left() -> None:
    keys = Keys()
    keys.opened(intent("c1"), 100, age_ns=KEPT_NS)

    assert keys.count == 0


def test_a_key_whose_age_is_in_the_future_is_kept_no_longer_than_a_new_one() -> None:
    keys = Keys()
    keys.opened(intent("c1"), 0, age_ns=-KEPT_NS)

    assert keys.look("user:pi", "k", "d1", KEPT_NS)[0] == "new"


def test_a_key_behind_one_that_is_kept_longer_is_forgotten_in_time_all_the_same() -> None:
    keys = opened(intent("c1", "young"))
    keys.opened(intent("c2", "old"), 0, age_ns=KEPT_NS - 10)

    assert keys.look("user:pi", "old", "d1", 10) == ("new", None)


def test_a_full_table_forgets_the_oldest_ended_key() -> None:
    keys = opened(intent("c1", "k1"), intent("c2", "k2"), most=2)
    for command_id in ("c1", "c2"):
        keys.ended(command_id, Outcome.REPORTED, 1)
    keys.opened(intent("c3", "k3"), 1)

    assert [keys.look("user:pi", key, "d1", 2)[0] for key in ("k1", "k2", "k3")] == ["new", "same", "same"]


def test_a_key_forgotten_before_its_time_is_counted() -> None:
    keys = opened(intent("c1", "k1"), most=1)
    keys.ended("c1", Outcome.REPORTED, 1)
    keys.opened(intent("c2", "k2"), 1)

    assert keys.forgotten_early == 1


def test_a_full_table_keeps_the_key_of_an_open_command() -> None:
    keys = opened(intent("c1", "k1"), intent("c2", "k2"), most=2)
    keys.ended("c2", Outcome.REPORTED, 1)
    keys.opened(intent("c3", "k3"), 1)

    assert keys.look("user:pi", "k1", "d1", 2)[0] == "same"


def test_one_principal_s_keys_do_not_push_out_another_s() -> None:
    keys = Keys(3)
    for number, principal in enumerate(["user:pi", "user:eve", "user:eve", "user:eve"]):
        keys.opened(intent(f"c{number}", f"k{number}", principal=principal), 0)
        keys.ended(f"c{number}", Outcome.REPORTED, 1)

    assert keys.look("user:pi", "k0", "d1", 1)[0] == "same"


def test_a_key_of_any_text_is_taken() -> None:
    keys = opened(intent("c1", "\ud800" * 100_000))

    assert keys.look("user:pi", "\ud800" * 100_000, "d1", 1)[0] == "same"


@given(value=st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)))
def test_two_bodies_with_different_values_have_different_digests(value: object) -> None:
    assert digest_of({"route": "r", "value": value}) != digest_of({"route": "r", "value": [value]})


def test_the_order_in_which_a_body_is_written_is_no_difference() -> None:
    assert digest_of({"route": "r", "value": 5}) == digest_of({"value": 5, "route": "r"})


class KeysAgainstAList(RuleBasedStateMachine):
    """The table against the plainest model: a list of everything that ever was opened."""

    def __init__(self) -> None:
        super().__init__()
        self.keys = Keys()
        self.now_ns = 0
        self.said: list[tuple[int, Intent]] = []

    @rule(principal=st.sampled_from(["a", "b"]), key=st.sampled_from("xyz"), digest=st.sampled_from(["d1", "d2"]))
    def command(self, principal: str, key: str, digest: str) -> None:
        live = [
            one
            for at, one in self.said
            if (one.principal, one.key) == (principal, key) and self.now_ns < at + KEPT_NS
        ]  # fmt: skip
        verdict, known = self.keys.look(principal, key, digest, self.now_ns)
        if live:
            assert (verdict, known.id if known else None) == (
                "same" if live[-1].digest == digest else "reused",
                live[-1].id,
            )
            return
        assert verdict == "new"
        one = intent(f"c{len(self.said)}", key, principal=principal, digest=digest)
        self.keys.opened(one, self.now_ns)
        self.said.append((self.now_ns, one))

    @rule(hours=st.sampled_from([0, 1, 12, 24, 25]))
    def wait(self, hours: int) -> None:
        self.now_ns += hours * KEPT_NS // 24

    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        if self.said:
            self.keys.ended(data.draw(st.sampled_from(self.said))[1].id, Outcome.ACKED, 5)

    @invariant()
    def what_is_counted_is_what_is_held(self) -> None:
        assert self.keys.count == sum(map(len, self.keys._of.values()))


TestKeysAgainstAList = KeysAgainstAList.TestCase
