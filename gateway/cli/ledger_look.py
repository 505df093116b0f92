"""Layer 9: `tidegate ledger show`, `tail`, `get` and `stats`: looking at a ledger."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NoReturn

import click

from gateway.api.ledger_text import facts_of, gap_line, gap_words, iso_time, json_text, plain_line, record_line
from gateway.cli.client import json_option, table
from gateway.cli.ledger_common import EXIT_NO_LEDGER, existing_ledger, finish, reading, reading_command
from gateway.ledger.base import LedgerLike, Verification
from gateway.ledger.record import Gap, Record
from gateway.plain import printable, size_text

FOLLOW_EVERY_S: Final = 0.25
DEFAULT_LINES: Final = 10
MAX_SEQ: Final = (1 << 63) - 1
MAX_LINES: Final = 1_000_000


@reading_command("show", "Say what the ledger holds and how it is.")
@json_option
@click.pass_context
def show_command(context: click.Context, *, directory: str | None, as_json: bool) -> None:
    """Say what a ledger holds, from when to when, how large it is, and whether it is sound.

    For example `tidegate ledger show`, `tidegate ledger show --dir copy/ --json`.

    Exit as `verify`: 0 intact, 1 intact with declared gaps, 2 damaged, 3 foreign or forged; 64 no ledger there.
    """
    folder = existing_ledger(directory)
    with reading(directory) as ledger:
        verification = ledger.verify()
        facts = overview(ledger, verification)
    facts = {"folder": str(folder), **facts}
    facts["bytes"] = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    click.echo(json_text(facts) if as_json else _overview_text(facts))
    finish(context, verification)


def overview(ledger: LedgerLike, verification: Verification) -> dict[str, Any]:
    """Return what there is to say in a few lines."""
    first = next((item for item in ledger.read(max(verification.first_seq, 1)) if isinstance(item, Record)), None)
    last = next((item for item in reversed(newest(ledger, 1, verification.last_seq)) if isinstance(item, Record)), None)
    return {
        "verdict": verification.verdict,
        "records": verification.records,
        "first_seq": verification.first_seq,
        "last_seq": verification.last_seq,
        "first_time": first and iso_time(first.wall_ns),
        "last_time": last and iso_time(last.wall_ns),
        "incarnation": last and last.incarnation,
        "boot_no": last and last.boot_no,
        "head": verification.head,
        "damage": len(verification.damage),
        "gaps": len(verification.gaps),
        "status": ledger.status(),
    }


def _overview_text(facts: dict[str, Any]) -> str:
    rows = [
        ("folder", facts["folder"]),
        ("records", f"{facts['records']:,}, numbers {facts['first_seq']} to {facts['last_seq']}"),
        ("time", f"{facts['first_time'] or '-'} to {facts['last_time'] or '-'}"),
        ("boot", f"{facts['boot_no'] or '-'}, incarnation {facts['incarnation'] or '-'}"),
        ("size", size_text(facts["bytes"])),
        ("verdict", f"{facts['verdict']}, {facts['damage']} places damaged, {facts['gaps']} gaps declared"),
        ("head", facts["head"]),
    ]
    return table(rows)


@reading_command("tail", "Print the newest records, and new ones as they come.")
@click.option(
    "-n", "lines", type=click.IntRange(0, MAX_LINES), default=DEFAULT_LINES, help=f"How many [{DEFAULT_LINES}]."
)
@click.option("-f", "--follow", is_flag=True, help="Go on with new ones as they are written, until interrupted.")
@json_option
@click.pass_context
def tail_command(context: click.Context, *, directory: str | None, lines: int, follow: bool, as_json: bool) -> None:
    """Print the newest records; numbers that are missing are told where they should be.

    A line is number, time, kind, route and body; with --json as `ledger export` prints it, and {"gap"} for a gap.

    For example `tidegate ledger tail`, `tidegate ledger tail -n 100 -f --json`.

    Exit as `verify`: 0 intact, 1 intact with declared gaps, 2 damaged, 3 foreign or forged; 64 no ledger there.
    """
    with reading(directory) as ledger:
        last = ledger.head().seq
        for item in newest(ledger, lines, last):
            _print(item, as_json=as_json)
        sys.stdout.flush()
        if follow:
            _follow(ledger, last, as_json=as_json)
        finish(context, ledger.verify())


def newest(ledger: LedgerLike, count: int, last: int) -> list[Record | Gap]:
    """Return the last `count` records up to number `last`, and the gaps between them."""
    span = count
    while span:
        first = max(last - span + 1, 1)
        found = list(_until(ledger, first, last, keep=count))
        if first == 1 or sum(isinstance(item, Record) for item in found) >= count:
            return found
        span *= 8
    return []


def _until(ledger: LedgerLike, first: int, last: int, keep: int) -> Iterator[Record | Gap]:
    """Yield the last `keep` records from `first` to `last`, and the gaps between them."""
    held: deque[Record | Gap] = deque()
    records = 0
    for item in ledger.read(first):
        if item.seq > last:
            break
        held.append(item)
        records += isinstance(item, Record)
        while records > keep:
            records -= isinstance(held.popleft(), Record)
    yield from held


def _follow(ledger: LedgerLike, last: int, *, as_json: bool) -> None:
    try:
        while True:
            for item in ledger.read(last + 1):
                _print(item, as_json=as_json)
                last = item.to_seq if isinstance(item, Gap) else item.seq
            sys.stdout.flush()
            time.sleep(FOLLOW_EVERY_S)
    except KeyboardInterrupt:
        return


def _print(item: Record | Gap, *, as_json: bool) -> None:
    if not as_json:
        text = plain_line(item)
    else:
        text = (gap_line(item) if isinstance(item, Gap) else record_line(item)).decode()
    sys.stdout.write(text + "\n")


@reading_command("get", "Print everything about one record.")
@click.argument("seq", type=click.IntRange(1, MAX_SEQ))
@json_option
@click.pass_context
def get_command(context: click.Context, *, directory: str | None, seq: int, as_json: bool) -> None:
    """Print everything about the record with sequence number SEQ, and where it lies.

    For example `tidegate ledger get 17`, `tidegate ledger get 17 --json`. `tidegate why 17` tells what led to it.

    Exit as `verify`: 0 intact, 1 intact with declared gaps, 2 damaged, 3 foreign or forged; 64 no ledger there, or no
    such record.
    """
    with reading(directory) as ledger:
        record = record_at(context, ledger, seq)
        place = place_of(existing_ledger(directory), seq)
        facts = facts_of(record) | {"bytes": len(record.raw), "raw": record.raw.hex(), "place": place}
        click.echo(json_text(facts) if as_json else _facts_text(facts))
        finish(context, ledger.verify())


def place_of(folder: Path, seq: int) -> dict[str, Any] | None:
    """Return in which file, at which offset, in which commit a record lies; in an archive the offset of its block."""
    if (folder / "ledger.db").exists():
        return {"file": "ledger.db", "offset": None, "commit": None}
    from gateway.ledger.reader import Reader
    from gateway.ledger.storage import OsStorage

    found = Reader(OsStorage(folder)).locate(seq)
    return found and {"file": found.file, "offset": found.offset, "commit": found.header.base_seq}


def record_at(context: click.Context, ledger: LedgerLike, seq: int) -> Record:
    """Return one record; where it is not, end: as `verify` does if it was lost, with 64 if it never was."""
    item = next(iter(ledger.read(seq)), None)
    if not isinstance(item, Record) or item.seq != seq:
        _end_without(context, ledger, seq, item)
    return item


def _end_without(context: click.Context, ledger: LedgerLike, seq: int, found: Record | Gap | None) -> NoReturn:
    verification = ledger.verify()
    lost = f": {gap_words(found)}" if isinstance(found, Gap) else ""
    click.echo(f"tidegate: there is no record {seq}{lost}; the newest is {verification.last_seq}", err=True)
    was_there = seq <= verification.last_seq or verification.verdict in {"damaged", "forged"}
    if was_there and verification.verdict not in {
        "damaged",
        "forged",
    }:  # inside an archive, where only every byte tells
        verification = ledger.verify(deep=True)
    if was_there and verification.verdict != "intact":
        finish(context, verification)
    context.exit(EXIT_NO_LEDGER)


def _facts_text(facts: dict[str, Any]) -> str:
    rows = []
    for key, value in facts.items():
        text = "-" if value is None else json_text(value) if key in {"body", "place"} else str(value)
        rows.append((key, printable(text)))
    return table(rows)


@reading_command("stats", "Count records and bytes by kind, class and route.")
@json_option
@click.pass_context
def stats_command(context: click.Context, *, directory: str | None, as_json: bool) -> None:
    """Count records and the bytes of their bodies by kind, by class and by route, the largest first.

    For example `tidegate ledger stats`, `tidegate ledger stats --json --dir copy/`.

    Exit as `verify`: 0 intact, 1 intact with declared gaps, 2 damaged, 3 foreign or forged; 64 no ledger there.
    """
    with reading(directory) as ledger:
        counts = counted(ledger)
        click.echo(json_text(counts) if as_json else _counts_text(counts))
        finish(context, ledger.verify())


Counts = dict[str, dict[str, dict[str, int]]]


def counted(ledger: LedgerLike) -> Counts:
    """Return {"kind" | "class" | "route": {name: {"records", "bytes"}}}; what has no route counts as ""."""
    counts: dict[str, dict[str, list[int]]] = {"kind": {}, "class": {}, "route": {}}
    kinds, classes, routes = counts.values()
    for item in ledger.read():
        if isinstance(item, Gap):
            continue
        size = len(item.raw)
        for names, name in ((kinds, item.kind), (classes, item.class_), (routes, item.route or "")):
            entry = names.setdefault(name, [0, 0])
            entry[0] += 1
            entry[1] += size
    return {
        what: {
            name: {"records": entry[0], "bytes": entry[1]}
            for name, entry in sorted(names.items(), key=lambda each: (-each[1][1], each[0]))
        }
        for what, names in counts.items()
    }


def _counts_text(counts: Counts) -> str:
    parts = []
    for what, names in counts.items():
        rows = [(what.upper(), "RECORDS", "BYTES")]
        rows += [(name or "-", f"{each['records']:,}", f"{each['bytes']:,}") for name, each in names.items()]
        parts.append(table(rows))
    return "\n\n".join(parts)
