"""What one attempt leaves for the next: what fields were told last."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.profile.setpoint import Attempt, Seen
from gateway.profile.setpoint_value import Refusal
from tests.profile.setpoint_kit import compiled, nothing_said, saying, setpoints_of

PAIR = """
[link]
bus = "can"
[message.pair]
when      = { can_id = 0x100 }
direction = "both"
fields = [{ name = "a", type = "u8" }, { name = "b", type = "u8" }]
[setpoint.a]
write  = "pair.a"
report = "pair.a"
[setpoint.b]
write  = "pair.b"
report = "pair.b"
"""
PROFILE = compiled(PAIR)


def sent(setpoints, name, value, latest, at_ns=None):
    """Return the body of an attempt, which is on the wire at `at_ns`."""
    attempt = setpoints.attempt(name, value, latest)
    assert isinstance(attempt, Attempt)
    if at_ns is not None:
        setpoints.written(attempt, at_ns)
    return attempt.write.data


def test_the_other_field_is_what_the_device_said():
    assert sent(setpoints_of(PROFILE), "a", 5, saying(pair={"a": 1, "b": 2})) == b"\x05\x02"


def test_a_device_that_said_nothing_yet_is_not_guessed_at():
    refusal = setpoints_of(PROFILE).admit("a", 5, nothing_said)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "fill"
    assert "b: not known yet" in refusal.message


def test_what_an_earlier_run_heard_is_not_known():
    refusal = setpoints_of(PROFILE).admit("a", 5, lambda _message: Seen({"a": 1, "b": 2}, 0, is_restored=True))
    assert isinstance(refusal, Refusal)
    assert refusal.code == "fill"


def test_a_second_write_does_not_undo_the_first_before_the_device_spoke():
    setpoints, latest = setpoints_of(PROFILE), saying(10, pair={"a": 1, "b": 2})
    sent(setpoints, "a", 5, latest, at_ns=20)
    assert sent(setpoints, "b", 6, latest) == b"\x05\x06"


def test_what_the_device_said_after_a_write_counts_more():
    setpoints = setpoints_of(PROFILE)
    sent(setpoints, "a", 5, saying(10, pair={"a": 1, "b": 2}), at_ns=20)
    assert sent(setpoints, "b", 6, saying(30, pair={"a": 4, "b": 2})) == b"\x04\x06"


def test_a_rejected_write_is_taken_back():
    setpoints, latest = setpoints_of(PROFILE), saying(10, pair={"a": 1, "b": 2})
    attempt = setpoints.attempt("a", 5, latest)
    assert isinstance(attempt, Attempt)
    setpoints.written(attempt, 20)
    setpoints.withdraw(attempt)
    assert sent(setpoints, "b", 6, latest) == b"\x01\x06"


def test_a_rejected_write_leaves_the_one_before_it():
    setpoints, latest = setpoints_of(PROFILE), saying(10, pair={"a": 1, "b": 2})
    sent(setpoints, "a", 5, latest, at_ns=20)
    rejected = setpoints.attempt("a", 7, latest)
    assert isinstance(rejected, Attempt)
    setpoints.written(rejected, 30)
    setpoints.withdraw(rejected)
    assert sent(setpoints, "b", 6, latest) == b"\x05\x06"


def test_a_rejection_that_comes_late_takes_nothing_newer_back():
    setpoints, latest = setpoints_of(PROFILE), saying(10, pair={"a": 1, "b": 2})
    rejected = setpoints.attempt("a", 7, latest)
    assert isinstance(rejected, Attempt)
    setpoints.written(rejected, 20)
    sent(setpoints, "a", 5, latest, at_ns=30)
    setpoints.withdraw(rejected)
    assert sent(setpoints, "b", 6, latest) == b"\x05\x06"


def test_after_a_restart_of_the_device_nothing_told_before_is_known():
    setpoints = setpoints_of(PROFILE)
    sent(setpoints, "a", 5, saying(10, pair={"a": 1, "b": 2}), at_ns=20)
    setpoints.forget()
    assert isinstance(setpoints.attempt("b", 6, nothing_said), Refusal)


def test_a_message_that_only_goes_out_is_known_by_what_was_sent():
    setpoints = setpoints_of(compiled(OUT))
    assert isinstance(setpoints.admit("b", 6, nothing_said), Refusal)
    assert sent(setpoints, "a", 5, nothing_said, at_ns=1) == b"\x05\x01"
    assert sent(setpoints, "b", 6, nothing_said, at_ns=2) == b"\x05\x06"
    assert sent(setpoints, "b", 7, nothing_said) == b"\x05\x07"


OUT = """
[link]
bus = "can"
[message.pair]
when      = { can_id = 0x100 }
direction = "out"
fields = [{ name = "a", type = "u8" }, { name = "b", type = "u8" }]
[setpoint.a]
write   = "pair.a"
confirm = "none"
fill    = { b = 1 }
[setpoint.b]
write   = "pair.b"
confirm = "none"
"""


def test_two_setpoints_of_a_message_count_on_from_each_other():
    counted = """
