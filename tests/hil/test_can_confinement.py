"""Error confinement: the counters' rules, and what no history of a node may lead to."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hil.can_confinement import Controller, Recovery


def after(count, action):
    controller = Controller()
    for _ in range(count):
        action(controller)
    return controller


@pytest.mark.parametrize(
    ("count", "state"),
    [
        (0, "active"),
        (11, "active"),
        (12, "warning"),
        (15, "warning"),
        (16, "passive"),
        (31, "passive"),
        (32, "bus_off"),
    ],
)
def test_failures_to_send_lead_to_warning_passive_and_off_the_bus(count, state):
    assert after(count, Controller.failed_to_send).state == state


@pytest.mark.parametrize(("count", "state"), [(95, "active"), (96, "warning"), (128, "passive"), (1000, "passive")])
def test_failures_to_receive_never_lead_off_the_bus(count, state):
    assert after(count, lambda each: each.failed_to_receive(is_first=False)).state == state


def test_who_sees_an_error_first_counts_nine():
    assert after(1, lambda each: each.failed_to_receive(is_first=True)).counters == (0, 9)


def test_nobody_who_acknowledges_makes_a_node_passive_and_no_worse():
    controller = after(1000, Controller.missed_ack)
    assert controller.counters == (128, 0)
    assert controller.state == "passive"


def test_a_passive_receiver_is_active_after_one_good_frame():
    controller = after(200, lambda each: each.failed_to_receive(is_first=False))
    controller.received()
    assert controller.counters == (0, 127)
    assert controller.is_active


def test_a_controller_that_is_held_passive_stays_so_until_it_is_reset():
    controller = Controller()
    controller.hold_passive()
    for _ in range(100):
        controller.sent()
    assert controller.state == "passive"
    controller.reset()
    controller.failed_to_send()
    controller.sent()
    assert controller.counters == (7, 0)


def test_recovery_takes_128_sequences_of_11_bits_on_a_quiet_bus():
    assert Recovery(1_000, 2_000, 0, 0).due_ns(0, 0) == 1_000 + 128 * 11 * 2_000


def test_a_frame_is_one_sequence_of_recovery_however_long_it_is():
    recovery = Recovery(0, 2_000, 500, 1)
    assert recovery.due_ns(500 + 260_000, 2) == 128 * 11 * 2_000 + 260_000 - 11 * 2_000


class Confinement(RuleBasedStateMachine):
    """Any history, against counters that are kept as the standard's sentences have them."""

    def __init__(self):
        super().__init__()
        self.controller = Controller()
        self.tx = self.rx = 0
        self.is_off = False

    @precondition(lambda self: not self.is_off)
    @rule()
    def send(self):
        self.controller.sent()
        self.tx -= self.tx > 0

    @precondition(lambda self: not self.is_off)
    @rule()
    def receive(self):
        self.controller.received()
        if self.rx > 127:
            self.rx = 127
        elif self.rx:
            self.rx -= 1

    @precondition(lambda self: not self.is_off)
    @rule(times=st.integers(1, 20))
    def fail_to_send(self, times):
        for _ in range(times):
            if not self.is_off:
                self.controller.failed_to_send()
                self.tx += 8
                self.is_off = self.tx > 255

    @precondition(lambda self: not self.is_off)
    @rule(times=st.integers(1, 20))
    def miss_acks(self, times):
        for _ in range(times):
            if not self.is_off:
                is_passive = self.tx > 127 or self.rx > 127
                self.controller.missed_ack()
                self.tx += 0 if is_passive else 8
                self.is_off = self.tx > 255

    @precondition(lambda self: not self.is_off)
    @rule(is_first=st.booleans(), times=st.integers(1, 40))
    def fail_to_receive(self, is_first, times):
        for _ in range(times):
            self.controller.failed_to_receive(is_first=is_first)
            self.rx = min(255, self.rx + (9 if is_first else 1))

    @rule()
    def reset(self):
        self.controller.reset()
        self.tx = self.rx = 0
        self.is_off = False

    @invariant()
    def counts_alike(self):
        assert self.controller.counters == (self.tx, self.rx)

    @invariant()
    def is_in_the_state_of_its_counters(self):
        worst = max(self.tx, self.rx)
        states = [(self.is_off, "bus_off"), (worst > 127, "passive"), (worst > 95, "warning"), (True, "active")]
        assert self.controller.state == next(state for is_so, state in states if is_so)


TestConfinement = Confinement.TestCase
