"""`tidegate hil replay`: a trace as the device that it was recorded from."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any

import click

from gateway.errors import UsageError
from gateway.notation import duration_ns
from gateway.spelling import did_you_mean
from hil.cli.trace_files import EXIT_NO, file_type, say, told
from hil.trace.convert import Outcome, as_trace
from hil.trace.player import ORDERS, PATIENCE_NS, Player, speed_of
from hil.trace.playing import Playing
from hil.trace.record import Header, Record
from hil.trace.targets import open_target


def _speed(_context: click.Context, _parameter: click.Parameter, given: str) -> Fraction | None:
    """Return the speed of an option, None for max. Raises: BadParameter, which names the option."""
    try:
        return speed_of(given)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _patience(_context: click.Context, _parameter: click.Parameter, given: str | None) -> int:
    try:
        return PATIENCE_NS if given is None else duration_ns(given)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command(name="replay", short_help="Be the device of a trace, on a port.")
@click.argument("file", type=file_type)
@click.option("--to", "ports", multiple=True, required=True, metavar="BUS=PORT", help="Play this bus into this port.")
@click.option(
    "--speed", callback=_speed, default="1", metavar="1|max|Nx", help="As recorded, at once, N times as fast."
)
@click.option("--order", type=click.Choice(ORDERS), default="strict", help="Of requests [strict].")
@click.option("--timeout", "patience_ns", callback=_patience, metavar="TIME", help="For what is expected [5s].")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: diverged, sent, heard, timing.")
def command(
    *, file: Path, ports: tuple[str, ...], speed: Fraction | None, order: str, patience_ns: int, as_json: bool
) -> None:
    """Play FILE, a trace or another program's log, as the device: send what it sent, expect what it was sent.

    What was received when FILE was recorded (rx) is sent into PORT, and what was sent (tx) is expected from there. PORT
    is the other end of what the gateway opens: a serial port, one end of a pseudo-terminal, a CAN interface, virtual:,
    slcan:. `--order matched`: each request releases the replies that followed it, whatever the order of requests.

    \b
    For example:
      tidegate hil replay pump.trace --to uart0=/dev/ttyUSB1
      tidegate hil replay drive.blf --to can0=vcan0 --speed 2x --json

    Exit codes: 0 all as in FILE, 1 something was sent otherwise (shown with what stood before it) or FILE is damaged
    in its middle (of another program's log the rest is played, a trace is not), 2 FILE is no trace or wrong use, 3 a
    port is not there or went away.
    """  # noqa: D301 - \b keeps click from filling the example
    outcome = Outcome()
    with told(), as_trace(file, outcome) as stream:
        records = list(stream)
        header = stream.header
        if stream.torn_line is not None:
            say(f"{file}:{stream.torn_line}: torn off; the rest is used")
    for line in outcome.told:
        say(line)
    buses = _buses(ports, header, records)
    protocols = {bus: str(header.buses.get(bus, {}).get("protocol")) for bus in buses}
    player = Player(records, protocols, speed=speed, order=order, patience_ns=patience_ns)
    with ExitStack() as stack:
        targets = {}
        for bus, port in buses.items():
            targets[bus] = open_target(bus, header.buses.get(bus, {}), port)
            stack.callback(targets[bus].close)
        playing = Playing(player, targets)
        playing.run()
    for kind, count in playing.skipped.items():
        say(f"{count} x {kind} cannot be sent on such a port")
    _tell(playing, as_json=as_json)
    sys.exit(EXIT_NO if player.diverged is not None or outcome.has_damage else 0)


def _buses(ports: tuple[str, ...], header: Header, records: list[Record]) -> dict[str, str]:
    known = list(dict.fromkeys([*header.buses, *(record.bus for record in records if record.bus)]))
    found: dict[str, str] = {}
    for text in ports:
        bus, equals, port = text.partition("=")
        if not equals or not port:
            raise UsageError(f"--to {text}: write BUS=PORT, for example {known[0] if known else 'uart0'}=/dev/ttyUSB0")
        if bus not in known:
            raise UsageError(f"--to {text}: the trace has no bus {bus!r}{did_you_mean(bus, known)}")
        if bus in found:
            raise UsageError(f"--to {text}: {bus} is played into {found[bus]} already")
        found[bus] = port
    return found


def _tell(playing: Playing, *, as_json: bool) -> None:
    player, timing = playing.player, playing.timing.document()
    sent = player.sent - sum(playing.skipped.values())
    if as_json:
        diverged = None if player.diverged is None else player.diverged.document()
        document: dict[str, Any] = {
            "diverged": diverged,
            "sent": sent,
            "heard": player.matched,
            "timing": timing,
        }
        click.echo(json.dumps(document))
        return
    if player.diverged is not None:
        click.echo(str(player.diverged))
    click.echo(
        f"{sent} sent, {player.matched} heard as in the trace; between two sent {timing['median_error_us']} us "
        f"off (median), drift {timing['drift_percent']} %",
        err=True,
    )
