"""The table of leases, for every order in which takers, deaths and clocks may come."""

from __future__ import annotations

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from hil.lease.table import (
    KICK_GRACE_NS,
    WAITER_SILENCE_NS,
    Lease,
    Table,
    Waiter,
    Who,
    ahead,
    assigned,
    beaten,
    granted,
    kicked,
    released,
    settled,
    waiting,
    why_lost,
    without,
)

ANN = Who("ann", 1, "2026-01-01T00:00:00Z")
S = 1_000_000_000
TARGETS = {"a": {"kind": "f4"}, "b": {"kind": "f4"}, "c": {"kind": "c3"}}


def lease(token=1, *, ticket="t1", beat_ns=0, ttl_ns=10 * S):
    return Lease(token, ticket, ANN, beat_ns, beat_ns, ttl_ns)


def queue(*waiters: tuple[str, str], beat_ns=0):
    return tuple(Waiter(ticket, (template,), ANN, beat_ns) for ticket, template in waiters)


def everyone(_ticket):
    return True


def nobody(_ticket):
    return False


def test_a_lease_lives_to_the_last_nanosecond_before_its_ttl():
    table = Table({"a": lease()})
    assert "a" in settled(table, 10 * S - 1, everyone).leases
    assert why_lost(table, "a", 1, 10 * S - 1) is None


def test_a_lease_is_over_when_its_holder_was_silent_for_the_ttl():
    table = Table({"a": lease()})
    assert settled(table, 10 * S, everyone).leases == {}
    assert why_lost(table, "a", 1, 10 * S) == "its holder gave no sign of life for 10 s"


def test_a_lease_is_over_at_once_when_its_holder_died():
    assert settled(Table({"a": lease()}), 1, nobody).leases == {}


def test_a_kicked_holder_may_not_write_and_keeps_others_out_until_it_has_let_go():
    table = kicked(Table({"a": lease()}), "a", 5, "bob (pid 2)")
    assert why_lost(table, "a", 1, 6) == "kicked by bob (pid 2)"
    assert "a" in settled(table, 6, everyone).leases
    assert settled(table, 6, nobody).leases == {}
    assert settled(table, 5 + KICK_GRACE_NS, everyone).leases == {}


def test_whoever_lost_a_lease_is_told_why_also_when_it_is_gone():
    table = settled(kicked(Table({"a": lease()}), "a", 5, "bob (pid 2)"), 6, nobody)
    assert why_lost(table, "a", 1, 7) == "kicked by bob (pid 2)"


def test_an_older_holder_is_told_who_has_the_target_by_now():
    assert why_lost(Table({"a": lease(5)}), "a", 3, 0) == "it is ann (pid 1)'s by now (lease 5)"


def test_nobody_overtakes_one_who_waits_for_the_same():
    table = Table(queue=queue(("first", "kind=c3"), ("second", "kind=c3")))
    assert assigned(table, TARGETS, 0) == {"first": "c"}


def test_who_waits_for_something_rare_holds_up_nobody_else():
    table = Table({"c": lease()}, queue(("first", "kind=c3"), ("second", "kind=f4")))
    assert assigned(table, TARGETS, 0) == {"second": "a"}


def test_two_free_targets_serve_two_waiters_at_once():
    table = Table(queue=queue(("first", "kind=*"), ("second", "kind=*")))
    assert assigned(table, TARGETS, 0) == {"first": "a", "second": "b"}


def test_a_waiter_that_died_is_forgotten():
    table = Table(queue=queue(("first", "kind=*"), ("second", "kind=*")))
    assert assigned(settled(table, 0, lambda ticket: ticket == "second"), TARGETS, 0) == {"second": "a"}


def test_a_waiter_that_is_stopped_is_passed_over_and_keeps_its_place():
    table = Table(queue=queue(("first", "kind=c3"), ("second", "kind=c3")))
    later = waiting(table, msgspec.structs.replace(table.queue[1], beat_ns=WAITER_SILENCE_NS))
    assert assigned(later, TARGETS, WAITER_SILENCE_NS) == {"second": "c"}
    back = waiting(later, msgspec.structs.replace(table.queue[0], beat_ns=WAITER_SILENCE_NS))
    assert assigned(back, TARGETS, WAITER_SILENCE_NS) == {"first": "c"}


