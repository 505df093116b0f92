"""From segments to one log: what continues what, what is missing, where it goes on."""

from __future__ import annotations

from gateway.ledger.draft import Checker, Draft, Routes
from gateway.ledger.frame import Stamp, first_chain, parse_header
from gateway.ledger.recovery import Recovery
from gateway.ledger.segment import Walk, walk

LOG_ID = bytes(16)
ROUTES = Routes()


def frames(count: int, *, base_seq: int = 1, epoch: int = 1, chain: bytes, incarnation: int = 1) -> list[bytes]:
    found = []
    for seq in range(base_seq, base_seq + count):
        draft = Draft(Stamp(LOG_ID, incarnation, 1, 0, 0), seq, 0)
        draft.put(Checker(ROUTES).check([("note", None, seq)]).records, 0, 0, 65_536, ROUTES)
        after = draft.chain(chain)
        found.append(draft.build(flags=0, epoch=epoch, previous=chain, chain=after, unit_log2=9))
        chain = after
    return found


def walked(parts: list[bytes]) -> Walk:
    return walk(b"".join(parts).ljust(8192, b"\0"), 512, LOG_ID)


def chain_after(parts: list[bytes]) -> bytes:
    header = parse_header(parts[-1])
    assert header is not None
    return header.chain


FIRST = frames(3, chain=first_chain(LOG_ID))
SECOND = frames(3, base_seq=4, epoch=2, chain=chain_after(FIRST))


def recovered(*segments: tuple[list[bytes], int | None]) -> Recovery:
    recovery = Recovery(LOG_ID, 0, None, 1)
    for number, (parts, limit_seq) in enumerate(segments):
        recovery.add(f"hot/{number:02d}.seg", walked(parts), limit_seq)
    return recovery


def test_segments_continue_each_other() -> None:
    recovery = recovered((FIRST, 4), (SECOND, None))
    assert (recovery.next_seq, recovery.chain, recovery.missing, recovery.broken_links) == (
        7, chain_after(SECOND), [], [])  # fmt: skip


def test_a_commit_that_was_written_again_in_the_spare_counts_once() -> None:
    again = frames(2, base_seq=3, epoch=2, chain=chain_after(FIRST[:2]))
    recovery = recovered((FIRST, 3), (again, None))
    assert (recovery.next_seq, recovery.missing, recovery.broken_links) == (5, [], [])
    assert [(live.first_seq, live.next_seq, live.end) for live in recovery.live] == [(1, 3, 1024), (3, 5, 1024)]


def test_a_hole_inside_a_segment_is_named_with_its_numbers_and_its_place() -> None:
    recovery = recovered(([FIRST[0], bytes(512), FIRST[2]], None))
    assert [(each.from_seq, each.to_seq, each.file, each.offset) for each in recovery.missing] == [
        (2, 2, "hot/00.seg", 1024)
    ]


def test_a_segment_that_is_gone_is_a_hole() -> None:
    recovery = recovered((SECOND, None))
    assert [(each.from_seq, each.to_seq) for each in recovery.missing] == [(1, 3)]


def test_a_jump_with_a_new_incarnation_is_no_hole() -> None:
    later = frames(1, base_seq=100, epoch=2, chain=chain_after(FIRST), incarnation=2)
    recovery = recovered((FIRST, 100), (later, None))
    assert (recovery.missing, recovery.next_seq, recovery.incarnation) == ([], 101, 2)


def test_what_was_lost_before_a_jump_is_a_hole_and_not_taken_for_the_jump() -> None:
    later = frames(1, base_seq=100, epoch=2, chain=chain_after(FIRST), incarnation=2)
    recovery = recovered((FIRST[:2], 100), (later, None))
    assert [(each.from_seq, each.to_seq) for each in recovery.missing] == [(3, 99)]


def test_a_hole_of_an_earlier_incarnation_is_found_whatever_meta_tells_of_a_later_one() -> None:
    later = frames(1, base_seq=100, epoch=2, chain=chain_after(FIRST), incarnation=2)
    recovery = recovered(([FIRST[0], bytes(512), FIRST[2]], 100), (later, None))
    recovery.note_incarnation(2)
    assert [(each.from_seq, each.to_seq) for each in recovery.missing] == [(2, 2)]
    assert recovery.incarnation == 2


def test_a_whole_commit_that_does_not_follow_from_the_one_before_is_named() -> None:
    stranger = frames(1, base_seq=4, epoch=2, chain=bytes(32))
    recovery = recovered((FIRST, 4), (stranger, None))
    assert [each.from_seq for each in recovery.broken_links] == [4]


def test_numbers_that_were_durable_and_are_gone_raise_the_incarnation() -> None:
    recovery = recovered((FIRST, None))
    recovery.lost_behind(9, "META says so")
    assert [(each.from_seq, each.to_seq) for each in recovery.missing] == [(4, 9)]
    assert (recovery.next_seq, recovery.incarnation) == (10, 2)


def test_evidence_that_the_log_bears_out_changes_nothing() -> None:
    recovery = recovered((FIRST, None))
    recovery.lost_behind(3, "META says so")
    assert (recovery.missing, recovery.next_seq, recovery.incarnation) == ([], 4, 1)
