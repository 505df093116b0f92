from __future__ import annotations

import struct

from hypothesis import example, given
from hypothesis import strategies as st

from drivers._can_filters import EVERYTHING, KERNEL_MOST, kernel_filters, packed
from drivers._can_filters import test_of as make_test
from gateway.frame import CAN_ERROR, CAN_EXTENDED, CAN_ID_MASK, CAN_REMOTE
from gateway.port import CanFilter

EXACT = CAN_EXTENDED | CAN_REMOTE | CAN_ID_MASK
FRAMES = st.builds(
    lambda number, extended, remote: (number if extended else number & 0x7FF) | extended | remote,
    st.one_of(st.integers(0, 15), st.integers(0, CAN_ID_MASK)),
    st.sampled_from([0, CAN_EXTENDED]),
    st.sampled_from([0, CAN_REMOTE]),
)
MASKS = st.one_of(st.just(EXACT), st.just(EXACT | CAN_ERROR), st.integers(0, 0xFFFFFFFF), st.just(CAN_EXTENDED | 0x7FF))
FILTERS = st.lists(st.builds(CanFilter, FRAMES, MASKS), max_size=40)


def wants(wanted, can_id):
    """The meaning of `gateway.port.CanFilter`, for frames that are no error frames."""
    return any((can_id ^ each.can_id) & each.mask == 0 for each in wanted)


def linux_lets_through(filters, can_id):
    """What net/can/af_can.c does with a filter whose mask and id have no bit 29."""
    return any(can_id & each.mask == each.can_id for each in filters)


@given(FILTERS, st.lists(FRAMES, max_size=20))
@example([CanFilter(0x123, EXACT)], [0x123, 0x123 | CAN_EXTENDED, 0x123 | CAN_REMOTE])
def test_the_kernel_lets_through_what_is_wanted_and_nothing_else(wanted, frames):
    filters = kernel_filters(wanted)
    ids = frames + [each.can_id for each in wanted]
    assert [linux_lets_through(filters, can_id) for can_id in ids] == [wants(wanted, can_id) for can_id in ids]


@given(FILTERS, st.lists(FRAMES, max_size=20), st.integers(1, 6))
def test_merging_loses_no_wanted_id_and_adds_none_unless_it_lets_through_everything(wanted, frames, most):
    filters = kernel_filters(wanted, most)
    ids = frames + [each.can_id for each in wanted]
    assert len(filters) <= most
    for can_id in ids:
        if filters == EVERYTHING:
            assert linux_lets_through(filters, can_id)
        else:
            assert linux_lets_through(filters, can_id) == wants(wanted, can_id)


@given(FILTERS, st.lists(FRAMES, max_size=20))
def test_our_own_test_agrees_with_the_kernel_s_filters(wanted, frames):
    is_wanted = make_test(wanted)
    for can_id in frames * 2:  # the second time from memory
        assert is_wanted(can_id) == wants(wanted, can_id)


@given(FILTERS)
def test_no_filter_touches_the_bit_that_means_something_else_to_the_kernel(wanted):
    assert not any((each.can_id | each.mask) & CAN_ERROR for each in kernel_filters(wanted))


def test_a_standard_id_takes_the_form_that_the_kernel_finds_at_once():
    assert kernel_filters([CanFilter(0x123, EXACT)]) == [CanFilter(0x123, CAN_EXTENDED | CAN_REMOTE | 0x7FF)]


def test_who_wants_error_frames_only_gets_no_data_frames():
    assert kernel_filters([CanFilter(CAN_ERROR, CAN_ERROR)]) == []


def test_ids_in_a_row_beyond_the_limit_are_joined_exactly():
    wanted = [CanFilter(0x1000 + number | CAN_EXTENDED, EXACT) for number in range(2 * KERNEL_MOST)]
    assert kernel_filters(wanted) == [CanFilter(0x1000 | CAN_EXTENDED, EXACT & ~0x3FF)]


def test_too_many_scattered_ids_let_everything_through():
    wanted = [CanFilter(number * 0x3001 | CAN_EXTENDED, EXACT) for number in range(2 * KERNEL_MOST)]
    assert kernel_filters(wanted) == EVERYTHING


def test_a_filter_is_two_numbers_to_the_kernel():
    assert packed([CanFilter(0x123, 0x7FF), CanFilter(1, 2)]) == struct.pack("=IIII", 0x123, 0x7FF, 1, 2)
