"""Layer 5: what a ledger on SQLite says of itself when every row is looked at: its chain, holes and declarations.

SQLite keeps no checksums of its pages, so that damage is told only as far as the chain tells it; and what its log
(`ledger.db-wal`) had behind a hurt byte it forgets without a word, unless `about` or a kept head knows better.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from gateway.ledger.base import Head, Verification
from gateway.ledger.findings import DECLARING_KINDS, Findings
from gateway.ledger.frame import first_chain
from gateway.ledger.sqlite_file import FILE, About, MalformedError, Source, about_of
from gateway.ledger.sqlite_scan import RETENTION, Found, Scan


class Facts(NamedTuple):
    """What a look at all rows came to, beside its findings."""

    records: int
    first_seq: int
    last_seq: int
    chain: bytes
    is_met: bool  # whether the kept head was held against something


def verify(source: Source, *, deep: bool = False, against: Head | None = None) -> Verification:
    """Check the chain of every record, and with `deep` the whole structure of the database, without changing anything.

    Whatever the file holds is an answer, unless it is no ledger at all.
    """
    start = time.monotonic()
    about: About | None = None
    try:
        about = about_of(source)
    except MalformedError as error:
        findings, facts = Findings(), Facts(0, 0, 0, b"", is_met=True)
        findings.hurt_at(FILE, 0, str(error))
    else:
        findings, facts = found_in(source, about, against)
        if about.is_clean and facts.last_seq > about.last_seq:
            findings.hurt_at(FILE, 0, "tells a clean end, and there are records behind it", about.last_seq + 1)
    _look_at_structure(source, findings, deep=deep)
    if against is not None and not facts.is_met:
        _compare(findings, against, facts)
    verdict, damage = findings.verdict()
    return Verification(
        verdict=verdict, records=facts.records, first_seq=facts.first_seq, last_seq=facts.last_seq,
        head=facts.chain.hex(), damage=damage, gaps=findings.gaps, seconds=round(time.monotonic() - start, 6),
    )  # fmt: skip


def found_in(source: Source, about: About, against: Head | None = None) -> tuple[Findings, Facts]:
    """Look at every row, in order."""
    findings = Findings()
    records = first_seq = last_seq = 0
    chain = first_chain(about.log_id)
    is_met = False
    for found in Scan(source, about.log_id).run(last_seq=about.last_seq):
        if found.record is None:
            _note(findings, found)
        else:
            records += 1
            first_seq = first_seq or found.from_seq
            if found.record.kind in DECLARING_KINDS:
                findings.declare(found.record)
        last_seq = found.to_seq
        chain = found.chain or chain
        if against is not None and against.seq == found.to_seq and found.chain:
            is_met = True
            if found.chain.hex() != against.head:
                findings.forge(against.seq, FILE, 0, "not the chain that the kept head is of")
    if against is not None and against.seq < 1:
        is_met = True
        if against.head != first_chain(about.log_id).hex():
            findings.forge(0, FILE, 0, "not the ledger that the kept head is of")
    return findings, Facts(records, first_seq, last_seq, chain, is_met)


def _note(findings: Findings, found: Found) -> None:
    if found.reason == RETENTION:
        findings.absent(FILE, 0, found.from_seq, found.to_seq)
    else:
        findings.hurt_at(FILE, 0, found.reason, found.from_seq, found.to_seq)


def _look_at_structure(source: Source, findings: Findings, *, deep: bool) -> None:
    try:
        (told,) = source.rows((f"PRAGMA {'integrity_check' if deep else 'quick_check'}(10)", ()))
    except MalformedError as error:
        findings.hurt_at(FILE, 0, str(error))
        return
    for (text,) in told:
        if text != "ok":
            findings.hurt_at(FILE, 0, f"the structure of the database: {text}")


def _compare(findings: Findings, against: Head, facts: Facts) -> None:
    """Say what becomes of a kept head that no record was held against."""
    if against.seq > facts.last_seq:
        reason = f"the log ends at {facts.last_seq}, and the kept head is of {against.seq}: its end was taken off"
        findings.forge(facts.last_seq + 1, FILE, 0, reason)
    else:
        reason = "the kept head cannot be compared: its record is gone"
        findings.gaps.append({"from_seq": against.seq, "to_seq": against.seq, "reason": reason})
