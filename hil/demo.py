"""`tidegate demo`: four simulated devices, a whole gateway in this process, and what it knows, live. Needs nothing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import click
import msgspec

from gateway.api.settings import HttpConfig
from gateway.app import Gateway
from gateway.authority.settings import GrantConfig
from gateway.cells import COLOUR, PLAIN, Style, downgraded
from gateway.config import SiteConfig
from gateway.environment import wants_colour
from gateway.errors import GatewayError, UsageError
from gateway.runtime.peer import own_principal
from gateway.runtime.stopping import limit_stop
from gateway.screen import Screen, size_of
from hil.sim.rig import Rig
from hil.snapshot import EVERYTHING, LineMaker, Observer
from hil.view import render
from hil.writes import write_to_and_fro

DRAW_PERIOD_S: Final = 0.2
LINES_PERIOD_S: Final = 0.25
EVENTS_KEPT: Final = 8
HOST: Final = "127.0.0.1"
PORT: Final = 8080  # of the dashboard, or any that is free


@click.command(name="demo")
@click.option("--data", metavar="DIR", help="Data folder of the gateway [a temporary one].")
@click.option("--seconds", type=click.FloatRange(min=0), help="End by itself after so long.")
@click.option("--plain", is_flag=True, help="Print lines instead of a live view, also on a terminal.")
@click.option("--unplug/--no-unplug", default=True, help="Pull a cable now and then, to see it come back [so].")
@click.option("--write/--no-write", default=True, help="Set a valve and a motor to and fro [so].")
@click.option("--dashboard/--no-dashboard", default=True, help="Serve the dashboard on this machine [so].")
def command(
    *, data: str | None, seconds: float | None, plain: bool, unplug: bool, write: bool, dashboard: bool
) -> None:
    """Watch simulated devices become named values: no hardware, no server, no root.

    A sensor node and a GNSS receiver on real pseudo-terminals, a motor controller on a virtual CAN bus and the
    advertisements of a RuuviTag, read by their profiles as real ones would be. A valve and a motor are set to and fro,
    until you set them yourself, and a cable is pulled every 20 s. The dashboard's address stands below the values. Ends
    with q or Ctrl-C.

    For example `tidegate demo`, or `tidegate demo --plain --seconds 10 | grep pump` for lines.
    """
    with _folder(data) as folder, _quiet_when_nobody_reads():
        live = not plain and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        try:
            with Rig(folder / f"devices-{os.getpid()}", pulls_cable=unplug) as rig:
                site = _granted(rig.site())
                if dashboard and find_spec("starlette") and find_spec("uvicorn"):
                    site = msgspec.structs.replace(site, http=HttpConfig(listen=_free_address()))
                asyncio.run(_run(Gateway(site, folder), rig, seconds, live=live, writes=write))
        except BaseExceptionGroup as errors:
            raise _cause(errors) from errors


def _granted(site: SiteConfig) -> SiteConfig:
    """Return the site with every right for whoever started the demo: it is theirs, and so are its devices."""
    grant = GrantConfig(principal=own_principal(), routes="**", verbs=["read", "write", "admin"])
    return msgspec.structs.replace(site, grants={**site.grants, "demo": grant})


def _free_address() -> str:
    """Return where the dashboard can be: at its port, unless somebody else is there."""
    for port in (PORT, 0):
        with socket.socket() as place, contextlib.suppress(OSError):
            place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            place.bind((HOST, port))
            return f"{HOST}:{place.getsockname()[1]}"
    return f"{HOST}:{PORT}"


def _hint(gateway: Gateway) -> str:
    """Return where else the demo can be looked at."""
    door = "" if gateway.http is None else f"browser: http://{gateway.http.status()['listen']}/    "
    return f"{door}another terminal: tidegate watch --data {gateway.data_dir}"


async def _run(gateway: Gateway, rig: Rig, seconds: float | None, *, live: bool, writes: bool) -> None:
    stop = asyncio.Event()
    screen = Screen(sys.stdout.fileno(), 0, sys.stdout.encoding or "utf-8")
    end = partial(_end, stop, screen)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, end)
    if seconds is not None:
        loop.call_later(seconds, end)
    async with asyncio.TaskGroup() as group:
        working = [
            group.create_task(gateway.run(stop), name="gateway"),
            group.create_task(rig.run(), name="devices"),
        ]
        if writes:
            working.append(group.create_task(write_to_and_fro(gateway), name="writes"))
        try:
            await (_show(gateway, screen, stop, end) if live else _print(gateway, stop))
        finally:
            stop.set()
            for task in working[1:]:
                task.cancel()


def _end(stop: asyncio.Event, screen: Screen) -> None:
    stop.set()
    limit_stop(screen.leave)


async def _show(gateway: Gateway, screen: Screen, stop: asyncio.Event, end: Callable[[], None]) -> None:
    """Draw until `stop`; the terminal is given back whatever happens, also while we are suspended."""
    events: deque[str] = deque(maxlen=EVENTS_KEPT)
    observer = Observer(gateway, f"q ends    {_hint(gateway)}", events)
    loop = asyncio.get_running_loop()
    with _log_to(_Events(events)), _keys(loop, end), _suspendable(loop, screen):
        screen.enter()
        try:
            while not stop.is_set() and not screen.is_lost:
                width, height = size_of(sys.stdout.fileno())
                picture = render(observer.look(), width, height, _style())
                screen.draw(downgraded(picture, sys.stdout.encoding or "ascii"))
                await _sleep_or(stop, DRAW_PERIOD_S)
        finally:
            screen.leave()
    click.echo("the demo has ended; next: tidegate profile list", err=True)


async def _print(gateway: Gateway, stop: asyncio.Event) -> None:
    """Print lines until `stop` or until nobody reads them."""
    maker = LineMaker()
    click.echo(_hint(gateway), err=True)
    loop = asyncio.get_running_loop()
    plain = logging.StreamHandler(sys.stderr)
    with _log_to(plain):
        while not stop.is_set():
            text = "".join(f"{line}\n" for line in maker.lines(gateway.queries.overview(EVERYTHING), loop.time()))
            if text:
                await asyncio.to_thread(_write, text)
            await _sleep_or(stop, LINES_PERIOD_S)


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


async def _sleep_or(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()


class _Events(logging.Handler):
    """Keeps the newest log lines for the foot of the view."""

    def __init__(self, events: deque[str]) -> None:
        super().__init__(logging.INFO)
        self._events = events
        self.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))

    def emit(self, record: logging.LogRecord) -> None:
        self._events.append(self.format(record).splitlines()[0])


@contextlib.contextmanager
def _log_to(handler: logging.Handler) -> Iterator[None]:
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


@contextlib.contextmanager
def _keys(loop: asyncio.AbstractEventLoop, end: Callable[[], None]) -> Iterator[None]:
    """Let `q` end the demo, where there is a keyboard."""
    if not sys.stdin.isatty():
        yield
        return

    def pressed() -> None:
        typed = os.read(0, 64)
        if not typed:
            loop.remove_reader(0)
        elif b"q" in typed.lower():
            end()

    loop.add_reader(0, pressed)
    try:
        yield
    finally:
        loop.remove_reader(0)


@contextlib.contextmanager
def _suspendable(loop: asyncio.AbstractEventLoop, screen: Screen) -> Iterator[None]:
    """Give the terminal back while Ctrl-Z has stopped us."""

    def suspend() -> None:
        screen.leave()
        loop.remove_signal_handler(signal.SIGTSTP)
        os.kill(os.getpid(), signal.SIGTSTP)  # stopped here until SIGCONT
        loop.add_signal_handler(signal.SIGTSTP, suspend)
        screen.enter()

    loop.add_signal_handler(signal.SIGTSTP, suspend)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTSTP)


def _style() -> Style:
    return COLOUR if wants_colour() else PLAIN


@contextlib.contextmanager
def _folder(data: str | None) -> Iterator[Path]:
    if data is not None:
        folder = Path(data).expanduser()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"--data {data}: {error.strerror}") from error
        yield folder
        return
    folder = Path(tempfile.mkdtemp(prefix="tidegate-demo-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _quiet_when_nobody_reads() -> Iterator[None]:
    """End well when the reader of our lines has left, as `tidegate demo | head` does."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is buffered has nowhere to go


def _cause(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the one error that the caller can act on: ours before others, for those follow from it."""
    known, _ = errors.split((GatewayError, BrokenPipeError))
    inner = (known or errors).exceptions[0]
    return _cause(inner) if isinstance(inner, BaseExceptionGroup) else inner
