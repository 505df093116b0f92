from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.sinks.spool import FULL_RATION, STRIKES, TRUST, Spool


def test_the_cursor_moves_with_the_first_message_that_is_acknowledged() -> None:
    spool = Spool(10)
    spool.sent(12, [1])
    assert spool.cursor == 10
    assert spool.acknowledged(1)
    assert spool.cursor == 12


def test_an_acknowledgement_out_of_order_waits_for_the_one_before() -> None:
    spool = Spool(0)
    spool.sent(1, [1])
    spool.sent(2, [2])
    spool.acknowledged(2)
    assert spool.cursor == 0
    spool.acknowledged(1)
    assert spool.cursor == 2


def test_a_record_of_several_messages_is_done_with_the_last_of_them() -> None:
    spool = Spool(0)
    spool.sent(1, [1, 2, 3])
    spool.acknowledged(3)
    spool.acknowledged(1)
    assert spool.cursor == 0
    spool.acknowledged(2)
    assert spool.cursor == 1


def test_a_second_or_false_acknowledgement_moves_nothing() -> None:
    spool = Spool(0)
    spool.sent(1, [1])
    spool.sent(2, [2])
    spool.acknowledged(1)
    assert not spool.acknowledged(1)
    assert not spool.acknowledged(77)
    assert spool.cursor == 1


def test_a_lost_connection_sends_everything_behind_the_cursor_again() -> None:
    spool = Spool(0)
    spool.sent(1, [1])
    spool.sent(2, [2])
    spool.acknowledged(1)
    spool.lost()
    assert (spool.position, spool.told, spool.waiting) == (1, 1, 0)


def test_records_without_anything_to_send_need_no_acknowledgement() -> None:
    spool = Spool(0)
    spool.sent(5)
    assert spool.cursor == 5


def test_records_without_anything_to_send_wait_for_those_before_them() -> None:
    spool = Spool(0)
    spool.sent(1, [1])
    spool.sent(5)
    assert spool.cursor == 0
    spool.acknowledged(1)
    assert spool.cursor == 5


def test_what_holds_nothing_is_not_worth_keeping() -> None:
    spool = Spool(0)
    spool.sent(1, [1])
    spool.acknowledged(1)
    spool.sent(9)
    assert (spool.cursor, spool.saved) == (9, 1)


def test_a_document_begins_behind_the_last_one_whatever_lay_between() -> None:
    spool = Spool(0)
    spool.sent(1, [1])
    spool.sent(9)
    assert spool.told == 1


def losses(spool: Spool, count: int) -> None:
    for number in range(count):
        spool.sent(spool.position + spool.ration, [1000 + number])
        spool.lost()


def test_losses_without_an_acknowledgement_shrink_documents_to_one_record() -> None:
    spool = Spool(0)
    losses(spool, 3)
    assert spool.ration == 1
    assert not spool.sets_aside


def test_a_record_that_is_refused_by_itself_again_and_again_is_told_as_a_gap() -> None:
    spool = Spool(0)
    losses(spool, 3 + STRIKES)
    assert spool.sets_aside
    spool.sent(1, [1], is_aside=True)
    spool.acknowledged(1)
    assert (spool.cursor, spool.set_aside, spool.sets_aside) == (1, 1, False)


def test_a_gap_that_is_not_taken_either_clears_the_record() -> None:
    spool = Spool(0)
    losses(spool, 3 + STRIKES)
    spool.sent(1, [1], is_aside=True)
    spool.lost()
    assert (spool.cursor, spool.set_aside, spool.sets_aside) == (0, 0, False)


def test_documents_grow_again_with_every_one_that_is_acknowledged() -> None:
    spool = Spool(0)
    losses(spool, 3)
    for token in range(3):
        spool.sent(spool.position + 1, [token])
        spool.acknowledged(token)
    assert spool.ration == FULL_RATION


def test_a_loss_after_an_acknowledgement_is_nobody_s_fault() -> None:
    spool = Spool(0)
    spool.sent(1, [1])
    spool.sent(2, [2])
    spool.acknowledged(1)
    spool.lost()
    assert spool.ration == FULL_RATION


def taken(spool: Spool, token: int) -> None:
    spool.sent(spool.position + spool.ration, [token])
    spool.acknowledged(token)


def test_a_document_that_is_lost_behind_smaller_ones_is_not_tried_again_at_once() -> None:
    spool = Spool(0)
    losses(spool, 2)
    assert spool.ration == 4
    taken(spool, 1)
    spool.sent(spool.position + spool.ration, [2])
    spool.lost()  # 32 are too much, 4 were not
    sizes = []
    for token in range(TRUST + 1):
        sizes.append(spool.ration)
        taken(spool, 100 + token)
    assert sizes == [4, *[16] * TRUST]
    assert spool.ration == 32


