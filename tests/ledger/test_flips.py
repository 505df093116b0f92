"""LEDGER 4, row 6: no flipped bit of any file is silent. What is not of the log may rot, and then changes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import pytest

from gateway.ledger.meta import decode_meta
from gateway.ledger.reader import Reader
from gateway.ledger.record import Gap, Record
from gateway.ledger.snapshot import raw_of
from gateway.testing.storage import Image, MemoryStorage
from tests.ledger.folders import LOG_ID, UNIT, changed, checked, filled, flipped, storied

SHARDS = 4


@cache
def one_segment() -> Image:
    """Return a ledger whose commits, zeros between and zeros behind, all stand in the first segment."""
    return filled(6)


@cache
def sealed() -> Image:
    """Return a ledger with an archive and every segment in its first lap."""
    return filled(17)


@cache
def lapped() -> Image:
    """Return a ledger whose ring went round several times, with archives and snapshots."""
    return storied(20)


def name_in(image: Image, folder: str) -> str:
    return next(name for name in image if name.startswith(folder) and name != folder)


def silent_flips(image: Image, name: str, bits: Iterable[int], *, deep: bool) -> list[int]:
    return [bit for bit in bits if checked(changed(image, name, flipped(image[name], bit)), deep=deep).damage == []]


def every_bit(image: Image, name: str, shard: int) -> range:
    return range(shard, len(image[name]) * 8, SHARDS)


def one_bit_of_every_byte(image: Image, name: str) -> list[int]:
    return [byte * 8 + byte % 8 for byte in range(len(image[name]))]


def test_the_ledgers_that_are_hurt_here_are_intact() -> None:
    assert [checked(image, deep=True).damage for image in (one_segment(), sealed(), lapped())] == [[], [], []]


@pytest.mark.parametrize("shard", range(SHARDS))
def test_no_flipped_bit_of_a_segment_is_silent(shard: int) -> None:
    image = one_segment()
    assert silent_flips(image, "hot/00.seg", every_bit(image, "hot/00.seg", shard), deep=False) == []


@pytest.mark.parametrize("shard", range(SHARDS))
def test_no_flipped_bit_of_an_archive_is_silent(shard: int) -> None:
    image = sealed()
    name = name_in(image, "arc/")
    assert silent_flips(image, name, every_bit(image, name, shard), deep=True) == []


def test_no_flipped_bit_of_a_snapshot_is_silent() -> None:
    data = lapped()[name_in(lapped(), "snap/")]
    assert [bit for bit in range(len(data) * 8) if raw_of(flipped(data, bit), LOG_ID) is not None] == []


def test_no_hurt_byte_of_a_snapshot_is_silent() -> None:
    image = lapped()
    name = name_in(image, "snap/")
    assert silent_flips(image, name, one_bit_of_every_byte(image, name), deep=True) == []


@pytest.mark.parametrize("name", ["META.a", "META.b"])
def test_no_flipped_bit_of_meta_is_silent(name: str) -> None:
    data = one_segment()[name]
    assert [bit for bit in range(len(data) * 8) if decode_meta(flipped(data, bit)) is not None] == []


@pytest.mark.parametrize("name", ["META.a", "META.b", "hot/01.seg", "hot/02.seg"])
def test_no_hurt_byte_of_meta_or_of_an_empty_segment_is_silent(name: str) -> None:
    image = one_segment()
    bits = one_bit_of_every_byte(image, name)
    assert silent_flips(image, name, bits, deep=False) == []


@pytest.mark.parametrize("name", ["hot/00.seg", "hot/01.seg", "hot/02.seg"])
def test_a_flip_in_a_recycled_ring_is_told_or_changes_nothing_that_is_read(name: str) -> None:
    image = lapped()
    told, read = checked(image), list(Reader(MemoryStorage(image)).read())
    for bit in one_bit_of_every_byte(image, name)[::11]:
        hurt = changed(image, name, flipped(image[name], bit))
        found = checked(hurt)
        if found.damage == []:
            assert (found.records, found.head) == (told.records, told.head)
            assert list(Reader(MemoryStorage(hurt)).read()) == read


@pytest.mark.parametrize("size", [1, 2, 64, UNIT, 2 * UNIT])
@pytest.mark.parametrize("value", [0x00, 0xFF])
def test_overwritten_bytes_are_told_wherever_they_are(size: int, value: int) -> None:
    image = sealed()
    for name, data in image.items():
        for at in range(0, len(data), 61):
            hurt = data[:at] + bytes([value]) * min(size, len(data) - at) + data[at + size :]
            if hurt != data and name != "hot/00.seg":  # that one is sealed: its bytes are not of the log any more
                assert checked(changed(image, name, hurt), deep=True).damage != [], (name, at)


def test_two_flipped_bits_are_told_wherever_they_are() -> None:
    image = sealed()
    for name, data in image.items():
        if name != "hot/00.seg":
            for bit in range(0, len(data) * 8, 149):
                other = (bit * 7 + 31) % (len(data) * 8)
                hurt = flipped(flipped(data, bit), other)
                if hurt != data:
                    assert checked(changed(image, name, hurt), deep=True).damage != [], (name, bit, other)


def test_a_flipped_bit_is_named_with_its_number_its_file_and_its_place() -> None:
    image = one_segment()
    at = image["hot/00.seg"].index(b'{"value":3}')
    (found,) = checked(changed(image, "hot/00.seg", flipped(image["hot/00.seg"], at * 8))).damage
    assert (found.seq, found.file, found.offset, found.reason) == (
        7, "hot/00.seg", 3 * UNIT, "the record's checksum is wrong")  # fmt: skip


@pytest.mark.parametrize("name", ["hot/00.seg", "hot/01.seg"])
def test_whatever_a_flipped_bit_hurts_no_record_is_read_that_was_not_written(name: str) -> None:
    image = sealed()
    written = {record.seq: record for record in Reader(MemoryStorage(image)).read() if isinstance(record, Record)}
    for bit in one_bit_of_every_byte(image, name)[::3]:
        hurt = MemoryStorage(changed(image, name, flipped(image[name], bit)))
        next_seq = 1
        for item in Reader(hurt).read():
            assert item.seq == next_seq
            next_seq = item.to_seq + 1 if isinstance(item, Gap) else item.seq + 1
            assert isinstance(item, Gap) or item == written[item.seq]
        assert next_seq == len(written) + 1


def test_the_lock_is_not_of_the_log() -> None:
    image = changed(one_segment(), "LOCK", b"anything")
    assert checked(image).verdict == "intact"
