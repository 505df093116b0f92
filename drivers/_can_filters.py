"""Which CAN ids are wanted, as the kernel's filters take them and as a test of ours where nothing else filters. Pure.

A filter lets through what equals `can_id` in the bits of `mask` (linux/can.h: 11-bit ids, extended, remote flags).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from gateway.frame import CAN_ERROR, CAN_EXTENDED, CAN_ID_MASK, CAN_REMOTE
from gateway.port import CanFilter

KERNEL_MOST: Final = 512  # linux/can/raw.h CAN_RAW_FILTER_MAX
EVERYTHING: Final = (CanFilter(0, 0),)
_BITS: Final = CAN_EXTENDED | CAN_REMOTE | CAN_ID_MASK
_STANDARD: Final = 0x7FF
_PAIR: Final = struct.Struct("=II")  # struct can_filter


def kernel_filters(wanted: Iterable[CanFilter], most: int = KERNEL_MOST) -> Sequence[CanFilter]:
    """Return at most `most` filters that let through all of `wanted`, and nothing else unless it takes EVERYTHING.

    () lets nothing through. The error flag of a mask means another list and that of an id "all others" to the kernel
    (CAN_INV_FILTER): both are taken off, and who wants error frames only gets no filter.
    """
    filters = list(dict.fromkeys(_plain(each) for each in wanted if not each.can_id & each.mask & CAN_ERROR))
    if len(filters) > most:  # only then: the kernel finds a single id in one step, a range by trying all ranges
        filters = _without_covered(_merged(filters))
    return filters if len(filters) <= most else EVERYTHING


def packed(filters: Iterable[CanFilter]) -> bytes:
    """Return the kernel's array of filters."""
    return b"".join(_PAIR.pack(*each) for each in filters)


def test_of(wanted: Sequence[CanFilter]) -> Callable[[int], bool]:
    """Return a function that tells whether an id with its flags is wanted."""
    filters = [_plain(each) for each in wanted if not each.can_id & each.mask & CAN_ERROR]
    known: dict[int, bool] = {}  # a bus has a few ids that repeat; bounded against one that makes them up

    def is_wanted(can_id: int) -> bool:
        verdict = known.get(can_id)
        if verdict is None:
            verdict = any((can_id ^ each.can_id) & each.mask == 0 for each in filters)
            if len(known) < 4 * KERNEL_MOST:
                known[can_id] = verdict
        return verdict

    return is_wanted


def _plain(wanted: CanFilter) -> CanFilter:
    mask = wanted.mask & _BITS
    if mask & CAN_EXTENDED and not wanted.can_id & CAN_EXTENDED:
        mask &= _STANDARD | CAN_EXTENDED | CAN_REMOTE  # the form in which the kernel finds an 11-bit id at once
    return CanFilter(wanted.can_id & mask, mask)


def _merged(filters: list[CanFilter]) -> list[CanFilter]:
    """Join pairs that differ in one bit, which lets through the same ids, until there are none."""
    left, bit = set(filters), 1
    while bit <= CAN_EXTENDED:
        joined = {each for each in left if each.mask & bit and each._replace(can_id=each.can_id ^ bit) in left}
        left -= joined
        left |= {CanFilter(each.can_id & ~bit, each.mask & ~bit) for each in joined}
        bit <<= 1
    return sorted(left)


def _without_covered(filters: list[CanFilter]) -> list[CanFilter]:
    """Leave out what a wider filter lets through anyway."""
    wide: dict[int, set[int]] = {}  # ids by mask
    for each in filters:
        wide.setdefault(each.mask, set()).add(each.can_id)
    return [
        each
        for each in filters
        if not any(
            mask != each.mask and mask & each.mask == mask and each.can_id & mask in ids for mask, ids in wide.items()
        )
    ]
