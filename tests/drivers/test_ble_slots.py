from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from drivers._ble_slots import Slots

S = 1_000_000_000


def test_as_many_leases_as_slots_and_no_more():
    slots = Slots(2)
    assert [slots.lease(name, 0, 10 * S) is not None for name in "abc"] == [True, True, False]


def test_a_slot_given_back_is_free_at_once():
    slots = Slots(1)
    lease = slots.lease("a", 0, 10 * S)
    assert lease is not None
    slots.give_back(lease)
    assert slots.lease("b", 0, 10 * S) is not None


def test_a_lease_that_nobody_keeps_ends_by_itself():
    slots = Slots(1)
    slots.lease("a", 0, 10 * S)
    assert slots.lease("b", 10 * S, 10 * S) is not None


def test_a_kept_lease_lasts_until_it_is_given_back():
    slots = Slots(1)
    lease = slots.lease("a", 0, 10 * S)
    assert lease is not None
    assert slots.keep(lease)
    assert slots.lease("b", 1000 * S, 10 * S) is None


def test_a_lease_kept_too_late_is_refused():
    slots = Slots(1)
    late = slots.lease("a", 0, 10 * S)
    slots.lease("b", 20 * S, 10 * S)
    assert late is not None
    assert not slots.keep(late)


def test_a_link_that_is_being_closed_holds_its_slot_only_so_long():
    slots = Slots(1)
    lease = slots.lease("a", 0, 10 * S)
    assert lease is not None
    slots.keep(lease)
    slots.limit(lease, 100 * S, 12 * S)
    assert (slots.used(111 * S), slots.used(112 * S)) == (1, 0)


def test_owners_are_named_with_how_long_they_hold():
    slots = Slots(3)
    slots.lease("pump", 0, 100 * S)
    slots.lease("lamp", 5 * S, 100 * S)
    assert slots.owners(7 * S) == {"pump": 7.0, "lamp": 2.0}


@given(
    st.lists(st.tuples(st.sampled_from(["lease", "keep", "give_back", "limit"]), st.integers(0, 5 * S)), max_size=60)
)
def test_whatever_happens_slots_neither_leak_nor_multiply(steps):
    slots, leases, now_ns = Slots(3), [], 0
    for step, pause_ns in steps:
        now_ns += pause_ns
        if step == "lease":
            lease = slots.lease("x", now_ns, 3 * S)
            leases += [lease] if lease else []
        elif leases and step == "keep":
            slots.keep(leases[-1])
        elif leases and step == "limit":
            slots.limit(leases[-1], now_ns, S)
        elif leases:
            slots.give_back(leases.pop(0))
        assert slots.used(now_ns) <= 3
    for lease in leases:
        slots.give_back(lease)
    assert slots.used(now_ns) == 0
