"""Layer 2: from the segments of a ring to the log they hold: what continues what, what is missing, where it goes on.

FORMAT.md section 6 has the rules. Segments are told in the order of their epochs, one at a time, so that a ring of any
size is read in the memory of one segment. Pure: opening for writing and verification decide with the same code.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.ledger.archive import ArchiveInfo
from gateway.ledger.base import Damage
from gateway.ledger.frame import THINNED, Header, first_chain
from gateway.ledger.segment import Placed, Walk, in_order


class Live(NamedTuple):
    """A segment whose records are in no archive yet."""

    name: str
    epoch: int
    first_seq: int
    next_seq: int  # behind its last record
    end: int  # offset behind its last frame
    limit_seq: int | None  # numbers from here on were written again, in the next segment


class Missing(NamedTuple):
    """Sequence numbers that were given and are not there, with the place where they should be."""

    from_seq: int
    to_seq: int
    file: str
    offset: int
    reason: str

    def as_damage(self) -> Damage:
        """Return it as verification tells it."""
        return Damage(self.from_seq, self.file, self.offset, self.reason)

    @property
    def body(self) -> dict[str, object]:
        """Return it as a record of kind damage tells it."""
        return {
            "from_seq": self.from_seq, "to_seq": self.to_seq, "reason": self.reason, "file": self.file,
            "offset": self.offset,
        }  # fmt: skip


class Recovery:
    """The log in a ring, as far as it was told."""

    def __init__(self, log_id: bytes, sealed_seq: int, sealed_chain: bytes | None, incarnation: int) -> None:
        """Take what the archives hold: everything up to `sealed_seq`, with the chain hash behind it.

        `incarnation` is that of their last record: a later one, as META may tell, would hide what an earlier one lost.
        """
        self.next_seq = sealed_seq + 1
        self.chain = sealed_chain or first_chain(log_id)
        self.incarnation = incarnation
        self.boot_no = 0
        self.wall_ns = 0
        self.live: list[Live] = []
        self.missing: list[Missing] = []
        self.broken_links: list[Missing] = []  # frames that are whole and do not continue what stands before them
        self.hurt: list[tuple[str, Placed]] = []  # frames whose body is not what was written
        self._last: Header | None = None
        self._sealed = sealed_seq > 0

    def add(self, name: str, walk: Walk, limit_seq: int | None) -> list[Placed]:
        """Take the next segment, `limit_seq` the first number of the one behind it; return its frames that count."""
        frames = in_order(walk.frames, self.next_seq, limit_seq)
        first_seq = self.next_seq
        hole_ends = {hole.end for hole in walk.holes}
        for place, each in enumerate(frames):
            self._continue(name, each, after_hole=each.offset in hole_ends, is_first=place == 0)
            if not each.is_whole:
                self.hurt.append((name, each))
        if frames:
            first_seq = frames[0].header.base_seq
        end = frames[-1].end if frames and limit_seq is not None else walk.end
        self.live.append(Live(name, walk.epoch, first_seq, self.next_seq, end, limit_seq))
        return frames

    def add_archive(self, info: ArchiveInfo, offset: int) -> tuple[Placed, bool]:
        """Take an archive by its footer, which lies at `offset`: to the log it is one thinned frame.

        Return that frame, and whether it counts.
        """
        header = Header(
            THINNED, info.last_epoch, info.first_seq, 0, 0, info.boot_no, info.records, 0, 0, 0, 0,
            bytes.fromhex(info.link), bytes.fromhex(info.chain), bytes.fromhex(info.log_id), info.incarnation, 0, 0,
            info.last_seq + 1 - info.first_seq,
        )  # fmt: skip
        placed = Placed(offset, header, is_whole=True)
        kept = self.add(info.name, Walk(0, [placed], [], 0, False, 0, None), None)
        self.live.clear()
        return placed, bool(kept)

    def _continue(self, name: str, each: Placed, *, after_hole: bool, is_first: bool) -> None:
        header = each.header
        links = header.link == self.chain[: len(header.link)]
        jumps = header.incarnation > self.incarnation and links
        if header.base_seq > self.next_seq and not jumps:
            reason = "the frames between are gone" if after_hole or is_first else "numbers are missing"
            self.missing.append(Missing(self.next_seq, header.base_seq - 1, name, each.offset, reason))
        elif header.base_seq == self.next_seq and not links and not after_hole:
            self.broken_links.append(
                Missing(header.base_seq, header.base_seq, name, each.offset, "does not continue the commit before it")
            )
        self.incarnation = max(self.incarnation, header.incarnation)
        self.boot_no = max(self.boot_no, header.boot_no)
        self.wall_ns = header.wall_ns
        self.next_seq = header.next_seq
        self.chain = header.chain
        self._last = header

    def note_incarnation(self, incarnation: int) -> None:
        """Take what META tells; numbers are never given twice in one incarnation."""
        self.incarnation = max(self.incarnation, incarnation)

    def begin_anew(self) -> None:
        """Go on with the next incarnation: others may have heard of numbers that were never durable."""
        self.incarnation += 1

    def lost_behind(self, evidence_seq: int, reason: str) -> None:
        """Tell that numbers up to `evidence_seq` were durable: what of them is not here is missing."""
        if evidence_seq >= self.next_seq:
            file = self.live[-1].name if self.live else ""
            offset = self.live[-1].end if self.live else 0
            self.missing.append(Missing(self.next_seq, evidence_seq, file, offset, reason))
            self.next_seq = evidence_seq + 1
            self.incarnation += 1
