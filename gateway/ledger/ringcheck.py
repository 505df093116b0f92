"""Layer 5: the hot ring under verification: every segment whole, in its place, and nothing where nothing was written.

What earlier laps left behind the end of a recycled segment is not of the log and is not looked at. A segment is known
to be in its first lap by its epoch: the one numbered N cannot have had a lower one than N + 1, and had that only then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

from gateway.ledger.base import Damage
from gateway.ledger.frame import AFTER_UNCLEAN, Header
from gateway.ledger.scrutiny import Scrutiny
from gateway.ledger.segment import Walk, is_zero, walk
from gateway.ledger.storage import Storage
from gateway.ledger.survey import Segment, Survey, read_whole

CUT = "a commit that was cut while it was written; it was never acknowledged"
NOT_ZERO = "bytes where nothing was ever written"


class Behind(NamedTuple):
    """Bytes that are not zero behind the last commit of a segment in its first lap."""

    name: str
    offset: int
    seq: int  # of the commit that would come there
    room: int


class RingCheck:
    """One look at the ring."""

    def __init__(
        self,
        storage: Storage,
        found: Survey,
        scrutiny: Scrutiny,
        top_epoch: int,
        step: Callable[[int], None],
    ) -> None:
        """`top_epoch` is the highest that archives name."""
        self.tail: Damage | None = None
        self.last_file, self.last_end = "", 0
        self._storage = storage
        self._found = found
        self._findings = scrutiny.findings
        self._scrutiny = scrutiny
        self._step = step  # is told of each file's bytes when they were looked at
        self._top_epoch = max(top_epoch, *(each.seen_epoch for each in found.segments), 0)

    def run(self, *, is_clean: bool) -> None:
        """Look at every segment. `is_clean`: META tells that the end is the end, so nothing may lie behind it."""
        self._files()
        order = self._found.live(self._scrutiny.sealed_seq)
        behind: Behind | None = None
        is_unclean = False
        for place, segment in enumerate(order):
            data, walked = self._read(segment)
            self._step(segment.size)
            if walked is None:
                behind = None
                continue
            first = walked.frames[0].header if walked.frames else None
            if behind is not None and first is not None and _was_full(behind, first):
                self._not_zero(behind.name, behind.offset, behind.seq)
            limit_seq = order[place + 1].first_seq if place + 1 < len(order) else None
            self._scrutiny.segment(segment.name, data, walked, limit_seq)
            self.last_file, self.last_end = segment.name, self._scrutiny.recovery.live[-1].end
            is_unclean = any(each.header.flags & AFTER_UNCLEAN for each in walked.frames)
            behind = None if is_unclean else self._behind(segment, data, walked)
            if limit_seq is None and walked.torn and not is_clean:
                self._torn(segment.name, walked.end)
        if behind is not None and is_clean:
            self._not_zero(behind.name, behind.offset, behind.seq)
        elif behind is not None:
            self._torn(behind.name, behind.offset)
        self._idle(is_exact=is_clean and not is_unclean)
        self._put_back(order)

    # ---- files

    def _files(self) -> None:
        """Look at sizes, places and owners."""
        found, findings = self._found, self._findings
        sizes = Counter(each.size for each in found.segments)
        size = found.meta.segment_bytes if found.meta is not None else max(sizes, key=sizes.__getitem__, default=0)
        for expected, each in enumerate(found.segments):
            if each.number != expected:
                findings.hurt_at(f"hot/{expected:02d}.seg", 0, "the segment is gone")
                break
        for earlier, each in pairwise(found.by_epoch):
            if each.epoch == earlier.epoch:
                findings.forge(each.first_seq, each.name, 0, f"a copy of {earlier.name}")
        for each in found.segments:
            if each.size != size:
                reason = f"the segment has {each.size:,} bytes, not {size:,}"
                findings.hurt_at(each.name, min(size, each.size), reason)
            if each.foreign is not None:
                reason = f"commits of another ledger ({each.foreign.hex()}; this one is {found.log_id.hex()})"
                findings.forge(0, each.name, 0, reason)
            elif 0 < each.epoch <= each.number:
                findings.forge(each.first_seq, each.name, 0, "a segment that stood elsewhere in the ring")

    def _read(self, segment: Segment) -> tuple[bytes, Walk | None]:
        try:
            data = read_whole(self._storage, segment.name)
        except OSError as error:
            self._findings.hurt_at(segment.name, 0, f"cannot be read: {error.strerror or error}")
            return b"", None
        walked = walk(data, self._found.unit_bytes, self._found.log_id)
        if walked.foreign is not None and segment.foreign is None:
            self._findings.forge(0, segment.name, 0, f"commits of another ledger ({walked.foreign.hex()})")
        return data, walked

    def _put_back(self, live: list[Segment]) -> None:
        """Tell a segment that is missing from one whose older state lies in its place.

        The segment with the lowest epoch is always the next to be recycled: an epoch that is not there above it was
        given to a segment that should have been this one, and what is missing lay in it. Starts that were not clean
        skip epochs, and are told; so does a commit that failed at a segment's start, where nothing is missing. Where a
        segment is destroyed it is that one; and what a record declares was found so by who opened the ledger.
        """
        present = self._found.by_epoch
        behind_hole = {later.name for earlier, later in pairwise(present) if later.epoch > earlier.epoch + 1}
        lost = [
            each
            for each in self._scrutiny.recovery.missing
            if each.offset == 0
            and each.file in behind_hole
            and each.from_seq > self._scrutiny.sealed_seq
            and not self._findings.is_told(each.from_seq, each.to_seq)
        ]
        if not lost or len(present) < 2 or present[0] in live or present[1].epoch == present[0].epoch + 1:
            return
        if any(not each.epoch and each.number < self._top_epoch for each in self._found.segments):
            return
        for each in present[:2]:
            walked = self._read(each)[1]
            if walked is None or any(placed.header.flags & AFTER_UNCLEAN for placed in walked.frames):
                return
        reason = "an older state of the segment was put back"
        self._findings.forge(lost[0].from_seq, present[0].name, 0, reason)

    # ---- what was never written

    def _behind(self, segment: Segment, data: bytes, walked: Walk) -> Behind | None:
        rest = data[walked.end :]
        if walked.epoch != segment.number + 1 or is_zero(rest):
            return None
        recovery = self._scrutiny.recovery
        offset = walked.end + len(rest) - len(rest.lstrip(b"\0"))
        return Behind(segment.name, offset, recovery.next_seq, len(data) - recovery.live[-1].end)

    def _idle(self, *, is_exact: bool) -> None:
        """Look at the segments that no commit has reached; a cut may have left the start of one in the first."""
        is_first = True
        for each in self._found.segments:
            if each.epoch or each.foreign is not None or each.number < self._top_epoch:
                if each.seen_epoch > each.epoch and not is_exact:
                    self._torn(each.name, 0)
                continue
            try:
                data = read_whole(self._storage, each.name)
            except OSError as error:
                self._findings.hurt_at(each.name, 0, f"cannot be read: {error.strerror or error}")
                continue
            if not is_zero(data):
                if is_first and not is_exact:
                    self._torn(each.name, 0)
                else:
                    self._not_zero(each.name, len(data) - len(data.lstrip(b"\0")), 0)
            is_first = False

    def _not_zero(self, name: str, offset: int, seq: int) -> None:
        self._findings.hurt_at(name, offset, NOT_ZERO, seq)

    def _torn(self, name: str, offset: int) -> None:
        self.tail = self.tail or Damage(self._scrutiny.recovery.next_seq, name, offset, CUT)


def _was_full(behind: Behind, first: Header) -> bool:
    """Return whether a segment was left because the next commit had no room, and not because a sync of it failed."""
    return first.padded_bytes > behind.room and not first.flags & AFTER_UNCLEAN