[link]
bus = "can"
[message.order]
when      = { can_id = 0x100 }
direction = "out"
fields = [{ name = "a", type = "u8" }, { name = "b", type = "u8" }, { name = "n", type = "u8" }]
[setpoint.a]
write   = "order.a"
confirm = "none"
fill    = { b = 0, n = "counter" }
[setpoint.b]
write   = "order.b"
confirm = "none"
fill    = { a = 0, n = "counter" }
"""
    setpoints = setpoints_of(compiled(counted))
    bodies = [sent(setpoints, name, 1, nothing_said) for name in "abba"]
    assert [body[2] for body in bodies] == [0, 1, 2, 3]


def test_the_site_s_adjustment_is_undone_on_the_way_down():
    setpoints = setpoints_of(PROFILE, {"a": (2.0, 10.0)})
    assert setpoints.admit("a", 30, saying(pair={"a": 12, "b": 2})) == 30
    assert sent(setpoints, "a", 30, saying(pair={"a": 12, "b": 2})) == b"\x0a\x02"
    assert sent(setpoints, "b", 7, saying(pair={"a": 12, "b": 2})) == b"\x01\x07"


@pytest.mark.parametrize("value", [8, 522])
def test_the_range_of_the_wire_holds_under_an_adjustment(value):
    refusal = setpoints_of(PROFILE, {"a": (2.0, 10.0)}).admit("a", value, saying(pair={"a": 12, "b": 2}))
    assert isinstance(refusal, Refusal)
    assert refusal.code == "range"


class TwoWriters(RuleBasedStateMachine):
    """A device with two fields, its two setpoints, and a poll now and then: no write ever moves the other field."""

    def __init__(self) -> None:
        super().__init__()
        self.setpoints = setpoints_of(PROFILE)
        self.now_ns = 0
        self.device = {"a": 1, "b": 2}
        self.model = dict(self.device)
        self.seen: Seen | None = None

    @rule()
    def poll(self) -> None:
        self.now_ns += 1
        self.seen = Seen(dict(self.device), self.now_ns)

    @rule(name=st.sampled_from("ab"), value=st.integers(0, 255), is_rejected=st.booleans())
    def write(self, name: str, value: int, is_rejected: bool) -> None:
        self.now_ns += 1
        attempt = self.setpoints.attempt(name, value, lambda _message: self.seen)
        if isinstance(attempt, Refusal):
            assert (attempt.code, self.seen) == ("fill", None)
            return
        self.setpoints.written(attempt, self.now_ns)
        if is_rejected:
            self.setpoints.withdraw(attempt)
            return
        self.device = dict(zip("ab", attempt.write.data, strict=True))
        self.model[name] = value

    @invariant()
    def only_what_was_set_has_moved(self) -> None:
        assert self.device == self.model


TestTwoWriters = TwoWriters.TestCase