class StoreAndForward(RuleBasedStateMachine):
    """A ledger, a sink, a broker that takes some of what it is sent, and a receiver behind it that remembers."""

    @initialize()
    def begin(self) -> None:
        self.holds: list[bool] = [False]  # by number: whether there is anything to send
        self.kept_from = 1
        self.spool = Spool(0)
        self.kept_cursor = 0
        self.token = 0
        self.under_way: dict[int, dict[str, Any]] = {}
        self.received: set[int] = set()
        self.gaps: set[int] = set()
        self.session: list[int] = []  # what was received in this connection, in order

    @rule(records=st.lists(st.booleans(), min_size=1, max_size=40))
    def append(self, records: list[bool]) -> None:
        self.holds += records

    @rule(part=st.floats(0, 1))
    def retain(self, part: float) -> None:
        self.kept_from = max(self.kept_from, int(part * len(self.holds)))

    @rule(arrives=st.booleans(), at_most=st.integers(1, 30))
    def send(self, arrives: bool, at_most: int) -> None:
        spool = self.spool
        if spool.position >= len(self.holds) - 1:
            return
        last = min(spool.position + min(spool.ration, at_most), len(self.holds) - 1)
        numbers = range(spool.position + 1, last + 1)
        mine = [seq for seq in numbers if seq >= self.kept_from and self.holds[seq]]
        gone = [seq for seq in numbers if seq < self.kept_from]
        if not mine and not gone:
            spool.sent(last)
            return
        self.token += 1
        aside = spool.sets_aside
        document = {"first": spool.told + 1, "mine": [] if aside else mine, "gone": [*gone, *mine] if aside else gone}
        spool.sent(last, [self.token], is_aside=aside)
        if arrives:
            self.arrive(document)
        self.under_way[self.token] = document

    def arrive(self, document: dict[str, Any]) -> None:
        self.received |= set(document["mine"])
        self.gaps |= set(document["gone"])
        self.session += document["mine"]

    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        if self.under_way:
            token = data.draw(st.sampled_from(sorted(self.under_way)))
            document = self.under_way.pop(token)
            self.received |= set(document["mine"])
            self.gaps |= set(document["gone"])
            assert self.spool.acknowledged(token)

    @rule(token=st.integers(0, 50))
    def acknowledge_what_nobody_waits_for(self, token: int) -> None:
        if token not in self.under_way:
            assert not self.spool.acknowledged(token)

    @rule()
    def lose(self) -> None:
        self.spool.lost()
        self.under_way.clear()
        self.session.clear()

    @rule()
    def keep(self) -> None:
        self.kept_cursor = self.spool.saved

    @rule()
    def crash(self) -> None:
        self.spool = Spool(self.kept_cursor)
        self.under_way.clear()
        self.session.clear()

    @invariant()
    def nothing_behind_the_cursor_is_lost_without_a_gap(self) -> None:
        behind = [seq for seq in range(1, self.spool.cursor + 1) if self.holds[seq]]
        assert not [seq for seq in behind if seq not in self.received and seq not in self.gaps]

    @invariant()
    def what_is_kept_is_never_ahead_of_the_cursor(self) -> None:
        assert self.kept_cursor <= self.spool.saved <= self.spool.cursor <= self.spool.position

    @invariant()
    def one_connection_tells_everything_in_order(self) -> None:
        assert self.session == sorted(set(self.session))

    def teardown(self) -> None:
        """However it went, a broker that takes everything gets everything."""
        if not hasattr(self, "spool"):
            return
        self.lose()
        for _ in range(2 * len(self.holds) + 10):
            self.send(arrives=True, at_most=30)
            for token in list(self.under_way):
                self.under_way.pop(token)
                self.spool.acknowledged(token)
        assert self.spool.cursor == len(self.holds) - 1
        wanted = {seq for seq, holds in enumerate(self.holds) if holds}
        assert wanted <= self.received | self.gaps


TestStoreAndForward = StoreAndForward.TestCase


@pytest.mark.parametrize("cursor", [0, 7])
def test_another_ledger_begins_at_another_place(cursor: int) -> None:
    spool = Spool(100)
    spool.sent(120, [1])
    spool.move(cursor)
    assert (spool.cursor, spool.position, spool.told, spool.saved, spool.waiting) == (cursor,) * 4 + (0,)
