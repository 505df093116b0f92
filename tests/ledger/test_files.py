"""LEDGER 4, row 13: files that are gone, cut, longer, exchanged, renamed or of another ledger."""

from __future__ import annotations

from functools import cache

import pytest
from fastcrc.crc32 import iscsi as crc32c

from gateway.errors import LedgerMissingError
from gateway.ledger.reader import Reader
from gateway.ledger.record import Gap
from gateway.ledger.snapshot import HEAD, parse
from gateway.testing.storage import Image, MemoryStorage
from tests.ledger.folders import OTHER_ID, changed, checked, filled, reasons, storied, without


@cache
def sealed() -> Image:
    """Return a ledger of 34 records with one archive, 1 to 16; its ring is in its first lap."""
    return filled(17)


@cache
def lapped() -> Image:
    return storied(20)


ARCHIVE = "arc/00000000000000000001.arc"
FILES = ["META.a", "META.b", "hot/01.seg", "hot/02.seg", ARCHIVE]


def seqs(image: Image) -> list[int]:
    return [item.seq for item in Reader(MemoryStorage(image)).read() if not isinstance(item, Gap)]


def exchanged(image: Image, first: str, second: str) -> Image:
    return {**image, first: image[second], second: image[first]}


# ---- gone


def test_an_empty_folder_holds_no_ledger() -> None:
    with pytest.raises(LedgerMissingError):
        checked({})


def test_a_ledger_of_which_nothing_can_be_read_is_damaged_and_not_missing() -> None:
    found = checked({"META.a": bytes(4096), "META.b": b"", "hot/00.seg": bytes(4096)})
    assert (found.verdict, [each.file for each in found.damage]) == ("damaged", ["META.a", "META.b", "hot/00.seg"])


def test_without_meta_everything_is_read_and_meta_is_missed() -> None:
    image = without(sealed(), ["META.a", "META.b"])
    found = checked(image, deep=True)
    assert (found.verdict, found.records, {each.file for each in found.damage}) == ("damaged", 34, {"META.a", "META.b"})
    assert seqs(image) == list(range(1, 35))


@pytest.mark.parametrize(("copy", "other"), [("META.a", "META.b"), ("META.b", "META.a")])
def test_where_one_copy_of_meta_is_gone_it_is_named_and_the_other_serves(copy: str, other: str) -> None:
    found = checked(without(sealed(), [copy]))
    assert reasons(found) == [(0, copy, "is gone; the other copy serves; opening the ledger for writing heals it")]


def test_a_live_segment_that_is_gone_is_named_with_the_numbers_it_held() -> None:
    found = checked(without(sealed(), ["hot/01.seg"]))
    assert found.verdict == "damaged"
    assert (17, "hot/02.seg") in {(each.seq, each.file) for each in found.damage}
    assert (0, "hot/01.seg", "the segment is gone") in reasons(found)


def test_the_current_segment_that_is_gone_is_told_by_meta() -> None:
    found = checked(without(sealed(), ["hot/02.seg"]))
    assert (found.verdict, found.damage[0].seq, found.last_seq) == ("damaged", 33, 32)


def test_an_archive_that_is_gone_while_its_segment_was_not_recycled_costs_no_record() -> None:
    image = without(sealed(), [ARCHIVE])
    assert seqs(image) == list(range(1, 35))
    assert reasons(checked(image)) == [(0, "arc", "META tells of archives up to 16, and they end at 0")]


def test_an_archive_that_is_gone_is_named_with_the_numbers_it_held() -> None:
    image = without(lapped(), ["arc/00000000000000000012.arc"])
    found = checked(image)
    assert (found.verdict, found.damage[0].seq) == ("damaged", 12)
    assert [(item.from_seq, item.to_seq) for item in Reader(MemoryStorage(image)).read() if isinstance(item, Gap)] == [
        (12, 23)
    ]


def test_a_snapshot_that_is_gone_is_told_and_costs_nothing() -> None:
    name = max(name for name in lapped() if name.startswith("snap/"))
    image = without(lapped(), [name])
    assert [each.file for each in checked(image).damage] == [name]
    assert Reader(MemoryStorage(image)).replay() == Reader(MemoryStorage(lapped())).replay()


# ---- cut and longer


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_cut_anywhere_is_damaged(name: str) -> None:
    data = sealed()[name]
    silent = [size for size in range(len(data)) if checked(changed(sealed(), name, data[:size])).verdict != "damaged"]
    assert silent == []


