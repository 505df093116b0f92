"""Layer 9: `tidegate top`."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any, Final

import click

from gateway.cells import COLOUR, PLAIN, Style, downgraded
from gateway.cli.client import data_option, json_option, token_option
from gateway.cli.talk import json_text, talking
from gateway.cli.top.asking import Asker, sample_of
from gateway.cli.top.keys import View, pressed, typed
from gateway.cli.top.picture import Picture, picture, plain
from gateway.cli.top.sample import Shown
from gateway.environment import wants_colour
from gateway.screen import Screen, size_of

EVERY_S: Final = 1.0
LOOK_S: Final = 0.25  # how often the size of the terminal is looked at
KEYBOARD: Final = 0


@click.command(name="top")
@click.option("--once", is_flag=True, help="Print everything once, as plain lines; so does what is no terminal.")
@json_option
@token_option
@data_option
def command(*, once: bool, as_json: bool, token: str | None, data: str | None) -> None:
    """Look at a running gateway: devices, rates, live values, drops, wires, ledger and doors, second by second.

    Keys: q quits, arrows and page keys scroll, / filters by pattern (`pump/*/speed`, or a part of a name), d looks at
    one device closely, p pauses, escape goes back. A gateway that goes away is waited for. NO_COLOR is heeded.

    For example `tidegate top`, `tidegate top --once`, or `tidegate top --json`: an object for each refresh.

    Exit 2 where that is denied, 3 where no gateway answers and nobody waits.
    """
    if as_json:
        _print_json(data, token, once=once)
    elif once or not (sys.stdout.isatty() and sys.stdin.isatty()):
        with talking(data, token) as gateway:
            shown = Shown(sample_of(gateway), None)
        columns = shutil.get_terminal_size().columns
        click.echo(downgraded(plain(shown, columns), sys.stdout.encoding or "ascii"))
    else:
        _look(data, token)


def _print_json(data: str | None, token: str | None, *, once: bool) -> None:
    before = None
    with contextlib.suppress(KeyboardInterrupt), talking(data, token) as gateway:
        while True:
            sample = sample_of(gateway)
            click.echo(json_text(sample.as_json(before)))
            sys.stdout.flush()
            if once:
                return
            before = sample
            time.sleep(EVERY_S)


def _look(data: str | None, token: str | None) -> None:
    asker = Asker(data, token, EVERY_S)
    screen = Screen(sys.stdout.fileno(), KEYBOARD, sys.stdout.encoding or "utf-8")
    style = COLOUR if wants_colour() else PLAIN
    try:
        with _ended_by_signal(), _suspendable(screen):
            screen.enter()
            _loop(asker, screen, style)
    except KeyboardInterrupt:
        pass
    finally:
        screen.leave()
        asker.end()
    if asker.denied is not None:
        raise asker.denied


def _loop(asker: Asker, screen: Screen, style: Style) -> None:
    view, shown = View(), asker.shown()
    while not view.has_ended and not screen.is_lost and asker.denied is None:
        size = size_of(sys.stdout.fileno())
        shown = asker.shown() if not view.is_paused else shown._replace(age_s=shown.age_s + LOOK_S)
        drawn = picture(shown, view, *size, style)
        screen.draw(downgraded(drawn.text, sys.stdout.encoding or "ascii"))
        view = _next(view, drawn, asker, size)
        asker.look_at(view.device)


def _next(view: View, drawn: Picture, asker: Asker, size: tuple[int, int]) -> View:
    """Wait until there is something else to draw; return what is looked at then."""
    while True:
        ready, _, _ = select.select([KEYBOARD, asker.news], [], [], LOOK_S)
        if KEYBOARD in ready:
            data = os.read(KEYBOARD, 1024)
            for key in typed(data):
                view = pressed(view, key, drawn.owners, drawn.page)
            return view if data else view._replace(has_ended=True)
        if asker.news in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(asker.news, 1024)
            if not view.is_paused:
                return view
        if view.is_paused or size_of(sys.stdout.fileno()) != size or asker.shown().lost:
            return view


@contextlib.contextmanager
def _ended_by_signal() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end it as Ctrl-C does, with the screen given back."""

    def end(*_: Any) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _suspendable(screen: Screen) -> Iterator[None]:
    """Give the screen back for as long as Ctrl-Z stops us."""

    def suspend(*_: Any) -> None:
        screen.leave()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, suspend)
        screen.enter()

    before = signal.signal(signal.SIGTSTP, suspend)
    try:
        yield
    finally:
        signal.signal(signal.SIGTSTP, before)
