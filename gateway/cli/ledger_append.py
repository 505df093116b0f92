"""Layer 9: `tidegate ledger append`: JSON lines in, one answer a line out, each given only once the record is durable.

What one read of standard input brings is one commit: a line that comes alone is answered at once, a flood is committed
in groups of what arrived meanwhile.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import click
import msgspec

from gateway.cli import EXIT_NO
from gateway.cli.ledger_common import dir_option, ledger_folder, refuse_other_files
from gateway.cli.ledger_lines import Lines, item_of
from gateway.errors import LedgerError, RecordError, UsageError
from gateway.ledger.base import Item, LedgerLike

READ_BYTES: Final = 131_072
SIGNALLED: Final = 128  # plus the number of the signal, as shells say it


class Committer:
    """Turns lines into records and their answers. Counts what was refused; keeps the first failure of the medium."""

    def __init__(self, ledger: LedgerLike) -> None:
        """Take an open ledger."""
        self._ledger = ledger
        self._line = 0
        self.refused = 0
        self.failure = ""

    def commit(self, lines: Sequence[bytes | None]) -> bytes:
        """Return one answer a line, in order; what is acknowledged in it is durable."""
        answers: list[bytes] = []
        items: list[Item] = []
        places: list[int] = []  # in `answers`, of each item
        for line in lines:
            self._line += 1
            try:
                item = item_of(line)
            except RecordError as error:
                answers.append(self._refusal(self._line, error))
            else:
                places.append(len(answers))
                items.append(item)
                answers.append(b"")
        if items:
            first = self._line - len(lines) + 1
            for place, answer in zip(places, self._appended(items, [first + place for place in places]), strict=True):
                answers[place] = answer
        return b"".join(answers)

    def _appended(self, items: list[Item], numbers: list[int]) -> list[bytes]:
        """Return the answers to records that are as they should be, committed together."""
        try:
            seqs = self._ledger.append_many(items)
        except RecordError as error:  # for what only the ledger knows; which one it is shows when they come singly
            if len(items) == 1:
                return [self._refusal(numbers[0], error)]
            return [self._appended([item], [number])[0] for item, number in zip(items, numbers, strict=True)]
        except LedgerError as error:
            return [self._failed(number, error) for number in numbers]
        try:
            self._ledger.flush(seqs[-1])
        except LedgerError as error:
            durable = self._ledger.durable_seq
            return [
                _acknowledged(seq) if seq <= durable else self._failed(number, error)
                for seq, number in zip(seqs, numbers, strict=True)
            ]
        return [_acknowledged(seq) for seq in seqs]

    def _refusal(self, number: int, error: Exception) -> bytes:
        self.refused += 1
        told = {"type": type(error).__name__, "message": str(error)}
        return msgspec.json.encode({"line": number, "error": told}) + b"\n"

    def _failed(self, number: int, error: Exception) -> bytes:
        self.failure = self.failure or str(error)
        return self._refusal(number, error)


def _acknowledged(seq: int) -> bytes:
    return b'{"seq":%d,"durable":true}\n' % seq


class Channel:
    """Standard input and output, and SIGTERM and SIGINT as something else to wait for: no commit is cut in two."""

    def __init__(self, in_fd: int, out_fd: int, signal_fd: int) -> None:
        """Take input, output, and the reading end of what `signal.set_wakeup_fd` writes."""
        self.signalled = 0  # the number of the signal that came
        self._in_fd, self._out_fd, self._signal_fd = in_fd, out_fd, signal_fd

    def chunks(self) -> Iterator[bytes]:
        """Yield what the input has, as soon as it has anything, until it ends or a signal comes."""
        while self._is_ready(self._in_fd, select.POLLIN) and (chunk := os.read(self._in_fd, READ_BYTES)):
            yield chunk

    def write(self, data: bytes) -> None:
        """Write all of it, or as much as is taken before a signal comes. Raises: BrokenPipeError, OSError."""
        rest = memoryview(data)
        while rest and self._is_ready(self._out_fd, select.POLLOUT):
            rest = rest[os.write(self._out_fd, rest[: select.PIPE_BUF]) :]

    def _is_ready(self, fd: int, event: int) -> bool:
        """Wait until `fd` is ready; return False where a signal came first."""
        waiting = select.poll()
        waiting.register(fd, event)
        waiting.register(self._signal_fd, select.POLLIN)
        if not self.signalled and any(ready == self._signal_fd for ready, _ in waiting.poll()):
            self.signalled = os.read(self._signal_fd, 1)[0]
        return not self.signalled


@contextmanager
def standard_channel() -> Iterator[Channel]:
    """Give standard input and output; SIGTERM and SIGINT are told to it instead of ending the process."""
    reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
    old_fd = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield Channel(sys.stdin.fileno(), sys.stdout.fileno(), reader)
    finally:
        signal.set_wakeup_fd(old_fd)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reader)
        os.close(writer)


@click.command(name="append", short_help="Write records that come as JSON lines.")
@dir_option
@click.option("--stdin", "from_stdin", is_flag=True, help="Read the records from standard input. Must be given.")
@click.pass_context
def command(context: click.Context, *, directory: str | None, from_stdin: bool) -> None:
    """Write records: JSON lines {"kind","route","class","body"[,"cause"]} on standard input, one answer a line out.

    An answer is {"seq":N,"durable":true}, once the record is on the medium, or {"line":N,"error":{"type","message"}};
    N counts the lines of the input from 1. BODY is any JSON value of at most 32 KiB and is kept letter for letter;
    "route":null means the whole gateway; CAUSE is the sequence number of the record that led to this one. Where there
    is no ledger, one of the default size is made first.

    For example `echo '{"kind":"note","route":null,"class":"audit","body":"valve changed"}' | tidegate ledger append
    --dir /var/lib/tidegate/ledger --stdin`.

    Exit 0: every line is a durable record. 1: a line was refused, the medium failed, or another process writes this
    ledger (stderr says which). 2: bad usage. 143 or 130: ended by SIGTERM or SIGINT; what was acknowledged is durable.
    """
    if not from_stdin:
        raise UsageError("tell where the records come from: --stdin")
    if sys.stdin is None or sys.stdout is None:  # their numbers would be given to files of the ledger
        raise UsageError("standard input and standard output must be open")
    folder = ledger_folder(directory)
    refuse_other_files(folder)
    from gateway.ledger import Ledger

    with standard_channel() as channel:
        try:
            with Ledger.open(folder) as ledger:
                committer = Committer(ledger)
                _serve(committer, channel)
        except BrokenPipeError:
            _silence_stdout()
            click.echo("tidegate: nobody reads the answers any more; no more lines were read", err=True)
            context.exit(EXIT_NO)
        except (LedgerError, OSError) as error:
            click.echo(f"tidegate: {error}", err=True)
            context.exit(EXIT_NO)
    if committer.failure:
        click.echo(f"tidegate: {committer.failure}", err=True)
    if channel.signalled:
        context.exit(SIGNALLED + channel.signalled)
    context.exit(EXIT_NO if committer.refused else 0)


def _serve(committer: Committer, channel: Channel) -> None:
    """Answer the lines of the input. Raises: BrokenPipeError, OSError."""
    lines = Lines()
    for chunk in channel.chunks():
        channel.write(committer.commit(list(lines.feed(chunk))))
    if not channel.signalled:
        channel.write(committer.commit(list(lines.end())))


def _silence_stdout() -> None:
    """Let nothing more go where nobody reads: Python flushes on its way out."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
