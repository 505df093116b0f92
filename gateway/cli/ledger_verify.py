"""Layer 9: `tidegate ledger verify`, `head` and `export`: what proves a ledger, and all that it holds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Final

import click
import msgspec

from gateway.api.ledger_text import record_line
from gateway.cli.client import json_option
from gateway.cli.gently import gently
from gateway.cli.ledger_common import existing_ledger, exit_code_of, finish, reading, reading_command
from gateway.errors import LedgerError, LedgerFormatError, LedgerStorageError, UsageError
from gateway.ledger.base import EXIT_CODES, Damage, Head, LedgerLike, Verdict, Verification
from gateway.ledger.record import Gap
from gateway.plain import printable, size_text

MAX_HEAD_BYTES: Final = 65_536
PROGRESS_EVERY_S: Final = 0.5
_FLUSH_BYTES: Final = 262_144
_HASH_DIGITS: Final = 64


@reading_command("verify", "Check that nothing is missing, changed or damaged.")
@click.argument("folder", required=False, metavar="[DIR]")
@click.option("--deep", is_flag=True, help="Read every byte; without it the hot ring and the archives' footers.")
@click.option(
    "--against", metavar="HEAD", help="What `ledger head --json` printed earlier: that JSON, or a file of it."
)
@json_option
@click.pass_context
def verify_command(
    context: click.Context, *, folder: str | None, directory: str | None, deep: bool, against: str | None, as_json: bool
) -> None:
    """Check a ledger: that every record is there, is what was written, and follows from the one before.

    What its own records of kind gap and damage declare as lost is listed under gaps. A ledger whose newest commits were
    taken off with care looks like one that was never longer: only --against, a head kept elsewhere, tells.

    For example `tidegate ledger verify --deep`, `tidegate ledger verify copy/ --json --against head.json`.

    Exit 0: intact. 1: intact with declared gaps. 2: damaged. 3: foreign or forged. 64: no ledger there, or bad usage.
    """
    if folder is not None and directory is not None and folder != directory:
        raise UsageError(f"two folders, {folder} and --dir {directory}; name one")
    head = None if against is None else head_of(against)
    there = existing_ledger(directory if folder is None else folder)
    try:
        with reading(str(there)) as ledger:
            verification = _verified(ledger, there, head, deep=deep)
    except (LedgerFormatError, LedgerStorageError) as error:
        verification = unreadable(there, error)
    click.echo(verification_json(verification) if as_json else verification_text(verification))
    context.exit(EXIT_CODES[verification.verdict])


def _verified(ledger: LedgerLike, folder: Path, against: Head | None, *, deep: bool) -> Verification:
    """Verify; a deep one gently, and on a terminal with progress."""
    if not deep:
        return ledger.verify(against=against)
    if not sys.stderr.isatty() or (folder / "ledger.db").exists():
        return gently(lambda: ledger.verify(deep=True, against=against))
    from gateway.ledger.storage import OsStorage
    from gateway.ledger.verify import verify

    progress = Progress()
    try:
        return gently(lambda: verify(OsStorage(folder), deep=True, against=against, progress=progress.tell))
    finally:
        progress.end()


def unreadable(folder: Path, error: LedgerError) -> Verification:
    """Return what verification says of a ledger that cannot even be opened for reading."""
    verdict: Verdict = "damaged" if exit_code_of(error) == EXIT_CODES["damaged"] else "forged"
    file = "ledger.db" if (folder / "ledger.db").exists() else ""
    damage = [Damage(seq=0, file=file, offset=0, reason=str(error))]
    return Verification(
        verdict=verdict, records=0, first_seq=0, last_seq=0, head="", damage=damage, gaps=[], seconds=0.0
    )


class Progress:
    """How much was read of how much, in one line of the terminal, at most twice a second."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        """Take the clock."""
        self._now_s = now_s
        self._last_s = now_s()
        self._wrote = False

    def tell(self, done_bytes: int, total_bytes: int) -> None:
        """Say it, if it is time."""
        now_s = self._now_s()
        if now_s - self._last_s < PROGRESS_EVERY_S:
            return
        self._last_s, self._wrote = now_s, True
        share = f"{100 * done_bytes / total_bytes:.0f} %" if total_bytes else ""
        sys.stderr.write(f"\r{size_text(done_bytes)} of {size_text(total_bytes)} {share}".ljust(48))
        sys.stderr.flush()

    def end(self) -> None:
        """Leave the line."""
        if self._wrote:
            sys.stderr.write("\n")


@reading_command("head", "Print the end, to be kept elsewhere as evidence.")
@json_option
@click.pass_context
def head_command(context: click.Context, *, directory: str | None, as_json: bool) -> None:
    """Print the end of a ledger: the newest durable sequence number and the hash over everything up to it.

    Kept on another machine, it proves later that nothing was changed or taken off:
    `tidegate ledger head --json > head.json`, and one day `tidegate ledger verify --deep --against head.json`.

    Exit as `verify`: 0 intact, 1 intact with declared gaps, 2 damaged, 3 foreign or forged; 64 no ledger there.
    """
    with reading(directory) as ledger:
        head = ledger.head()
        click.echo(msgspec.json.encode(head).decode() if as_json else f"{head.seq}  {head.head}")
        finish(context, ledger.verify())


@reading_command("export", "Print every record as a JSON line.")
@click.pass_context
def export_command(context: click.Context, *, directory: str | None) -> None:
    """Print every record that can be read, in order, as a JSON line.

    Its keys are seq, incarnation, kind, route, class, time (ISO 8601, UTC), boot_no, cause and body; a body that is no
    JSON is {"hex"}.

    For example `tidegate ledger export --dir copy/ > ledger.jsonl`.

    Exit as `verify --deep`: 0 intact, 1 intact with declared gaps, 2 damaged, 3 foreign or forged; 64 no ledger there.
    """
    with reading(directory) as ledger:
        write_records(ledger, sys.stdout.buffer)
        finish(context, ledger.verify(deep=True))


def write_records(ledger: LedgerLike, sink: BinaryIO) -> None:
    """Write a line a record, in big pieces. Raises: BrokenPipeError when the reader left."""
    buffer = bytearray()
    for item in ledger.read():
        if isinstance(item, Gap):
            continue
        buffer += record_line(item)
        buffer += b"\n"
        if len(buffer) > _FLUSH_BYTES:
            sink.write(buffer)
            buffer.clear()
    sink.write(buffer)
    sink.flush()


def head_of(text: str) -> Head:
    """Return the head that `text` is, or that the file of that name holds. Raises: UsageError."""
    data = text.strip().encode()
    if not data.startswith(b"{"):
        try:
            with Path(text).open("rb") as file:
                data = file.read(MAX_HEAD_BYTES)
        except (OSError, ValueError) as error:
            raise UsageError(
                f"--against {text}: {getattr(error, 'strerror', None) or error}; give the file of a head, or its JSON"
            ) from error
    try:
        head = msgspec.json.decode(data, type=Head)
        is_hash = len(head.head) == _HASH_DIGITS and len(bytes.fromhex(head.head)) * 2 == _HASH_DIGITS
    except ValueError as error:
        raise UsageError(f"--against: no head ({error}); give what `ledger head --json` printed") from error
    if not is_hash or head.seq < 0:
        raise UsageError(
            '--against: no head; give what `ledger head --json` printed: {"seq":17,"head":"64 hex digits"}'
        )
    return Head(head.seq, head.head.lower())


def verification_json(verification: Verification) -> str:
    """Return a verification as one JSON line; `tail` only where there is one."""
    told: dict[str, Any] = msgspec.to_builtins(verification)
    if told["tail"] is None:
        del told["tail"]
    return msgspec.json.encode(told).decode()


def verification_text(verification: Verification) -> str:
    """Return a verification in lines for a person."""
    numbers = f", {verification.first_seq} to {verification.last_seq}" if verification.records else ""
    lines = [f"{verification.verdict}: {verification.records:,} records{numbers}, {verification.seconds:.2f} s"]
    lines += [f"head: {verification.head}"]
    for each in verification.damage:
        where = f" from record {each.seq} on" if each.seq else ""
        lines.append(f"damage{where}: {each.file} at {each.offset}: {each.reason}")
    lines += [f"declared: {declared_words(gap)}" for gap in verification.gaps]
    if verification.tail is not None:
        tail = verification.tail
        lines.append(f"tail: {tail.file} at {tail.offset}: {tail.reason} (never acknowledged)")
    return "\n".join(map(printable, lines))


def declared_words(gap: dict[str, Any]) -> str:
    """Return what a record of kind gap or damage declares, in words."""
    numbers = f"{gap['from_seq']} to {gap['to_seq']}: " if "from_seq" in gap and "to_seq" in gap else ""
    more = {key: value for key, value in gap.items() if key not in {"from_seq", "to_seq", "reason"}}
    facts = ", ".join(f"{key} {value}" for key, value in more.items())
    return f"{numbers}{gap.get('reason', 'no reason given')}" + (f" ({facts})" if facts else "")
