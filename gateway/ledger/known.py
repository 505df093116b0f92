"""Layer 5: what the archives of a ledger hold and what is missing between them, as opening for writing needs it.

Told by their footers alone, with the code that verification decides with.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gateway.ledger.archive import ArchiveInfo
from gateway.ledger.findings import DECLARING_KINDS, declared_by, numbers_told, tells_loss
from gateway.ledger.frame import DECLARES, records_of
from gateway.ledger.recovery import Missing, Recovery
from gateway.ledger.seal import frames_of_archive
from gateway.ledger.storage import Storage


class Known(NamedTuple):
    """What archives hold: everything up to `seq`, but for what is missing."""

    epoch: int = 0
    seq: int = 0
    chain: bytes | None = None
    incarnation: int = 1
    missing: tuple[Missing, ...] = ()  # between them, and before the first
    declared: tuple[tuple[int, int], ...] = ()  # ranges that their records of kind gap or damage tell to be lost


def known_by(storage: Storage, archives: Sequence[ArchiveInfo], kept_from: int) -> Known:
    """Return what archives hold, told in the order of their numbers. Below `kept_from` retention gave up everything."""
    if not archives:
        return Known()
    last = archives[-1]
    recovery = Recovery(bytes.fromhex(last.log_id), kept_from - 1, None, 1)
    for info in archives:
        recovery.add_archive(info, 0)
    missing = tuple(each for each in recovery.missing if each.to_seq >= kept_from)
    told = (numbers for info in archives for numbers in _losses(storage, info)) if missing else ()
    return Known(last.last_epoch, last.last_seq, bytes.fromhex(last.chain), last.incarnation, missing, tuple(told))


def _losses(storage: Storage, info: ArchiveInfo) -> Iterator[tuple[int, int]]:
    """Yield the ranges that an archive tells to be lost; it is read only where its footer does not list them all."""
    told = list(info.declares)
    if info.declares_more:
        with contextlib.suppress(OSError):
            for found in frames_of_archive(storage, info):
                if isinstance(found, tuple) and found[0].flags & DECLARES:
                    told += [declared_by(each) for each in records_of(*found).records if each.kind in DECLARING_KINDS]
    for each in told:
        if tells_loss(each) and (numbers := numbers_told(each)) is not None:
            yield numbers
