"""`tidegate record`: what passes on a running gateway's ports, as a trace."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

from gateway.config import data_dir
from gateway.environment import token as token_of_environment
from gateway.errors import UsageError
from gateway.notation import duration_ns
from hil.cli.trace_files import file_type, say
from hil.trace.convert import FORMATS
from hil.trace.recording import Recording
from hil.trace.writer import TraceWriter


def _duration(_context: click.Context, _parameter: click.Parameter, given: str | None) -> float | None:
    """Return the seconds of an option. Raises: BadParameter, which names the option."""
    try:
        return None if given is None else duration_ns(given) / 1e9
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command(name="record", short_help="Record what passes on a gateway's ports.")
@click.argument("devices", nargs=-1, metavar="[DEVICE]...")
@click.option("-o", "--output", required=True, metavar="FILE", type=file_type, help="The trace to write.")
@click.option("--duration", callback=_duration, metavar="TIME", help="End by itself after so long: 10s, 5m.")
@click.option("--data", metavar="DIR", help="Data folder of the gateway [TIDEGATE_DATA, else the user's state folder].")
@click.option("--token", metavar="TOKEN", help="Act by this token instead of as the local user [TIDEGATE_TOKEN].")
def command(
    *, devices: tuple[str, ...], output: Path, duration: float | None, data: str | None, token: str | None
) -> None:
    """Record what a running gateway hears and sends, raw, into a trace; end it with Ctrl-C.

    DEVICE: a device of the gateway, or the port it is on; without any all ports are recorded, as long as they are
    open. Every record is in FILE when it has come: a crash loses none. The gateway does not wait for a slow disk;
    what is missed is counted.

    \b
    For example:
      tidegate record -o run.trace --duration 10s
      tidegate record -o pump.trace pump ; tidegate trace show pump.trace

    Exit codes: 0 recorded, 2 wrong use, no such device, or FILE takes no more (it keeps what it has), 3 no gateway
    answers, or it ended before the time was over.
    """  # noqa: D301 - \b keeps click from filling the example
    if output.suffix.lower() in FORMATS:
        trace = output.with_suffix(".trace")
        raise UsageError(f"{output}: record a trace, then turn it into that: tidegate trace convert {trace} {output}")
    recording = Recording(data_dir(data), token_of_environment() if token is None else token, devices)
    began_s = time.monotonic()
    try:
        writer = TraceWriter(output, recording.header, keeps=False)
        try:
            with _interruptible():
                recording.run(writer, duration)
        except KeyboardInterrupt:
            pass
        finally:
            writer.close()
            say(_summary(output, recording, time.monotonic() - began_s))
    except OSError as error:
        if error.filename != str(output):
            raise
        raise UsageError(f"{output} cannot be written: {error.strerror}") from error
    finally:
        recording.close()
    sys.exit(0)


def _summary(output: Path, recording: Recording, seconds: float) -> str:
    buses = []
    for bus in recording.header.buses:
        heard, sent = recording.counts[bus, "rx"], recording.counts[bus, "tx"]
        buses.append(f"{bus} {heard} heard {sent} sent")
    missed = f", {recording.missed} missed" if recording.missed else ""
    return f"{output}: {recording.counts.total()} records in {seconds:.1f} s ({', '.join(buses) or 'no ports'}){missed}"


@contextmanager
def _interruptible() -> Iterator[None]:
    """A request to end is one by Ctrl-C, also where a shell started us deaf to that."""

    def end(_number: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
