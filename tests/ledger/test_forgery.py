"""LEDGER 4, row 17: an adversary who can write the medium and knows the format, so that every checksum is right.

Whoever can also compute the chain anew from some commit on to the very end, and writes META too, is caught by a head
that is kept elsewhere, and by nothing else; the last tests say so.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import msgspec
import pytest
from fastcrc.crc32 import iscsi as crc32c

from gateway.ledger.archive import (
    BLOCK,
    HEAD,
    TRAILER,
    TRAILER_MARK,
    Packer,
    footer_place,
    frames_in,
    open_block,
    parse_block_head,
    parse_footer,
)
from gateway.ledger.base import Head, Verification
from gateway.ledger.frame import (
    THINNED,
    Header,
    Stamp,
    body_of,
    build_frame,
    chain_of,
    first_chain,
    leaves_of,
    parse_header,
    records_of,
    routes_of,
)
from gateway.ledger.meta import Meta, decode_meta, newest
from gateway.ledger.record import IS_JSON, KIND_CODES, Record, encode_record
from gateway.testing.storage import Image
from tests.ledger.folders import LOG_ID, UNIT, changed, checked, filled, reasons

HOT = "hot/00.seg"
ARCHIVE = "arc/00000000000000000001.arc"
Edit = Callable[[list[Record]], list[Record]]


@cache
def honest() -> Image:
    """Return a ledger of seven commits of two records, one unit each, in one segment."""
    return filled(7)


def frames(data: bytes) -> list[bytes]:
    """Return the commits of a segment; each takes one unit."""
    units = [data[at : at + UNIT] for at in range(0, len(data), UNIT)]
    return [unit for unit in units if unit.startswith(b"LDF1")]


def segment(parts: list[bytes]) -> Image:
    """Return the honest ledger with other commits in its segment."""
    return changed(honest(), HOT, b"".join(parts).ljust(8 * UNIT, b"\0"))


def header_of(raw: bytes) -> Header:
    header = parse_header(raw)
    assert header is not None
    return header


def remade(raw: bytes, *, records: list[Record] | None = None, previous: bytes | None = None, **changes: int) -> bytes:
    """Return a commit with other records, on another chain or with another header, every checksum right.

    `previous` None: link and chain hash stay as they were.
    """
    header = header_of(raw)
    body = body_of(raw, 0, header)
    assert body is not None
    stamp = Stamp(header.log_id, header.incarnation, header.boot_no, header.wall_ns, header.mono_ns, header.quality)
    stamp = stamp._replace(**{name: value for name, value in changes.items() if name in Stamp._fields})
    base_seq, count = changes.get("base_seq", header.base_seq), header.records
    routes, at = routes_of(header, body)
    stored = body[at:]
    if records is not None:
        stored = b"".join(
            encode_record(KIND_CODES[each.kind], 1 | (IS_JSON if each.is_json else 0), 0, 0, 0, each.raw)
            for each in records
        )
        count = len(records)

    def built(link: bytes, chain: bytes) -> bytes:
        return build_frame(
            stamp, flags=header.flags, epoch=changes.get("epoch", header.epoch), base_seq=base_seq, count=count,
            routes=list(routes.values()), records=stored, link=link, chain=chain, unit_log2=header.unit_log2,
        )  # fmt: skip

    if previous is None:
        return built(header.link, header.chain)
    draft = built(previous, bytes(32))
    draft_body = body_of(draft, 0, header_of(draft))
    assert draft_body is not None
    leaves = leaves_of(header_of(draft), draft_body)
    assert leaves is not None
    return built(previous, chain_of(previous, base_seq, stamp, count, leaves))


def records(raw: bytes) -> list[Record]:
    header = header_of(raw)
    body = body_of(raw, 0, header)
    assert body is not None
    return records_of(header, body).records


def lied(found: list[Record]) -> list[Record]:
    """Return records of which the first says something else."""
    first = found[0]
    return [Record(first.seq, 1, first.kind, first.route, first.class_, 0, 1, None, b'{"value":9}', True), *found[1:]]


def rechained(parts: list[bytes], start: int = 0) -> list[bytes]:
    """Return commits with the chain computed anew from one on."""
    done = parts[:start]
    for raw in parts[start:]:
        previous = header_of(done[-1]).chain if done else first_chain(LOG_ID)
        done.append(remade(raw, previous=previous, base_seq=header_of(done[-1]).next_seq if done else 1))
    return done


def meta_for(parts: list[bytes]) -> Image:
    """Return META that agrees with the last of some commits."""
    last = header_of(parts[-1])
    image: Image = {}
    for name in ("META.a", "META.b"):
        meta = decode_meta(honest()[name])
        assert isinstance(meta, Meta)
        told = {field: getattr(meta, field) for field in meta.__struct_fields__}
        image[name] = Meta(**{**told, "last_seq": last.next_seq - 1, "chain": last.chain}).encode()
    return image


def told(found: Verification) -> tuple[str, int, str]:
    return found.verdict, found.damage[0].seq, found.damage[0].reason


def test_the_honest_ledger_is_intact() -> None:
    parts = frames(honest()[HOT])
    assert (checked(honest()).verdict, segment(parts)) == ("intact", honest())


def test_the_forgers_tools_change_nothing_when_nothing_is_to_be_changed() -> None:
    parts = frames(honest()[HOT])
    assert rechained(parts) == parts


# ---- edit


def test_an_edited_record_with_right_checksums_is_forged() -> None:
    parts = frames(honest()[HOT])
    parts[3] = remade(parts[3], records=lied(records(parts[3])))
    assert told(checked(segment(parts))) == ("forged", 7, "whole, and its records are not those that were appended")


def test_an_edited_record_with_its_own_chain_hash_breaks_the_next_link() -> None:
    parts = frames(honest()[HOT])
    parts[3] = remade(parts[3], records=lied(records(parts[3])), previous=header_of(parts[2]).chain)
    assert told(checked(segment(parts))) == ("forged", 9, "whole, and does not continue the commit before it")


def test_an_edited_record_in_a_commit_left_with_a_wrong_checksum_is_forged_all_the_same() -> None:
    parts = frames(honest()[HOT])
    edited = remade(parts[3], records=lied(records(parts[3])))
    header = header_of(edited)
    parts[3] = parts[3][:128] + edited[128 : 128 + header.body_bytes] + parts[3][128 + header.body_bytes :]
    assert told(checked(segment(parts))) == ("forged", 7, "its records are whole, and are not those that were appended")


@pytest.mark.parametrize("change", [{"wall_ns": 1}, {"mono_ns": 1}, {"boot_no": 9}, {"quality": 3}])
def test_an_edited_time_is_forged(change: dict[str, int]) -> None:
    parts = frames(honest()[HOT])
    parts[3] = remade(parts[3], **change)
    assert told(checked(segment(parts)))[:2] == ("forged", 7)


def test_an_edited_end_is_forged_because_meta_has_its_hash() -> None:
    parts = frames(honest()[HOT])
    parts[6] = remade(parts[6], records=lied(records(parts[6])), previous=header_of(parts[5]).chain)
    assert told(checked(segment(parts))) == ("forged", 14, f"tells another hash than {HOT} has for this number")


# ---- delete, insert, reorder


def test_a_deleted_commit_is_missed() -> None:
    parts = frames(honest()[HOT])
    parts[3] = bytes(UNIT)
    found = checked(segment(parts))
    assert (found.verdict, found.damage[0].seq, found.damage[0].offset) == ("damaged", 7, 4 * UNIT)


def test_a_deleted_commit_with_the_others_moved_up_is_missed() -> None:
    parts = frames(honest()[HOT])
    del parts[3]
    assert told(checked(segment(parts)))[:2] == ("damaged", 7)


def test_a_deleted_commit_with_the_others_numbered_anew_is_forged() -> None:
    parts = frames(honest()[HOT])
    moved = [remade(raw, base_seq=header_of(raw).base_seq - 2) for raw in parts[4:]]
    assert told(checked(segment(parts[:3] + moved)))[:2] == ("forged", 7)


def test_a_deleted_record_is_forged() -> None:
    parts = frames(honest()[HOT])
    parts[3] = remade(parts[3], records=records(parts[3])[:1])
    assert checked(segment(parts)).verdict == "forged"


def test_an_inserted_commit_is_forged() -> None:
    parts = frames(honest()[HOT])
    stranger = remade(parts[3], previous=header_of(parts[3]).chain, base_seq=9)
    found = checked(segment([*parts[:4], stranger, *parts[4:]]))
    assert (found.verdict, found.damage[0].seq) == ("forged", 9)


def test_an_inserted_record_is_forged() -> None:
    parts = frames(honest()[HOT])
    parts[6] = remade(parts[6], records=[*records(parts[6]), *records(parts[6])])
    assert checked(segment(parts)).verdict == "forged"


def test_commits_in_another_order_are_forged() -> None:
    parts = frames(honest()[HOT])
    parts[2], parts[4] = parts[4], parts[2]
    assert checked(segment(parts)).verdict == "forged"


def test_commits_in_another_order_and_numbered_to_fit_are_forged() -> None:
    parts = frames(honest()[HOT])
    first, second = remade(parts[4], base_seq=5), remade(parts[2], base_seq=9)
    assert told(checked(segment([*parts[:2], first, parts[3], second, *parts[5:]])))[:2] == ("forged", 5)


@pytest.mark.parametrize("place", range(1, 7))
def test_a_commit_repeated_over_another_is_forged(place: int) -> None:
    parts = frames(honest()[HOT])
    parts[place] = parts[place - 1]
    assert checked(segment(parts)).verdict == "forged"


def test_records_taken_out_as_if_by_retention_are_forged_in_the_ring() -> None:
    parts = frames(honest()[HOT])
    header = header_of(parts[3])
    stamp = Stamp(header.log_id, header.incarnation, header.boot_no, header.wall_ns, header.mono_ns, header.quality)
    parts[3] = build_frame(
        stamp, flags=THINNED, epoch=header.epoch, base_seq=header.base_seq, count=0, routes=[], records=b"",
        link=header.link, chain=header.chain, unit_log2=9, span=header.span,
    )  # fmt: skip
    assert checked(segment(parts)).verdict == "forged"


# ---- truncate, roll back


@pytest.mark.parametrize("kept", range(7))
def test_an_end_that_was_taken_off_is_missed_after_a_clean_close(kept: int) -> None:
    found = checked(segment(frames(honest()[HOT])[:kept]))
    assert (found.verdict, found.damage[0].seq) == ("damaged", 2 * kept + 1)


def test_an_end_that_was_taken_off_together_with_its_meta_is_caught_by_a_kept_head_and_only_by_it() -> None:
    parts = frames(honest()[HOT])[:5]
    rolled_back = {**segment(parts), **meta_for(parts)}
    kept = Head(14, checked(honest()).head)
    assert checked(rolled_back, deep=True).verdict == "intact"
    found = checked(rolled_back, against=kept)
    assert told(found) == (
        "forged", 11, "the log ends at 10, and the kept head is of 14: its end was taken off")  # fmt: skip


def test_a_history_written_anew_to_its_end_is_caught_by_a_kept_head_and_only_by_it() -> None:
    parts = frames(honest()[HOT])
    parts[3] = remade(parts[3], records=lied(records(parts[3])))
    parts = rechained(parts, 3)
    anew = {**segment(parts), **meta_for(parts)}
    assert checked(anew, deep=True).verdict == "intact"
    for seq in (8, 14):
        kept = Head(seq, header_of(frames(honest()[HOT])[seq // 2 - 1]).chain.hex())
        assert told(checked(anew, against=kept)) == ("forged", seq, "not the log that the kept head is of")
    before = Head(6, header_of(parts[2]).chain.hex())
    assert checked(anew, against=before).verdict == "intact"


# ---- heads


@pytest.mark.parametrize("commits", range(8))
def test_every_head_that_was_ever_taken_is_on_the_chain(commits: int) -> None:
    earlier = checked(filled(commits))
    assert checked(honest(), against=Head(earlier.last_seq, earlier.head)).verdict == "intact"


@pytest.mark.parametrize("head", [Head(3, "00" * 32), Head(14, "00" * 32), Head(0, "00" * 32), Head(14, "no hash")])
def test_a_head_that_was_never_taken_here_is_forged(head: Head) -> None:
    assert checked(honest(), against=head).verdict == "forged"


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("commits", range(1, 18))
def test_a_head_inside_sealed_history_is_compared_too(commits: int, deep: bool) -> None:
    earlier = checked(filled(commits))
    found = checked(filled(17), deep=deep, against=Head(earlier.last_seq, earlier.head))
    assert (found.verdict, found.gaps) == ("intact", [])


def test_a_head_inside_sealed_history_that_is_not_of_it_is_forged_without_reading_everything() -> None:
    assert checked(filled(17), against=Head(6, "00" * 32)).verdict == "forged"


# ---- META, archives


def test_an_older_meta_put_back_is_noticed() -> None:
    earlier = filled(3)
    found = checked({**honest(), "META.a": earlier["META.a"], "META.b": earlier["META.b"]})
    assert (found.verdict, found.damage[0].seq) == ("damaged", 7)


def test_a_copy_of_meta_over_the_other_is_noticed() -> None:
    name, _ = newest({each: decode_meta(honest()[each]) for each in ("META.a", "META.b")})
    assert name is not None
    other = "META.a" if name == "META.b" else "META.b"
    assert checked(changed(honest(), other, honest()[name])).verdict == "damaged"


def archive_with(edit: Callable[[Header, bytes], bytes]) -> Image:
    """Return a ledger whose archive was packed again with other commits, every checksum right."""
    image = filled(17)
    data = image[ARCHIVE]
    head = parse_block_head(data[HEAD.size :])
    assert head is not None
    raw = open_block(head, data[HEAD.size + BLOCK.size : HEAD.size + BLOCK.size + head.size], "zlib")
    assert raw is not None
    packer = Packer(LOG_ID, 1, "zlib")
    parts = [packer.head()]
    for header, _, whole in frames_in(raw):
        changed_raw = edit(header, whole)
        again = header_of(changed_raw)
        parts.append(packer.add(again, changed_raw, records_of(again, changed_raw[128:]).records, 1))
    parts.append(packer.finish()[0])
    return changed(image, ARCHIVE, b"".join(parts))


def test_an_archive_packed_again_unchanged_is_intact() -> None:
    assert checked(archive_with(lambda _header, raw: raw), deep=True).verdict == "intact"


def edited(header: Header, raw: bytes) -> bytes:
    """Return the commit of 7 with another record."""
    if header.base_seq != 7:
        return raw
    changed_raw = remade(raw, records=lied(records(raw)))
    return changed_raw[: 128 + header_of(changed_raw).body_bytes]


def emptied(header: Header, raw: bytes) -> bytes:
    """Return the commit of 7 as if retention had left nothing of it."""
    if header.base_seq != 7:
        return raw
    stamp = Stamp(header.log_id, header.incarnation, header.boot_no, header.wall_ns, header.mono_ns, header.quality)
    return build_frame(
        stamp, flags=THINNED, epoch=1, base_seq=7, count=0, routes=[], records=b"", link=header.link,
        chain=header.chain, unit_log2=9, span=2,
    )[:128]  # fmt: skip


def test_an_edited_archive_is_forged() -> None:
    assert told(checked(archive_with(edited), deep=True))[:2] == ("forged", 7)


def test_records_taken_out_of_an_archive_are_missed_unless_a_record_tells_of_it() -> None:
    found = checked(archive_with(emptied), deep=True)
    assert told(found) == ("damaged", 7, "records were taken out, and none tells of it")


def test_a_footer_that_tells_of_a_gap_which_no_record_declares_is_forged() -> None:
    image = archive_with(emptied)
    data = image[ARCHIVE]
    place = footer_place(data[-TRAILER.size :], len(data))
    assert place is not None
    info = parse_footer(data[place[0] : place[0] + place[1]], place[2])
    assert info is not None
    lie = msgspec.structs.replace(info, declares=[{"seq": 9, "from_seq": 7, "to_seq": 8, "reason": "retention"}])
    footer = msgspec.json.encode(lie)
    end = footer + TRAILER.pack(len(footer), crc32c(footer), TRAILER_MARK)
    found = checked(changed(image, ARCHIVE, data[: place[0]] + end), deep=True)
    assert (found.verdict, reasons(found)[0][2]) == (
        "forged", "the footer tells of a gap that no record here declares")  # fmt: skip
