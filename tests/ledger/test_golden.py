"""LEDGER 4, row 22: ledgers of released versions are read bit-exact for ever, and FORMAT.md says what is in them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.api.ledger_text import record_line
from gateway.ledger.base import Head
from gateway.ledger.fold import State
from gateway.ledger.reader import Reader
from gateway.ledger.record import KINDS, Record
from gateway.ledger.storage import OsStorage
from gateway.ledger.verify import verify

GOLDEN = Path(__file__).parent / "golden"
FORMAT = Path(__file__).parents[2] / "gateway" / "ledger" / "FORMAT.md"
BLOCK = re.compile(r"```hex (\S+) (\d+)\n(.*?)```", re.DOTALL)
VERSIONS = ["ldg1-v1", "ldg1-v1-zstd"]
HEAD = Head(95, "544e36827adcdf0c93af0fddee780ad0d9fc4ce8921d5a65239c990bda2d6c12")


def storage(version: str) -> OsStorage:
    if version.endswith("zstd"):
        pytest.importorskip("zstandard")
    return OsStorage(GOLDEN / version)


def records(version: str) -> list[Record]:
    return [item for item in Reader(storage(version)).read() if isinstance(item, Record)]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_record_is_read_as_it_was_when_the_version_was_released(version: str) -> None:
    lines = b"".join(record_line(record) + b"\n" for record in records(version))
    assert lines == (GOLDEN / "ldg1-v1" / "export.jsonl").read_bytes()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("deep", [False, True])
def test_it_is_verified_to_the_same_head(version: str, deep: bool) -> None:
    found = verify(storage(version), deep=deep, against=HEAD)
    assert (found.verdict, found.records, found.first_seq, found.last_seq, found.head) == (
        "declared", 78, 1, 95, HEAD.head)  # fmt: skip


@pytest.mark.parametrize("version", VERSIONS)
def test_its_snapshot_leads_to_the_state_that_folding_everything_leads_to(version: str) -> None:
    state = State()
    state.apply_many(records(version))
    replayed = Reader(storage(version)).replay()
    assert (replayed.seq, replayed.registers, replayed.cursors) == (state.seq, state.registers, state.cursors)


def test_every_kind_and_class_is_in_it() -> None:
    found = records("ldg1-v1")
    assert {record.kind for record in found} == set(KINDS)
    assert {record.class_ for record in found} == {"telemetry", "state", "command", "audit"}


@pytest.mark.parametrize("match", list(BLOCK.finditer(FORMAT.read_text())), ids=lambda match: f"{match[1]}@{match[2]}")
def test_the_hex_in_the_format_is_in_the_golden_ledger(match: re.Match[str]) -> None:
    name, offset, text = match[1], int(match[2]), match[3]
    told = bytes.fromhex("".join(line.partition("#")[0] for line in text.splitlines()))
    assert (GOLDEN / "ldg1-v1" / name).read_bytes()[offset : offset + len(told)].hex(" ") == told.hex(" ")


def test_the_format_shows_a_frame_a_meta_an_archive_and_a_snapshot() -> None:
    shown = {match[1].partition("/")[0] for match in BLOCK.finditer(FORMAT.read_text())}
    assert shown == {"hot", "META.a", "arc", "snap"}
