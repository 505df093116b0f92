"""What verification says of ledgers as honest writers, power cuts and retention leave them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from fastcrc.crc32 import iscsi as crc32c

from gateway.errors import LedgerFormatError
from gateway.ledger.base import EXIT_CODES, Options
from gateway.ledger.findings import Findings
from gateway.ledger.frame import first_chain
from gateway.ledger.ldg1 import Ldg1Ledger
from gateway.ledger.meta import Meta, decode_meta
from gateway.ledger.opening import create
from gateway.ledger.reader import Reader
from gateway.ledger.record import Record
from gateway.ledger.storage import OsStorage
from gateway.ledger.verify import verify
from gateway.testing import FakeClock
from gateway.testing.storage import Fault, FaultyStorage, Image, MemoryStorage
from tests.ledger.folders import (
    LOG_ID,
    TINY,
    UNIT,
    BusyStorage,
    changed,
    checked,
    commit,
    filled,
    flipped,
    made,
    opened,
    reasons,
    storied,
    without,
)


def test_an_empty_ledger_is_intact_and_its_head_is_that_of_its_id() -> None:
    found = checked(made().image())
    assert (found.verdict, found.records, found.first_seq, found.last_seq, found.head) == (
        "intact", 0, 0, 0, first_chain(LOG_ID).hex())  # fmt: skip


@pytest.mark.parametrize("commits", [1, 7, 8, 9, 16, 17, 18, 40])
@pytest.mark.parametrize("is_closed", [True, False])
@pytest.mark.parametrize("deep", [True, False])
def test_a_ledger_is_intact_at_every_fill_closed_or_not(commits: int, is_closed: bool, deep: bool) -> None:
    found = checked(filled(commits, is_closed=is_closed), deep=deep)
    assert (found.verdict, found.records, found.first_seq, found.last_seq, found.tail) == (
        "intact", 2 * commits, 1, 2 * commits, None)  # fmt: skip


def test_every_verdict_has_its_exit_code() -> None:
    assert EXIT_CODES == {"intact": 0, "declared": 1, "damaged": 2, "forged": 3}


def test_deep_and_shallow_tell_the_same_of_a_whole_ledger() -> None:
    deep, shallow = checked(storied(), deep=True), checked(storied())
    assert (deep.verdict, deep.records, deep.first_seq, deep.head, deep.gaps) == (
        shallow.verdict, shallow.records, shallow.first_seq, shallow.head, shallow.gaps)  # fmt: skip


def test_a_drop_that_was_declared_makes_a_ledger_declared() -> None:
    found = checked(storied(3))
    assert (found.verdict, found.gaps) == (
        "declared", [{"dropped": 3, "reason": "the queue was full", "seq": 10}])  # fmt: skip


# ---- the end


def torn(kept: int) -> Image:
    """Return a ledger that lost its power in its fourth commit, of which only so many bytes were written."""
    before, after = filled(3, is_closed=False), filled(4, is_closed=False)
    data = after["hot/00.seg"]
    return changed(before, "hot/00.seg", data[: 3 * UNIT + kept].ljust(8 * UNIT, b"\0"))


@pytest.mark.parametrize("kept", [1, 4, 100, 127, 128, 160])
def test_a_commit_that_was_cut_is_a_tail_and_no_damage(kept: int) -> None:
    found = checked(torn(kept))
    assert (found.verdict, found.last_seq) == ("intact", 6)
    assert found.tail is not None
    assert (found.tail.seq, found.tail.file) == (7, "hot/00.seg")


@pytest.mark.parametrize("kept", [4, 160])
def test_a_ledger_that_was_opened_after_a_cut_and_closed_at_once_is_intact(kept: int) -> None:
    storage = MemoryStorage(torn(kept))
    opened(storage).close()
    assert checked(storage.image()).verdict == "intact"


@pytest.mark.parametrize("kept", [4, 160])
def test_a_ledger_that_went_on_after_a_cut_is_intact(kept: int) -> None:
    storage = MemoryStorage(torn(kept))
    log = opened(storage)
    for number in range(8):
        commit(log, number)
    log.close()
    found = checked(storage.image())
    assert (found.verdict, found.last_seq, found.tail) == ("intact", 14, None)


def test_a_start_of_a_segment_that_was_cut_is_a_tail_and_no_damage() -> None:
    before, after = filled(8, is_closed=False), filled(9, is_closed=False)
    for kept in (4, 128, 160):
        found = checked(changed(before, "hot/01.seg", after["hot/01.seg"][:kept].ljust(8 * UNIT, b"\0")))
        assert (found.verdict, found.last_seq) == ("intact", 16)
        assert found.tail is not None
        assert found.tail.file == "hot/01.seg"


def test_a_segment_that_was_left_after_a_failed_sync_is_intact() -> None:
    storage = made(Options(ring_bytes=6 * 8 * UNIT, segment_bytes=8 * UNIT, unit_bytes=UNIT))
    faulty = FaultyStorage(storage, [Fault(frozenset({"sync"}), at=5)])
    log = opened(faulty)  # type: ignore[arg-type]
    for number in range(6):
        commit(log, number)
    log.close()
    assert faulty.failed == 1
    found = checked(storage.image())
    assert (found.verdict, found.records, reasons(found)) == ("intact", 6, [])


# ---- damage, declared and not


def hole() -> Image:
    """Return a ledger of six commits, the third destroyed."""
    data = filled(6)["hot/00.seg"]
    return changed(filled(6), "hot/00.seg", data[: 2 * UNIT] + bytes(UNIT) + data[3 * UNIT :])


def test_a_hole_is_damage_until_opening_for_writing_declares_it() -> None:
    assert reasons(checked(hole())) == [(5, "hot/00.seg", "the frames between are gone")]
    storage = MemoryStorage(hole())
    opened(storage).close()
    found = checked(storage.image())
    assert (found.verdict, found.damage) == ("declared", [])
    assert [(each["from_seq"], each["to_seq"]) for each in found.gaps] == [(5, 6)]


def test_a_hurt_record_is_damage_until_opening_for_writing_declares_it() -> None:
    image = filled(6)
    at = image["hot/00.seg"].index(b'{"value":2}')
    hurt = changed(image, "hot/00.seg", flipped(image["hot/00.seg"], at * 8))
    assert (checked(hurt).verdict, checked(hurt).records) == ("damaged", 11)
    storage = MemoryStorage(hurt)
    opened(storage).close()
    found = checked(storage.image())
    assert (found.verdict, [(each["from_seq"], each["to_seq"]) for each in found.gaps]) == ("declared", [(5, 5)])


def test_declared_damage_stays_declared_when_it_is_sealed() -> None:
    storage = MemoryStorage(hole())
    log = opened(storage)
    for number in range(40):
        commit(log, number)
    log.close()
    for deep in (False, True):
        found = checked(storage.image(), deep=deep)
        assert (found.verdict, found.damage) == ("declared", [])


def test_an_end_that_was_lost_is_declared_and_its_numbers_are_never_given_again() -> None:
    image = filled(6)
    storage = MemoryStorage(changed(image, "hot/00.seg", image["hot/00.seg"][: 4 * UNIT].ljust(8 * UNIT, b"\0")))
    assert reasons(checked(storage.image())) == [
        (9, "hot/00.seg", "the end of the log is gone: META tells that it was durable")
    ]
    log = opened(storage)
    commit(log, "after")
    log.close()
    found = checked(storage.image())
    assert (found.verdict, found.last_seq, [(each["from_seq"], each["to_seq"]) for each in found.gaps]) == (
        "declared", 14, [(9, 12)])  # fmt: skip


def test_a_destroyed_segment_is_left_as_it_is_for_whoever_can_still_read_something_in_it() -> None:
    destroyed = b"\xa5" * (8 * UNIT)
    storage = MemoryStorage(changed(filled(12, is_closed=False), "hot/00.seg", destroyed))
    opened(storage)
    assert storage.image()["hot/00.seg"] == destroyed
    assert [(each["from_seq"], each["to_seq"]) for each in checked(storage.image()).gaps] == [(1, 16)]


def test_what_a_cut_left_in_a_fresh_segment_is_no_damage_once_opened() -> None:
    image = filled(3, is_closed=False)
    fresh = image["hot/02.seg"]
    storage = MemoryStorage(changed(image, "hot/02.seg", bytes(UNIT) + b"\xa5" * UNIT + fresh[2 * UNIT :]))
    opened(storage).close()
    assert (checked(storage.image()).verdict, reasons(checked(storage.image()))) == ("intact", [])


def test_damage_that_a_record_tells_only_in_part_is_damage() -> None:
    findings = Findings()
    findings.hurt_at("x", 0, "gone", 5, 9)
    findings.cover(1, 7)
    assert findings.verdict()[0] == "damaged"
    findings.cover(8, 20)
    assert findings.verdict() == ("intact", [])


def test_what_was_forged_is_excused_by_no_declaration() -> None:
    findings = Findings()
    findings.forge(5, "x", 0, "changed")
    findings.cover(1, 9)
    assert findings.verdict()[0] == "forged"


# ---- retention


def retired(*, keep: bool) -> Image:
    """Return a ledger whose oldest telemetry went after a day, with or without state beside it."""
    options = Options(
        ring_bytes=4 * 8 * UNIT, segment_bytes=8 * UNIT, unit_bytes=UNIT, keep_ns=86_400 * 10**9, archive_bytes=6_000
    )
    storage = made(options)
    clock = FakeClock()
    ledger = Ldg1Ledger(storage, options, clock, background=False)
    for number in range(120):
        ledger.append("reading", "pump/link/f@frame", bytes([number]) * 20)
        if keep:
            ledger.append("state", "pump/motor/speed@desired", {"value": number}, "state")
        ledger.flush()
        clock.advance(3_600)
    ledger.close()
    return storage.image()


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("deep", [True, False])
def test_what_retention_took_is_declared(keep: bool, deep: bool) -> None:
    found = checked(retired(keep=keep), deep=deep)
    assert (found.verdict, reasons(found)) == ("declared", [])
    assert {each["reason"] for each in found.gaps} == {"retention"}


def thinned() -> tuple[Image, str]:
    """Return a ledger and its oldest archive, of which retention took the telemetry and left the state."""
    options = Options(ring_bytes=4 * 8 * UNIT, segment_bytes=8 * UNIT, unit_bytes=UNIT, keep_ns=86_400 * 10**9)
    storage = made(options)
    clock = FakeClock()
    ledger = Ldg1Ledger(storage, options, clock, background=False)
    for number in range(60):
        ledger.append("reading", "pump/link/f@frame", bytes([number]) * 20)
        ledger.append("state", "pump/motor/speed@desired", {"value": number}, "state")
        clock.advance(3_600)
    ledger.close()
    image = storage.image()
    assert checked(image, deep=True).verdict == "declared"
    return image, min(name for name in image if name.endswith(".arc"))


def test_what_retention_told_does_not_excuse_what_rots_in_what_it_left() -> None:
    image, name = thinned()
    found = checked(changed(image, name, flipped(image[name], 8 * 200)), deep=True)
    assert reasons(found) == [(1, name, "a block of the archive is not what was written")]


def test_what_retention_told_does_not_excuse_that_what_it_left_is_gone() -> None:
    image, name = thinned()
    found = checked(without(image, [name]))
    assert (found.verdict, found.damage[0].seq) == ("damaged", 1)


def test_a_hurt_archive_is_not_thinned_and_writing_goes_on() -> None:
    image = storied(20)
    name = min(name for name in image if name.endswith(".arc"))
    storage = MemoryStorage(changed(image, name, flipped(image[name], 8 * 200)))
    clock = FakeClock()
    clock.advance(86_400)
    ledger = Ldg1Ledger(storage, msgspec.structs.replace(TINY, keep_ns=1), clock, background=False)
    for number in range(40):
        ledger.append("note", "a/b/c", number, "state")
        ledger.append("reading", "a/b/c@frame", bytes(8))
        clock.advance(60)
    ledger.close()
    assert reasons(checked(storage.image(), deep=True)) == [(1, name, "a block of the archive is not what was written")]


def test_a_clock_that_goes_back_changes_no_order_and_no_verdict() -> None:
    storage = made()
    clock = FakeClock()
    log = opened(storage, clock=clock)
    for number in range(30):
        clock.advance(1)
        clock.step_wall(-3_600 if number % 2 else 1_800)
        commit(log, number)
    log.close()
    found = list(Reader(storage).read())
    assert [item.seq for item in found] == list(range(1, 31))
    assert [item.body for item in found if isinstance(item, Record)] == list(range(30))
    assert checked(storage.image(), deep=True).verdict == "intact"


# ---- META


def test_a_newer_version_is_refused_and_not_called_damage() -> None:
    data = bytearray(filled(1)["META.a"])
    data[4] = 2
    data[-4:] = crc32c(bytes(data[:-4])).to_bytes(4, "little")
    with pytest.raises(LedgerFormatError, match="newer version"):
        checked(changed(filled(1), "META.a", bytes(data)))


def test_commits_behind_a_clean_end_are_told() -> None:
    image = filled(2)
    later = filled(3)
    found = checked(changed(image, "hot/00.seg", later["hot/00.seg"]))
    assert (found.verdict, found.damage[0].seq) == ("damaged", 5)


def test_a_clean_end_is_not_believed_while_one_copy_of_meta_is_missing() -> None:
    storage = MemoryStorage(filled(2))
    log = opened(storage)
    commit(log, "later")
    image = storage.image()  # META tells "open" in its newer copy: the older one still tells a clean end
    metas = {name: decode_meta(image[name]) for name in ("META.a", "META.b")}
    open_copy = next(name for name, meta in metas.items() if isinstance(meta, Meta) and not meta.is_clean)
    assert reasons(checked(changed(image, open_copy, bytes(4096)))) == [
        (0, open_copy, "cannot be read; the other copy serves; opening the ledger for writing heals it")
    ]


# ---- beside a writer, on media that fail


def test_a_segment_that_the_medium_does_not_give_back_is_damage_and_no_error() -> None:
    found = verify(FaultyStorage(MemoryStorage(filled(6)), [Fault(frozenset({"read"}), at=1, lasts=True)]))
    assert found.verdict == "damaged"


@pytest.mark.parametrize("at", range(1, 30))
def test_a_read_that_fails_once_is_never_an_error(at: int) -> None:
    for deep in (False, True):
        assert verify(FaultyStorage(MemoryStorage(storied(20)), [Fault(frozenset({"read", "open"}), at=at)]), deep=deep)


def test_verification_beside_a_writer_that_seals_finds_no_damage() -> None:
    storage = BusyStorage(made().image())
    log = opened(storage)
    storage.busy = lambda: [commit(log, "more") for _ in range(20)]  # seals and recycles the whole ring
    for number in range(20):
        commit(log, number)
    for deep in (False, True):
        storage.left = 8
        assert reasons(verify(storage, deep=deep)) == []
        assert storage.left == 0


def test_progress_counts_up_to_all_that_there_is(tmp_path: Path) -> None:
    for name, data in storied(20).items():
        if name.endswith("/"):
            (tmp_path / name).mkdir()
        else:
            (tmp_path / name).write_bytes(data)
    told: list[tuple[int, int]] = []
    verify(OsStorage(tmp_path), deep=True, progress=lambda done, total: told.append((done, total)))
    size = sum(len(data) for name, data in storied(20).items() if name.startswith(("hot/", "arc/")))
    assert told == sorted(told)
    assert {total for _, total in told} == {size}


def test_verification_changes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "ledger"
    folder.mkdir()
    storage = OsStorage(folder)
    create(storage, TINY, whole=True)
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}
    for path in folder.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    verify(storage, deep=True)
    assert {
        path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()
    } == before


def test_a_ring_of_more_than_a_hundred_segments_is_filled_in_the_order_of_their_numbers() -> None:
    options = Options(ring_bytes=120 * 8 * UNIT, segment_bytes=8 * UNIT, unit_bytes=UNIT)
    found = checked(filled(8 * 104, options))
    assert (found.verdict, found.records, reasons(found)) == ("intact", 2 * 8 * 104, [])
