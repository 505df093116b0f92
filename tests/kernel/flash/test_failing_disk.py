"""A disk with a bad spot, one whose writes all fail, one that loses them without a word; the real commands above it."""

from __future__ import annotations

import pytest

from gateway.ledger import Ledger
from gateway.ledger.base import Head, Options
from tests.kernel.flash.commands import Append, Run, until
from tests.kernel.flash.medium import Mapped, disk, make, mounted, run
from tests.kernel.flash.promises import broken

SMALL = Options(ring_bytes=2 << 20, segment_bytes=256 << 10)
CURRENT = "hot/00.seg"  # of a new ledger


@pytest.fixture
def mapped():
    make("ext4", disk("spare"))
    with Mapped(disk("spare")) as mapped:
        yield mapped


@pytest.fixture
def place(mapped):
    with mounted("ext4", mapped.path, "failing") as place:
        Ledger.create(place / "ledger", SMALL)
        yield place
        mapped.heal()


@pytest.fixture
def append(place):
    return Append(place / "ledger")


def again(mapped):
    """The same file system, mounted anew: nothing in memory hides what is on the disk."""
    mapped.heal()
    return mounted("ext4", mapped.path, "failing")


def test_a_commit_that_fails_on_a_bad_spot_goes_on_from_the_spare_segment(mapped):
    with mounted("ext4", mapped.path, "failing") as place:
        Ledger.create(place / "ledger", SMALL)
        append = Append(place / "ledger")
        acked = append.acked(range(5))
        mapped.fail_at(place / "ledger" / CURRENT)
        acked += append.acked(range(5, 10))
        assert append.end()[0] == 0
    with again(mapped) as place:
        assert broken(place / "ledger", acked) == []


def test_nothing_is_acknowledged_on_a_disk_that_fails_every_write(mapped, append):
    append.acked(range(5))
    mapped.fail("error_writes")
    answers = append.answers(range(5, 8))
    code, complaint = append.end()
    assert [each and each.get("durable") for each in answers] == [None] * 3
    assert code == 1
    assert "medium failed" in complaint
    assert "Traceback" not in complaint


def test_what_was_acknowledged_before_every_write_failed_is_there(mapped):
    with mounted("ext4", mapped.path, "failing") as place:
        Ledger.create(place / "ledger", SMALL)
        append = Append(place / "ledger")
        acked = append.acked(range(5))
        mapped.fail("error_writes")
        append.answers(range(5, 8))
        append.end()
    with again(mapped) as place:
        assert broken(place / "ledger", acked) == []
        append = Append(place / "ledger")
        acked += append.acked(range(8, 10))
        assert append.end()[0] == 0
        assert broken(place / "ledger", acked) == []


def test_a_disk_that_lost_writes_without_a_word_is_found_out_by_a_head_kept_elsewhere(mapped):
    with mounted("ext4", mapped.path, "failing") as place:
        Ledger.create(place / "ledger", SMALL)
        append = Append(place / "ledger")
        before = append.acked(range(5))
        mapped.fail("drop_writes")
        append.acked(range(5, 10))
        append.end()
        with Ledger.open(place / "ledger", read_only=True) as ledger:
            head = ledger.head()
    with again(mapped) as place:
        assert broken(place / "ledger", before) == []
        with Ledger.open(place / "ledger", read_only=True) as ledger:
            assert ledger.verify(deep=True, against=Head(head.seq, head.head)).verdict == "forged"


def test_a_gateway_goes_on_in_memory_while_its_disk_fails_and_records_again_when_it_is_well(mapped, place):
    gateway = Run(place / "gateway")
    until(lambda: gateway.ledger().get("durable_seq"), "nothing becomes durable")
    run("sync", "--file-system", str(place))  # ext4 itself gives up for good where its journal cannot be written
    mapped.fail("error_writes")
    told = until(lambda: (told := gateway.ledger()).get("mode") == "memory" and told, "the failure is not told")
    frames = gateway.frames()
    until(lambda: gateway.frames() > frames, "the gateway stands still")
    mapped.heal()
    until(lambda: gateway.ledger().get("mode") == "recording", "it does not record again")
    code, log = gateway.stop()
    assert told["reason"]
    assert code == 0
    assert "Traceback" not in log
    assert broken(place / "gateway/ledger", [], declares=True) == []
