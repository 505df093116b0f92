"""`tidegate trace convert`: one program's log as another's."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from hil.cli.trace_files import EXIT_NO, file_type, say, told
from hil.trace.convert import convert


@click.command(name="convert", short_help="Turn a log of one program into that of another.")
@click.argument("source", metavar="IN", type=file_type)
@click.argument("target", metavar="OUT", type=file_type)
def command(source: Path, target: Path) -> None:
    """Write the log IN as OUT, in the format that OUT's extension says.

    \b
      .trace    Tidegate's own: all buses
      .log      candump -l and -L, also what it shows on a screen
      .asc      Vector ASC        .blf  Vector BLF        .trc  PEAK TRC (read 1.0, 1.1, 1.3, 2.0, 2.1; written 2.1)
      .btsnoop  Bluetooth HCI packets

    Channel 1 of ASC, BLF and TRC is can0. candump and btsnoop come back byte for byte, the others frame for frame.

    \b
    For example:
      tidegate trace convert drive.blf drive.trace
      tidegate trace convert bench.trace bench.asc

    Exit codes: 0 all is in OUT, 1 IN is damaged, or OUT's format cannot hold it all (what not is told and counted), 2
    IN is of another format, or wrong use.
    """  # noqa: D301 - \b keeps click from filling the table
    with told():
        outcome = convert(source, target)
    for line in outcome.told:
        say(line)
    for what, count in sorted(outcome.losses.counts.items()):
        say(f"{target}: cannot hold {count} x {what}")
    sys.exit(0 if outcome.is_whole and not outcome.has_damage else EXIT_NO)
