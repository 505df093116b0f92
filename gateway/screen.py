"""The terminal: an alternate screen that is always given back, and a writer that never holds up the gateway.

A terminal that does not read (Ctrl-S, a dead ssh) stops only the writer's thread; pictures it missed are left out.
"""

from __future__ import annotations

import contextlib
import os
import termios
import threading
from typing import Any, Final

ENTER: Final = "\x1b[?1049h\x1b[?25l\x1b[2J"  # alternate screen, no cursor, empty
LEAVE: Final = "\x1b[0m\x1b[?25h\x1b[?1049l"
HOME: Final = "\x1b[H"
TO_LINE_END: Final = "\x1b[K"
TO_SCREEN_END: Final = "\x1b[J"
LEAVE_TIMEOUT_S: Final = 0.3


class Writer:
    """Writes the newest text to a descriptor, in a thread of its own."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._changed = threading.Condition()
        self._text: bytes | None = None
        self._ends = False
        self.has_failed = False
        self.has_begun = False  # something was written
        self._thread = threading.Thread(target=self._work, name="screen", daemon=True)
        self._thread.start()

    def show(self, text: bytes) -> None:
        """Take the newest text in place of one that is still waiting."""
        with self._changed:
            self._text = text
            self._changed.notify()

    def end(self, last: bytes) -> None:
        """Write `last` behind what is being written and end; gives up when the terminal takes nothing."""
        with self._changed:
            self._text = last
            self._ends = True
            self._changed.notify()
        self._thread.join(LEAVE_TIMEOUT_S)

    def _work(self) -> None:
        while True:
            with self._changed:
                while self._text is None and not self._ends:
                    self._changed.wait()
                text, self._text = self._text, None
            if text is None:
                return
            try:
                while text:
                    self.has_begun = True
                    text = text[os.write(self._descriptor, text) :]
            except OSError:
                self.has_failed = True
                return


class Screen:
    """The alternate screen of the terminal on `output`; typed characters of `keyboard` are not shown."""

    def __init__(self, output: int, keyboard: int, encoding: str = "utf-8") -> None:
        self._output = output
        self._keyboard = keyboard
        self._encoding = encoding
        self._writer: Writer | None = None
        self._attributes: list[Any] | None = None
        self._is_first = True

    def enter(self) -> None:
        """Take the screen; harmless when it is taken."""
        if self._writer is not None:
            return
        self._silence_keyboard()
        self._writer = Writer(self._output)
        self._is_first = True

    def leave(self) -> None:
        """Give the screen back as it was; harmless when it is not taken."""
        writer, self._writer = self._writer, None
        if writer is None:
            return
        writer.end(LEAVE.encode())
        if self._attributes is not None:
            with contextlib.suppress(termios.error, OSError):
                termios.tcsetattr(self._keyboard, termios.TCSANOW, self._attributes)
            self._attributes = None

    def draw(self, picture: str) -> None:
        """Show a picture of lines, in place of the last."""
        if self._writer is not None:
            self._is_first = self._is_first and not self._writer.has_begun
            lines = (TO_LINE_END + "\r\n").join(picture.split("\n"))
            text = (ENTER if self._is_first else "") + HOME + lines + TO_LINE_END + TO_SCREEN_END
            self._writer.show(text.encode(self._encoding, "replace"))

    @property
    def is_lost(self) -> bool:
        """Whether the terminal is gone."""
        return self._writer is not None and self._writer.has_failed

    def _silence_keyboard(self) -> None:
        try:
            if os.tcgetpgrp(self._keyboard) != os.getpgrp():
                return  # in the background: touching the keyboard would stop us
            self._attributes = termios.tcgetattr(self._keyboard)
            quiet = termios.tcgetattr(self._keyboard)
            quiet[3] &= ~(termios.ECHO | termios.ICANON)
            termios.tcsetattr(self._keyboard, termios.TCSANOW, quiet)
        except (termios.error, OSError):
            self._attributes = None


def size_of(descriptor: int) -> tuple[int, int]:
    """Return columns and lines of the terminal; 80 x 24 where it does not say."""
    try:
        size = os.get_terminal_size(descriptor)
    except OSError:
        return 80, 24
    return (size.columns or 80), (size.lines or 24)
