"""Layer 7: what takes long to find in a ledger, in a process of low priority: `python -m gateway.api.ledger_child`.

It reads one job on its standard input and answers with one line of JSON and, where that says `ok`, the body behind it.
The gateway's loop and its ledger's thread notice nothing of it (DESIGN 2.8).
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from gateway.api.history import CsvRows, Enough, JsonDocument, Page, Span, tell
from gateway.api.ledger_text import json_text
from gateway.api.why import explain, target_of
from gateway.errors import GatewayError, LedgerMissingError, UnknownError, UsageError
from gateway.ledger import Ledger
from gateway.ledger.base import LedgerLike
from gateway.ledger.record import Record
from gateway.route import parse_route

NICE: Final = 10


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked."""

    ask: Literal["verify", "why", "history"]
    folder: str
    deep: bool = False
    of: str = ""  # of why: SEQ or ROUTE#SEQ
    route: str = ""
    since_ns: int | None = None
    until_ns: int | None = None
    after: int = 0
    limit: int = 1_000
    as_csv: bool = False


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """The first line of an answer."""

    ok: bool
    kind: str = ""  # of what went wrong: usage, unknown_..., no_ledger, ledger
    message: str = ""


def answer(job: Job) -> bytes:
    """Return the body. Raises: GatewayError, OSError."""
    with Ledger.open(Path(job.folder), read_only=True) as ledger:
        return {"verify": _verify, "why": _why, "history": _history}[job.ask](ledger, job)


def verification(ledger: LedgerLike, *, deep: bool) -> dict[str, Any]:
    """Return the object of `ledger verify --json`; `tail` only where there is one."""
    told: dict[str, Any] = msgspec.to_builtins(ledger.verify(deep=deep))
    if told["tail"] is None:
        del told["tail"]
    return told


def _verify(ledger: LedgerLike, job: Job) -> bytes:
    return msgspec.json.encode(verification(ledger, deep=job.deep))


def _why(ledger: LedgerLike, job: Job) -> bytes:
    asked = target_of(job.of)
    found = next(iter(ledger.read(asked.seq)), None)
    if not isinstance(found, Record) or found.seq != asked.seq:
        raise UnknownError("record", f"there is no record {asked.seq}; the newest is {ledger.head().seq}")
    return json_text(explain(ledger, found, asked.route)).encode()


def _history(ledger: LedgerLike, job: Job) -> bytes:
    route, seq = parse_route(job.route)
    if seq is not None:
        raise UsageError(f"{job.route!r} names one record; ask why?of= about that")
    parts: list[str] = []
    write: Callable[[str], object] = parts.append
    document = None if job.as_csv else JsonDocument(write, route)
    page = Page(document or CsvRows(write), job.after, job.limit)
    with contextlib.suppress(Enough):
        tell(ledger, route, Span(job.since_ns, job.until_ns), page)
    if document is not None:
        document.end(next=page.next)
    return "".join(parts).encode()


def main() -> None:
    """Do one job."""
    os.nice(NICE)
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    body = b""
    try:
        body = answer(job)
        told = Told(ok=True)
    except UnknownError as error:
        told = Told(ok=False, kind=f"unknown_{error.what}", message=str(error))
    except UsageError as error:
        told = Told(ok=False, kind="usage", message=str(error))
    except LedgerMissingError as error:
        told = Told(ok=False, kind="no_ledger", message=str(error))
    except (GatewayError, OSError) as error:
        told = Told(ok=False, kind="ledger", message=str(error))
    sys.stdout.buffer.write(msgspec.json.encode(told) + b"\n" + body)


if __name__ == "__main__":
    main()
