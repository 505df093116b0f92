"""Layer 9: `tidegate run`."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from gateway.cli.client import data_option
from gateway.cli.logs import begin_logging, format_wanted
from gateway.config import SiteConfig, data_dir, load_site, located, site_of_arguments
from gateway.errors import ConfigError, UsageError
from gateway.notation import duration_ns
from gateway.runtime.notify import Notifier
from gateway.runtime.stopping import limit_stop

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from gateway.app import Gateway

COALESCE_MOST_S: Final = 0.1
SWITCH_S: Final = 0.0005  # a command goes from loop to ledger's thread and back: under load each change may take this


@click.command(name="run")
@click.argument("what", nargs=-1, metavar="SITE.toml | NAME=PROFILE@PORT ...")
@click.option(
    "--coalesce",
    metavar="DURATION",
    default="2ms",
    help="How long a wake-up may wait for more [2ms]; 0ms for the lowest latency, at several times the CPU per frame.",
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    help="Log lines for people, or a JSON object a line [json under systemd, else text].",
)
@data_option
def command(what: tuple[str, ...], coalesce: str, log_format: str | None, data: str | None) -> None:
    """Run a gateway until interrupted: the devices of a site file, or those named on the command line.

    For example `tidegate run gps=nmea-gnss@/dev/ttyACM0 pump=pump.dbc@can0`. NAME may be left out. State changes are
    logged on stderr. SIGHUP, or `tidegate reload`, takes up a changed site file or
    profile. Exit 2 for a site or profile that is wrong or a driver that is missing, 3 where there can be no
    port.
    """
    form = format_wanted(log_format, sys.stderr)
    begin_logging(form)
    site, folder = site_of(what)
    gateway = _wired(site, folder, what, data, _seconds(coalesce))
    greet = log.info if form == "json" else _greet
    asyncio.run(run_until_signal(gateway, lambda: greet(_greeting(gateway, site))))


def _greet(greeting: str) -> None:
    click.echo(greeting, err=True)


def _greeting(gateway: Gateway, site: SiteConfig) -> str:
    ports = {device.port for device in site.devices.values()}
    what = f"{_count(len(site.devices), 'device')} on {_count(len(ports), 'port')}"
    lines = [f"{gateway.name}: {what}; see values with: tidegate watch --data {gateway.data_dir}"]
    return "\n".join(lines)


async def run_until_signal(gateway: Gateway, greet: Callable[[], None]) -> None:
    """Run until SIGTERM or SIGINT; then everything is closed within 2 s. Greets once a signal would be heard."""
    stop = asyncio.Event()

    def end() -> None:
        stop.set()
        limit_stop()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    notifier = Notifier()
    loop.add_signal_handler(signal.SIGHUP, gateway.reloader.hang_up)
    gateway.reloader.on_begun, gateway.reloader.on_done = notifier.reloading, notifier.ready
    sys.setswitchinterval(SWITCH_S)
    gc.freeze()  # what is there now stays; looking at it again and again would hold the loop longer than a turn
    await gateway.run(stop, on_ready=greet, beside=notifier.run(gateway.summary))


def site_of(what: tuple[str, ...]) -> tuple[SiteConfig, Path | None]:
    """Return the site that the arguments mean, and the folder of its file. Raises: UsageError, ConfigError."""
    if not what:
        raise UsageError("nothing to run; give a site file, or NAME=PROFILE@PORT, or try `tidegate demo`")
    if len(what) == 1 and _is_file(what[0]):
        return load_site(what[0]), Path(what[0]).parent
    return site_of_arguments(what), None


def _is_file(text: str) -> bool:
    return (text.endswith(".toml") and "@" not in text) or Path(text).is_file()


def _wired(
    site: SiteConfig, folder: Path | None, what: tuple[str, ...], data: str | None, coalesce_s: float
) -> Gateway:
    from gateway.app import Gateway

    file = None if folder is None else Path(what[0])
    try:
        return Gateway(site, data_dir(data, site), file=file, coalesce_s=coalesce_s)
    except ConfigError as error:
        if folder is None:
            raise UsageError("; ".join(f"{each.key}: {each.message}" for each in error.problems)) from error
        raise ConfigError(located(Path(what[0]), error.problems)) from error


def _seconds(text: str) -> float:
    try:
        seconds = duration_ns(text) / 1e9
    except ValueError as error:
        raise UsageError(f"--coalesce: {error}") from error
    if seconds > COALESCE_MOST_S:
        raise UsageError(f"--coalesce: {text} would make every value late; at most {COALESCE_MOST_S * 1e3:g}ms")
    return seconds


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
