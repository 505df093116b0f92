"""Layer 9: `tidegate scan`: what is plugged in or in the air, and which profiles fit."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

import click

from gateway.cli import EXIT_NO
from gateway.cli.client import data_option, json_option

if TYPE_CHECKING:
    from gateway.cli.scan_found import Found

BUSES: Final = ("uart", "can", "ble", "spi")
DEFAULT_LISTEN_S: Final = {"uart": 2.0, "can": 5.0, "ble": 5.0, "spi": 0.0}
SURE: Final = 80  # from here on a command to go on with is printed


@click.command(name="scan")
@click.argument("bus", required=False, type=click.Choice(BUSES), metavar="[uart|can|ble|spi]")
@click.option(
    "--listen",
    type=click.FloatRange(min=0, max=600),
    metavar="SECONDS",
    help="How long to listen: on a serial port at each rate [2], on CAN [5], for Bluetooth [5]; 0 opens nothing.",
)
@click.option("--probe", is_flag=True, help="Also read the id registers of SPI chips. Nothing is ever written.")
@click.option("--profile", "more", multiple=True, metavar="FILE", help="A profile of your own to look for as well.")
@json_option
@data_option
@click.pass_context
def command(
    context: click.Context,
    *,
    bus: str | None,
    listen: float | None,
    probe: bool,
    more: tuple[str, ...],
    as_json: bool,
    data: str | None,
) -> None:
    """List serial ports, CAN interfaces, Bluetooth advertisers and SPI chips, each with the profiles that fit.

    The score is a share of 100: above 90 is hardly chance. Ports that a program holds are named and left alone. On the
    others `scan` only listens; opening a serial port raises its DTR line, on which some boards restart: --listen 0
    opens none.

    For example `tidegate scan`, `tidegate scan uart --listen 10`, `tidegate scan spi --probe`.

    Exit 0: something is there. 1: nothing.
    """
    import asyncio

    from gateway.cli.scan_buses import Scan

    scan = Scan(profiles_of(bus, more), data, progress=Progress(quiet=as_json), probe=probe)
    buses = (bus,) if bus else BUSES
    seconds = {each: DEFAULT_LISTEN_S[each] if listen is None else listen for each in buses}
    logging.getLogger().addHandler(logging.NullHandler())  # what a driver has to say stands with its port
    found = asyncio.run(scan.run(seconds))
    if as_json:
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    else:
        _print(found, buses)
    context.exit(0 if found else EXIT_NO)


def profiles_of(bus: str | None, more: Iterable[str]) -> dict[str, str]:
    """Return name and file of the profiles to look for. Raises: UsageError for a file that is not there."""
    from gateway.profile.load import find_profile, shipped_profiles

    found = {name: str(path) for name, path in shipped_profiles().items() if bus in {None, path.parent.parent.name}}
    return found | {name: str(find_profile(name)) for name in more}


def _print(found: Sequence[Found], buses: Iterable[str]) -> None:
    from gateway.cli.scan_found import block

    for each in found:
        click.echo(block(each))
    empty = [bus for bus in buses if not any(each.bus == bus for each in found)]
    if empty:
        click.echo(f"nothing on {', '.join(empty)}; `tidegate doctor` tells what may be missing", err=True)
    free = [each for each in found if each.profiles and not each.claimed]
    best = max(free, key=lambda each: each.profiles[0].score, default=None)
    if best is not None and best.profiles[0].score >= SURE:
        click.echo(f"go on with: tidegate monitor {best.port} --profile {best.profiles[0].name}", err=True)


class Progress:
    """One line on stderr that says what is being waited for, on a terminal only."""

    def __init__(self, *, quiet: bool) -> None:
        self._is_shown = sys.stderr.isatty() and not quiet
        self._width = 0

    def tell(self, text: str) -> None:
        """Show `text` in place of what was there."""
        if self._is_shown:
            shown = text[:78]
            sys.stderr.write(f"\r{shown:{self._width}}")
            sys.stderr.flush()
            self._width = len(shown)

    def end(self) -> None:
        """Wipe the line."""
        if self._is_shown and self._width:
            sys.stderr.write(f"\r{'':{self._width}}\r")
            sys.stderr.flush()
            self._width = 0
