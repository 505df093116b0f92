"""What `[record]` keeps: held to the plain rule, applied frame by frame."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.profile.model import RecordSpec
from gateway.runtime.record_rule import SIZE_BYTES, Judge, Rule, differs, merged, rule_of, spill_bytes
from gateway.schema.plan import ABSENT
from tests.runtime.kit import cobs_profile

SECOND = 1_000_000_000


def rule(at_most_s: float = 1, at_least_s: float = 300, *deadbands: float) -> Rule:
    return Rule("telemetry", int(at_most_s * SECOND), int(at_least_s * SECOND), None, deadbands or (0.0,))


def kept(judge: Judge, *rows: tuple[float, Any]) -> list[Any]:
    """Return which values are kept of (seconds, value), each a batch of its own."""
    return [value for at_s, value in rows if judge.choose([(value, 0)], int(at_s * SECOND))]


def test_the_first_row_is_kept_and_then_only_what_moved() -> None:
    assert kept(Judge(rule()), (0, 5), (2, 5), (4, 6), (6, 6)) == [5, 6]


def test_what_moves_too_soon_is_not_kept_at_once() -> None:
    assert kept(Judge(rule()), (0, 1), (0.5, 2), (0.999, 3), (1, 4)) == [1, 4]


def test_a_row_that_did_not_move_is_kept_when_at_least_has_passed() -> None:
    assert kept(Judge(rule(1, 10)), (0, 1), (9.9, 1), (10, 1), (15, 1), (20, 1)) == [1, 1, 1]


def test_the_deadband_is_measured_from_the_row_kept_last_so_that_creeping_is_seen() -> None:
    assert kept(Judge(rule(1, 300, 0.5)), (0, 20.0), (2, 20.4), (4, 20.5), (6, 20.6), (8, 21.0)) == [20.0, 20.6]


@pytest.mark.parametrize(
    ("before", "value", "moved"),
    [
        (1.0, 1.5, False),
        (1.0, 1.6, True),
        (1.0, None, True),
        (None, 1.0, True),
        (None, None, False),
        (ABSENT, 1.0, True),
        ("idle", "busy", True),
        ("idle", 7, True),
        (7, "idle", True),
        (False, True, True),
        ([1.0, 2.0], [1.2, 2.3], False),
        ([1.0, 2.0], [1.0, 2.6], True),
        ([1.0], [1.0, 2.0], True),
        (["a"], ["b"], True),
    ],
)
def test_what_counts_as_a_move(before: Any, value: Any, moved: bool) -> None:
    assert differs(value, before, 0.5) is moved


def test_taints_alone_are_no_move() -> None:
    judge = Judge(rule())
    judge.choose([(1, 0)], 0)
    assert judge.choose([(1, 4)], 5 * SECOND) == []


def test_a_row_that_was_not_kept_after_all_is_made_up_for_by_the_next_that_is_due() -> None:
    judge = Judge(rule())
    judge.choose([(1, 0)], 0)
    judge.forget()
    assert kept(judge, (0.5, 1), (1, 1), (3, 1)) == [1]


class Plainly:
    """The rule as PROFILES words it, frame by frame."""

    def __init__(self, held_to: Rule) -> None:
        self.rule = held_to
        self.last: tuple[Any, ...] | None = None
        self.at_ns = 0

    def keeps(self, row: tuple[Any, ...], now_ns: int) -> bool:
        if self.last is not None:
            moved = any(map(differs, row[:-1], self.last[:-1], self.rule.deadbands))
            if now_ns < self.at_ns + self.rule.at_most_ns:
                return False
            if not moved and now_ns < self.at_ns + self.rule.at_least_ns:
                return False
        self.last, self.at_ns = row, now_ns
        return True


values = st.sampled_from([None, ABSENT, 0, 0.4, 1, 1.5, "a", "b"])


@given(
    at_most=st.sampled_from([0, 1, 3]),
    more=st.integers(0, 5),
    deadbands=st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 1.0])),
    batches=st.lists(st.tuples(st.integers(0, 4), st.lists(st.tuples(values, values, st.integers(0, 3)), min_size=1))),
)
def test_batch_by_batch_keeps_what_the_plain_rule_keeps_frame_by_frame(at_most, more, deadbands, batches) -> None:
    held_to = Rule("telemetry", at_most, at_most + more, None, deadbands)
    judge, plain = Judge(held_to), Plainly(held_to)
    now_ns = 0
    for wait_ns, rows in batches:
        now_ns += wait_ns
        expected = [place for place, row in enumerate(rows) if plain.keeps(row, now_ns)]
        assert judge.choose(rows, now_ns) == expected


def test_a_message_overrides_its_profile_key_by_key() -> None:
    profile = RecordSpec(at_most="2s", keep="1y")
    assert merged(RecordSpec(at_most="0s", record_class="state"), profile) == RecordSpec(
        record_class="state", at_most="0s", keep="1y"
    )
    assert merged(None, profile) == profile


def test_a_rule_has_the_defaults_of_the_profile_format_and_the_deadbands_of_its_fields() -> None:
    plan = cobs_profile().messages["reading"]
    assert rule_of(RecordSpec(), plan) == Rule("telemetry", SECOND, 300 * SECOND, None, (0.0,))
    assert rule_of(RecordSpec(record_class="none"), plan) is None
    assert rule_of(RecordSpec(keep="1d"), plan).keep_ns == 86_400 * SECOND


@pytest.mark.parametrize(
    ("at_most", "deadband", "all_of_them"), [("0s", 0.0, True), ("0s", 1.0, False), ("1s", 0, False)]
)
def test_every_frame_is_kept_without_at_most_and_deadband(at_most: str, deadband: float, all_of_them: bool) -> None:
    at_most_s = 0 if at_most == "0s" else 1
    assert rule(at_most_s, 300, deadband).keeps_all is all_of_them


@pytest.mark.parametrize(
    ("size", "in_bytes"),
    [(None, SIZE_BYTES), (4096, 4096), ("4096", 4096), ("200MB", 200_000_000), ("1 KiB", 1024), ("3k", 3000)],
)
def test_how_much_may_wait_in_the_ledger(size: int | str | None, in_bytes: int) -> None:
    assert spill_bytes(RecordSpec(size=size)) == in_bytes
