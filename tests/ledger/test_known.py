"""What is missing among the archives, or of the ring, is declared by the next opening for writing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gateway.errors import LedgerFormatError
from gateway.ledger import Ledger
from gateway.ledger.base import Verification
from gateway.ledger.frame import parse_header
from gateway.ledger.ldg1 import Ldg1Ledger
from gateway.ledger.record import Gap, Record
from gateway.testing import FakeClock
from gateway.testing.storage import Image, MemoryStorage
from tests.ledger.folders import TINY, changed, checked, storied, without


def reopened(image: Image) -> Image:
    """Return the files after a writer opened the ledger and closed it."""
    storage = MemoryStorage(image)
    Ldg1Ledger(storage, TINY, FakeClock(), background=False).close()
    return storage.image()


def declared_ranges(found: Verification) -> list[tuple[int, int]]:
    """Return what `damage` and `gap` records with numbers tell."""
    return [(told["from_seq"], told["to_seq"]) for told in found.gaps if "from_seq" in told]


def names(image: Image, folder: str) -> list[str]:
    """Return the files of a folder."""
    return sorted(name for name in image if name.removeprefix(f"{folder}/") not in {name, ""})


@pytest.mark.parametrize("place", [0, 1, -1], ids=["the first", "one between", "the last"])
def test_an_archive_that_is_gone_is_declared_when_the_ledger_is_opened_for_writing(place: int) -> None:
    image = storied()
    hurt = without(image, [names(image, "arc")[place]])
    assert checked(hurt).verdict == "damaged"
    assert checked(reopened(hurt), deep=True).verdict == "declared"


def test_what_an_archive_that_is_gone_held_is_told_by_its_numbers() -> None:
    image = storied()
    first, second = names(image, "arc")[:2]
    found = checked(reopened(without(image, [first])))
    assert (1, int(second.removeprefix("arc/").removesuffix(".arc")) - 1) in declared_ranges(found)


def test_an_archive_that_is_gone_is_declared_once() -> None:
    image = storied()
    once = reopened(without(image, names(image, "arc")[:1]))
    assert declared_ranges(checked(reopened(once))) == declared_ranges(checked(once))


def test_a_declaration_that_was_sealed_is_not_made_again() -> None:
    image = storied()
    storage = MemoryStorage(reopened(without(image, names(image, "arc")[:1])))
    ledger = Ldg1Ledger(storage, TINY, FakeClock(), background=False)
    for number in range(60):
        ledger.append("note", "a/b/c", {"value": number, "filling": "x" * 200}, "state")
    ledger.compact()
    ledger.close()
    sealed = storage.image()
    assert declared_ranges(checked(reopened(sealed))) == declared_ranges(checked(sealed))


def test_a_segment_that_is_gone_is_declared_and_made_again() -> None:
    image = storied()
    for name in names(image, "hot")[:-1]:
        again = reopened(without(image, [name]))
        assert checked(again, deep=True).verdict in {"intact", "declared"}, name
        assert names(again, "hot") == names(image, "hot")


def test_what_an_earlier_segment_still_holds_of_an_archive_that_is_gone_is_read() -> None:
    image = storied()
    last = names(image, "arc")[-1]
    storage = MemoryStorage(reopened(without(image, [last])))
    with Ldg1Ledger(storage, TINY, FakeClock(), background=False) as ledger:
        missing = [(each.from_seq, each.to_seq) for each in ledger.read() if isinstance(each, Gap)]
        assert missing == [each for each in declared_ranges(ledger.verify()) if each in missing]


def test_after_a_segment_was_copied_over_the_newest_what_is_appended_is_read() -> None:
    image = storied()
    headers = {name: parse_header(image[name]) for name in names(image, "hot")}
    by_epoch = sorted((header.epoch, name) for name, header in headers.items() if header is not None)
    (_, earlier), (_, newest) = by_epoch[-2:]
    storage = MemoryStorage(changed(image, newest, image[earlier]))
    with Ldg1Ledger(storage, TINY, FakeClock(), background=False) as ledger:
        seq = ledger.append("note", "a/b/c", "after", "state")
        assert seq in [each.seq for each in ledger.read() if isinstance(each, Record)]


def test_a_ledger_that_lacks_its_empty_folders_goes_round_the_ring(tmp_path: Path) -> None:
    Ledger.create(tmp_path, TINY)
    for name in ("arc", "snap"):
        (tmp_path / name).rmdir()
    with Ledger.open(tmp_path, options=TINY) as ledger:
        for number in range(400):
            ledger.append("note", "a/b/c", {"value": number, "filling": "x" * 200}, "state")
    assert list((tmp_path / "arc").iterdir())


def test_no_new_ledger_is_made_among_the_archives_of_an_old_one(tmp_path: Path) -> None:
    with Ledger.open(tmp_path, options=TINY) as ledger:
        for number in range(400):
            ledger.append("note", "a/b/c", {"value": number, "filling": "x" * 200}, "state")
    shutil.rmtree(tmp_path / "hot")
    for name in ("META.a", "META.b"):
        (tmp_path / name).unlink()
    with pytest.raises(LedgerFormatError, match="archives are left"):
        Ledger.open(tmp_path, options=TINY)