@pytest.mark.parametrize("size", [1, 16, 512, 4096])
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_longer_than_it_was_is_damaged(name: str, size: int) -> None:
    for more in (bytes(size), b"\xff" * size):
        assert checked(changed(sealed(), name, sealed()[name] + more)).verdict == "damaged"


def test_a_snapshot_that_is_cut_anywhere_is_told_and_the_older_one_serves() -> None:
    name = max(name for name in lapped() if name.startswith("snap/"))
    state = Reader(MemoryStorage(lapped())).replay()
    for size in range(0, len(lapped()[name]), 7):
        image = changed(lapped(), name, lapped()[name][:size])
        assert [each.file for each in checked(image).damage] == [name]
        assert Reader(MemoryStorage(image)).replay() == state


@pytest.mark.parametrize("size", range(0, 1536, 64))
def test_whatever_is_cut_off_an_archive_its_whole_blocks_are_still_read(size: int) -> None:
    image = changed(sealed(), ARCHIVE, sealed()[ARCHIVE][:size])
    image = changed(image, "hot/00.seg", bytes(4096))  # what is in the archive is in the ring no more
    found = seqs(image)
    assert found in ([*range(1, 35)], [*range(17, 35)])


# ---- exchanged, renamed, of another ledger


def test_segments_under_each_others_names_are_forged_and_still_read_in_their_order() -> None:
    image = exchanged(sealed(), "hot/01.seg", "hot/02.seg")
    found = checked(image)
    assert (found.verdict, seqs(image)) == ("forged", list(range(1, 35)))
    assert (17, "hot/02.seg", "a segment that stood elsewhere in the ring") in reasons(found)


def test_a_copy_of_a_segment_in_the_place_of_another_is_forged() -> None:
    found = checked(changed(sealed(), "hot/02.seg", sealed()["hot/01.seg"]))
    assert found.verdict == "forged"
    assert (17, "hot/02.seg", "a copy of hot/01.seg") in reasons(found)


def test_a_copy_of_an_archive_under_another_name_is_forged() -> None:
    copy = "arc/00000000000000000099.arc"
    found = checked({**sealed(), copy: sealed()[ARCHIVE]})
    assert (found.verdict, found.damage[0].reason) == ("forged", f"an archive that was made as {ARCHIVE}")


@pytest.mark.parametrize("name", ["META.a", "META.b", "hot/01.seg", "hot/02.seg", ARCHIVE])
def test_a_file_of_another_ledger_is_forged_and_named(name: str) -> None:
    stranger = filled(17, log_id=OTHER_ID)
    found = checked(changed(sealed(), name, stranger[name]))
    assert found.verdict == "forged"
    assert [each.file for each in found.damage if OTHER_ID.hex() in each.reason] == [name]


def test_a_snapshot_of_another_ledger_is_forged_and_not_believed() -> None:
    name = max(name for name in lapped() if name.startswith("snap/"))
    hurt = bytearray(lapped()[name])
    hurt[8:24] = OTHER_ID
    hurt[HEAD.size - 4 : HEAD.size] = crc32c(bytes(hurt[: HEAD.size - 4])).to_bytes(4, "little")
    assert parse(bytes(hurt), OTHER_ID) is not None
    image = changed(lapped(), name, bytes(hurt))
    assert checked(image).verdict == "forged"
    assert Reader(MemoryStorage(image)).replay() == Reader(MemoryStorage(lapped())).replay()


def test_one_foreign_file_does_not_take_the_ledger_over() -> None:
    image = changed(
        changed(sealed(), "META.a", filled(1, log_id=OTHER_ID)["META.a"]),
        "META.b",
        filled(1, log_id=OTHER_ID)["META.b"],
    )
    assert seqs(image) == list(range(1, 35))


def test_an_older_state_of_a_segment_put_back_in_its_place_is_forged() -> None:
    image = changed(lapped(), "hot/01.seg", _older(lapped(), "hot/01.seg"))
    found = checked(image)
    assert found.verdict == "forged"
    assert "an older state of the segment was put back" in {each.reason for each in found.damage}


def _older(image: Image, name: str) -> bytes:
    """Return what a segment held a lap before."""
    newest = image[name]
    for commits in range(19, 0, -1):
        held = storied(commits)[name]
        if held[8:16] != newest[8:16]:
            return held
    raise AssertionError("it was never recycled")
