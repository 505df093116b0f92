"""The profile nmea2000 over boats' recordings: every value as canboat's database has it."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from functools import cache

import pytest
from click.testing import CliRunner

from gateway.cli.decode import command
from gateway.cli.inputs_select import joiner_of
from gateway.frame import CAN_EXTENDED, Garbage
from gateway.framing.transport import can_id_of
from gateway.profile.build import CompiledProfile
from gateway.profile.load import load_profile, shipped_profiles
from gateway.schema.plan import values_of
from tests.conformance.canboat import CANBOAT, NEEDS_DATA, group, letters, meaning, recordings

pytestmark = [NEEDS_DATA, pytest.mark.conformance]

LISTS = {"stations", "satellites"}
DAY_S = 86_400


@cache
def compiled() -> CompiledProfile:
    return CompiledProfile(load_profile(shipped_profiles()["nmea2000"]))


def groups() -> dict[int, str]:
    return {spec.when.pgn: name for name, spec in compiled().profile.message.items() if spec.when.pgn is not None}


def differences(pgn: int, ours: dict, theirs: dict) -> list[str]:
    """Return the fields that differ. Ours are in the same order as theirs, names spelled with underscores."""
    if [letters(name) for name in ours if name not in LISTS] != [letters(name) for name in theirs if name != "list"]:
        return [f"{pgn}: fields {list(ours)} are not {list(theirs)}"]
    found = []
    for (name, mine), its in zip(ours.items(), theirs.values(), strict=True):
        if name in LISTS:
            assert len(mine) - len(its) in {0, 1}
            assert all(None in each.values() for each in mine[len(its) :]), "an element that is cut off has nulls"
            for one, other in zip(mine, its, strict=False):
                found += differences(pgn, one, other)
        elif not same(mine, its):
            found.append(f"{pgn}.{name}: {mine!r} is not {its!r}")
    return found


def same(mine, its) -> bool:
    if isinstance(its, tuple):  # an enumeration: canboat's raw number and name
        raw, name = its
        return mine in (raw, bool(raw) if raw < 2 else raw) or (
            isinstance(mine, str) and (letters(mine) == letters(name or "") or (mine, raw, name) == ("error", 2, None))
        )
    if isinstance(its, list):
        return [letters(each) for each in mine] == its
    if isinstance(its, str):
        return isinstance(mine, str) and mine.rstrip(" ") == its  # canboat cuts blanks off, here they stand as sent
    if its is None or mine is None:
        return its is None and mine is None
    return mine == pytest.approx(its, rel=1e-12, abs=1e-15)


def test_thirty_groups_and_more_are_described_fast_or_single_as_canboat_says():
    assert len(groups()) >= 30
    for pgn, name in groups().items():
        assert bool(compiled().profile.message[name].when.fast) == (group(pgn)["Type"] == "Fast"), name


def test_every_recorded_group_has_canboats_values():
    met = Counter()
    for _file, _priority, pgn, _source, _destination, body in recordings():
        if pgn not in groups() or (group(pgn)["Type"] == "Fast" and len(body) == 8):  # a single segment, not joined
            continue
        plan = compiled().messages[groups()[pgn]]
        assert differences(pgn, values_of(plan, plan.decode(body)), meaning(pgn, body)) == [], body.hex()
        met[pgn] += 1
    assert len(met) >= 30
    assert met.total() > 25_000


@pytest.mark.parametrize("pgn", sorted(groups()) if CANBOAT.is_dir() else [])
def test_random_bytes_have_canboats_values_too(pgn):
    made = random.Random(pgn)
    plan, size = compiled().messages[groups()[pgn]], group(pgn).get("Length") or 47
    for _ in range(100):
        body = bytearray(made.choice([0x00, 0xFF, 0x7F, made.randrange(256)]) for _ in range(size))
        if pgn == 126996:
            body[4:132] = b"text".ljust(128, b"\0")
        if "RepeatingFieldSet1Size" in group(pgn):
            body[2 if pgn == 129540 else 42] = made.randrange(3)
        assert differences(pgn, values_of(plan, plan.decode(bytes(body))), meaning(pgn, bytes(body))) == []


def canboats_own(file: str) -> dict[int, dict]:
    """Return what canboat itself printed of its test input, the first of each group, by the letters of its names."""
    rows = (
        json.loads(line) for line in (CANBOAT / "analyzer/tests" / file).read_text().splitlines() if line[:1] == "{"
    )
    found: dict[int, dict] = {}
    for row in rows:
        found.setdefault(row["pgn"], {letters(name): value for name, value in row["fields"].items()})
    return found


def test_canboats_own_program_printed_the_same_numbers():
    """It prints degrees and degrees Celsius, dates and times as text: turned back here into what the wire says."""
    printed, first, compared = canboats_own("pgn-test-json.out"), {}, 0
    for file, _priority, pgn, _source, _destination, body in recordings():
        if file == "pgn-test.in":
            first.setdefault(pgn, body)
    for pgn in printed.keys() & groups().keys() & first.keys():
        plan = compiled().messages[groups()[pgn]]
        units = dict(zip(plan.names, plan.units, strict=True))
        for name, value in values_of(plan, plan.decode(first[pgn])).items():
            theirs = printed[pgn].get(letters(name))
            if not isinstance(value, int | float) or isinstance(value, bool) or not isinstance(theirs, int | float):
                continue
            degrees = {"rad": 57.29577951308232, "rad/s": 57.29577951308232}.get(units[name], 1.0)
            expected = value - 273.15 if units[name] == "K" else value * degrees / (1e5 if units[name] == "Pa" else 1)
            assert theirs == pytest.approx(expected, rel=2e-3, abs=0.06), (pgn, name)
            compared += 1
    assert compared > 20


@pytest.mark.parametrize("log", ["candumpSample2.txt", "candumpSample3.txt"])
def test_a_boat_log_gives_one_record_a_group_as_canboat_reads_it(log, monkeypatch, tmp_path):
    monkeypatch.setenv("TIDEGATE_DATA", str(tmp_path / "data"))
    result = CliRunner().invoke(command, ["nmea2000", str(CANBOAT / "samples" / log), "--format", "candump"])
    records = [json.loads(line) for line in result.stdout.splitlines()]
    joiner, expected = joiner_of(compiled()), []
    for line in (CANBOAT / "samples" / log).read_text().splitlines():
        frame = re.match(
            r"^(?:\((?P<t>[0-9.]+)\))?\s*\S+\s+([0-9A-F]{8})(?:#|\s+\[\d+\]\s+)([0-9A-F ]*)$", line.strip()
        )
        if frame:
            now_ns = int(float(frame["t"] or 0) * 1e9)
            expected += joiner.feed(int(frame[2], 16) | CAN_EXTENDED, bytes.fromhex(frame[3]), now_ns)
    expected += joiner.gap()
    assert len(records) == len(expected) > 30
    known = 0
    for record, item in zip(records, expected, strict=True):
        if isinstance(item, Garbage):
            assert record["reason"] == item.reason
        elif item.pgn in groups():
            assert (record["message"], record["address"]) == (groups()[item.pgn], f"{item.can_id & 0x1FFFFFFF:08X}")
            assert differences(item.pgn, record["values"], meaning(item.pgn, item.payload)) == []
            known += 1
        else:
            assert record["reason"] == "unknown id"
    assert known > 100


def test_a_fast_packet_with_a_lost_segment_is_one_garbage_record(tmp_path, monkeypatch):
    monkeypatch.setenv("TIDEGATE_DATA", str(tmp_path / "data"))
    body = next(body for *_, pgn, _source, _destination, body in recordings() if pgn == 129029 and len(body) >= 43)
    frames = [bytes((0x40, len(body))) + body[:6]]
    frames += [
        bytes((0x40 + number,)) + body[at : at + 7].ljust(7, b"\xff")
        for number, at in enumerate(range(6, len(body), 7), 1)
    ]
    address = f"{can_id_of(129029, 5, priority=3) & 0x1FFFFFFF:08X}"
    log = tmp_path / "boat.candump"
    lost = [*frames[:2], *frames[3:], *frames]
    log.write_text("".join(f"({n / 100:.6f}) can0 {address}#{frame.hex()}\n" for n, frame in enumerate(lost)))
    result = CliRunner().invoke(command, ["nmea2000", str(log)])
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [record.get("reason", record.get("message")) for record in records] == ["missing", "gnss_position_data"]
    assert records[1]["t"] == pytest.approx((len(lost) - 1) / 100)
    assert result.exit_code == 1
