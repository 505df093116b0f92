"""What faults do to advertisements: laws."""

from __future__ import annotations

import random
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from hil.faults import ble

RSSI = st.integers(-127, 20)


def fault(kind, ordinal=0, **params):
    return SimpleNamespace(kind=kind, ordinal=ordinal, params=params, chance=random.Random(ordinal))


@given(rssi=RSSI, kinds=st.lists(st.sampled_from(["adv_loss", "adv_duplicate"]), max_size=4))
def test_copies_double_and_what_is_lost_stays_lost(rssi, kinds):
    found = ble.heard(rssi, [fault(kind) for kind in kinds], {})
    assert found == [rssi] * (0 if "adv_loss" in kinds else 2 ** len(kinds))


@given(rssi=RSSI, step=st.floats(0, 100), seed=st.integers(0, 100))
def test_a_walk_goes_a_step_at_most_and_stays_what_a_controller_can_report(rssi, step, seed):
    walk, walks, last = fault("rssi_walk", step=step), {}, 0.0
    walk.chance = random.Random(seed)
    for _ in range(30):
        [found] = ble.heard(rssi, [walk], walks)
        assert -127 <= found <= 20
        assert abs(walks[0] - last) <= step
        last = walks[0]


@given(data=st.binary(max_size=40), begin=st.integers(0, 50), seed=st.integers(0, 5))
def test_another_key_changes_nothing_in_front_of_what_is_encrypted(data, begin, seed):
    found = ble.encrypted_again(data, begin, seed)
    assert (found[:begin], len(found)) == (data[:begin], len(data))
    assert ble.encrypted_again(found, begin, seed)[:begin] == data[:begin]
    assert ble.encrypted_again(data, None, seed) == data