def test_only_those_who_want_the_same_stand_before_one():
    table = Table(queue=queue(("x", "kind=c3"), ("y", "kind=f4"), ("z", "name=a")))
    assert ahead(table, TARGETS, "z") == 1


class Pool(RuleBasedStateMachine):
    """Takers that come, wait, show life, die, stop; holders that are kicked and run out; one clock."""

    @initialize()
    def start(self):
        self.table = Table()
        self.now_ns = 0
        self.tickets = 0
        self.token = 0
        self.dead: set[str] = set()
        self.tokens_of = {name: [0] for name in TARGETS}
        self.holds: dict[str, tuple[str, int]] = {}  # ticket -> what it was given

    def settle(self):
        self.table = settled(self.table, self.now_ns, lambda ticket: ticket not in self.dead)

    @rule(template=st.sampled_from(["kind=*", "kind=f4", "kind=c3", "name=a"]))
    def come(self, template):
        self.tickets += 1
        self.settle()
        self.table = waiting(self.table, Waiter(f"t{self.tickets}", (template,), ANN, self.now_ns))

    @rule(data=st.data())
    def try_to_take(self, data):
        if not self.table.queue:
            return
        waiter = data.draw(st.sampled_from(self.table.queue))
        if waiter.ticket in self.dead:
            return
        self.settle()
        self.table = waiting(self.table, msgspec.structs.replace(waiter, beat_ns=self.now_ns))
        target = assigned(self.table, TARGETS, self.now_ns).get(waiter.ticket)
        if target is not None:
            self.token += 1
            self.table = granted(self.table, target, lease(self.token, ticket=waiter.ticket, beat_ns=self.now_ns))
            self.tokens_of[target].append(self.token)
            self.holds[waiter.ticket] = (target, self.token)

    @rule(ns=st.integers(0, 12 * S))
    def time_goes_by(self, ns):
        self.now_ns += ns

    @rule(data=st.data())
    def die(self, data):
        known = [waiter.ticket for waiter in self.table.queue] + [entry.ticket for entry in self.table.leases.values()]
        if known:
            self.dead.add(data.draw(st.sampled_from(known)))

    @rule(data=st.data(), deed=st.sampled_from(["kick", "beat", "put", "leave"]))
    def change(self, data, deed):
        if deed == "leave" and self.table.queue:
            self.table = without(self.table, data.draw(st.sampled_from(self.table.queue)).ticket)
        if not self.table.leases or deed == "leave":
            return
        target = data.draw(st.sampled_from(sorted(self.table.leases)))
        entry = self.table.leases[target]
        if deed == "kick":
            self.table = kicked(self.table, target, self.now_ns, "bob")
        elif deed == "put":
            self.table = released(self.table, target)
        elif why_lost(self.table, target, entry.token, self.now_ns) is None:
            self.table = beaten(self.table, target, self.now_ns)

    @invariant()
    def at_most_one_holder_of_each_target_may_write(self):
        for target in TARGETS:
            may = [
                token
                for held, token in self.holds.values()
                if held == target and why_lost(self.table, target, token, self.now_ns) is None
            ]
            assert len(may) <= 1
            assert not may or may == [self.tokens_of[target][-1]]

    @invariant()
    def tokens_rise(self):
        for tokens in self.tokens_of.values():
            assert tokens == sorted(set(tokens))

    @invariant()
    def a_free_target_is_given_to_somebody_who_wants_it(self):
        table = settled(self.table, self.now_ns, lambda ticket: ticket not in self.dead)
        given = assigned(table, TARGETS, self.now_ns)
        free = set(TARGETS) - set(table.leases) - set(given.values())
        hopeful = [w for w in table.queue if w.ticket not in given and self.now_ns - w.beat_ns < WAITER_SILENCE_NS]
        assert not free or all(
            not assigned(Table(table.leases, (w,)), {n: TARGETS[n] for n in free}, 0) for w in hopeful
        )

    @invariant()
    def the_files_bring_it_back(self):
        assert self.table == msgspec.json.decode(msgspec.json.encode(self.table), type=Table)


TestPool = Pool.TestCase
TestPool.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
