from __future__ import annotations

import os
import pty
import time

from gateway.screen import ENTER, LEAVE, Screen, Writer, size_of
from tests.waiting import until


def test_a_terminal_that_takes_nothing_does_not_hold_up_who_draws():
    ours, theirs = pty.openpty()
    screen = Screen(theirs, theirs)
    screen.enter()
    start_s = time.monotonic()
    for number in range(200):
        screen.draw(f"{number}\n" * 500)
    screen.leave()
    assert time.monotonic() - start_s < 60  # a terminal that takes nothing would hold it for ever
    os.close(ours)
    os.close(theirs)


def test_the_screen_is_taken_once_and_given_back_once():
    ours, theirs = pty.openpty()
    screen = Screen(theirs, theirs)
    screen.enter()
    screen.enter()
    screen.draw("first\nsecond")
    seen = b""
    while b"second" not in seen:
        seen += os.read(ours, 4096)
    screen.draw("third")
    while b"third" not in seen:
        seen += os.read(ours, 4096)
    screen.leave()
    screen.leave()
    os.write(theirs, b"behind")
    while b"behind" not in seen:
        seen += os.read(ours, 4096)
    assert seen.count(ENTER.encode()) == 1
    assert seen.count(LEAVE.encode()) == 1
    os.close(ours)
    os.close(theirs)


def test_the_keyboard_speaks_again_when_the_screen_is_left():
    import termios

    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    screen = Screen(theirs, theirs)
    screen.enter()
    screen.leave()
    assert termios.tcgetattr(theirs) == before
    os.close(ours)
    os.close(theirs)


def test_a_closed_terminal_is_noticed():
    read, write = os.pipe()
    os.close(read)
    writer = Writer(write)
    writer.show(b"anything")
    assert until(lambda: writer.has_failed)
    os.close(write)


def test_the_size_of_no_terminal_is_the_usual_one():
    read, write = os.pipe()
    assert size_of(read) == (80, 24)
    os.close(read)
    os.close(write)
