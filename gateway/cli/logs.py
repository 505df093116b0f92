"""Layer 9: what a gateway logs: lines for people, or JSON for a journal; never a flood, and never a secret.

{"t": "2026-11-28T18:36:30.123Z", "level": "warning", "logger": "gateway.runtime.reloading", "message": "...",
 "event": "%s refused, nothing was changed: %s", "suppressed": 12, "exception": "Traceback ..."}

`event` is the template: what all messages of one kind share. `suppressed` messages of it came since the last one, and
were not written. A token stands in no line, whoever logged it.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import re
import sys
import threading
import time
from typing import Any, Final, Literal, TextIO

from gateway.environment import variable
from gateway.plain import printable

Format = Literal["text", "json"]

BURST: Final = 30  # messages of one template that are written ...
WINDOW_S: Final = 10.0  # ... within this time; further ones are counted
MAX_TEMPLATES: Final = 1_024  # that are counted apart; those beyond share one count
MAX_CHARS: Final = 8_192  # of one message

_TOKEN: Final = re.compile(r"tg1\.[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]*)?")
_CREDENTIALS: Final = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9+/=._~-]+")
_OTHERS: Final = "(others)"


def format_wanted(asked: str | None, stream: TextIO) -> Format:
    """Return how to log: as asked, else JSON where a journal takes it (systemd.exec(5), JOURNAL_STREAM).

    A terminal that inherited the variable is a terminal still.
    """
    if asked is not None:
        return "json" if asked == "json" else "text"
    return "json" if variable("JOURNAL_STREAM") is not None and not stream.isatty() else "text"


def begin_logging(form: Format, stream: TextIO | None = None) -> None:
    """Let everything that is logged from now on go to stderr."""
    handler = LimitedHandler(stream or sys.stderr, Limiter())
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def redacted(text: str) -> str:
    """Return a text without tokens and credentials."""
    return _CREDENTIALS.sub(r"\1 ...", _TOKEN.sub("tg1...", text))


class Limiter:
    """Which messages are written: so many of one template within a window. Pure; the caller tells the time."""

    def __init__(self, burst: int = BURST, window_s: float = WINDOW_S) -> None:
        """Take how many in how many seconds."""
        self._burst, self._window_s = burst, window_s
        self._windows: dict[str, list[float]] = {}  # template -> when its window began, written, held back

    def take(self, template: str, now_s: float) -> int | None:
        """Return how many of this template were held back before this one is written; None: it is held back too."""
        if template not in self._windows and len(self._windows) >= MAX_TEMPLATES:
            self._forget(now_s)
            template = template if len(self._windows) < MAX_TEMPLATES else _OTHERS
        window = self._windows.setdefault(template, [now_s, 0, 0])
        held = 0
        if now_s - window[0] >= self._window_s:
            held = int(window[2])
            window[:] = [now_s, 0, 0]
        if window[1] >= self._burst:
            window[2] += 1
            return None
        window[1] += 1
        return held

    def due(self, now_s: float, *, is_end: bool = False) -> list[tuple[str, int]]:
        """Return templates whose window is over with how many were held back; each is told once."""
        over = [
            (template, window)
            for template, window in self._windows.items()
            if window[2] and (is_end or now_s - window[0] >= self._window_s)
        ]
        found = [(template, int(window[2])) for template, window in over]
        for _, window in over:
            window[:] = [now_s, 0, 0]
        return found

    def _forget(self, now_s: float) -> None:
        for template in [each for each, window in self._windows.items() if now_s - window[0] >= self._window_s]:
            if not self._windows[template][2]:
                del self._windows[template]


class LimitedHandler(logging.StreamHandler[TextIO]):
    """Writes what its limiter lets through, and what it held back when the window is over."""

    def __init__(self, stream: TextIO, limiter: Limiter) -> None:
        """Take where it goes."""
        super().__init__(stream)
        self._limiter = limiter
        self._timer: threading.Timer | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or count it. Called with the handler's lock held."""
        now_s = time.monotonic()
        held = self._limiter.take(template_of(record), now_s)
        self._tell(now_s)
        if held is None:
            if self._timer is None:
                self._timer = threading.Timer(WINDOW_S, self._time_is_over)
                self._timer.daemon = True
                self._timer.start()
            return
        record.suppressed = held
        super().emit(record)

    def close(self) -> None:
        """Tell what was held back, and end."""
        with self.lock or threading.RLock():
            self._tell(time.monotonic(), is_end=True)
            if self._timer is not None:
                self._timer.cancel()
        super().close()

    def _time_is_over(self) -> None:
        with self.lock or threading.RLock():
            self._timer = None
            self._tell(time.monotonic(), is_end=True)

    def _tell(self, now_s: float, *, is_end: bool = False) -> None:
        for template, count in self._limiter.due(now_s, is_end=is_end):
            told = logging.LogRecord(
                __name__, logging.WARNING, "", 0, "%d messages were not written: %s", (count, template), None
            )  # fmt: skip
            told.suppressed = count
            super().emit(told)


def template_of(record: logging.LogRecord) -> str:
    """Return what messages of one kind share."""
    return f"{record.name}: {str(record.msg)[:200]}"


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        instant = dt.datetime.fromtimestamp(record.created, dt.UTC)
        told: dict[str, Any] = {
            "t": instant.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redacted(message_of(record)),
            "event": redacted(str(record.msg)[:200]),
        }
        if count := getattr(record, "suppressed", 0):
            told["suppressed"] = count
        if record.exc_info:
            told["exception"] = redacted(self.formatException(record.exc_info))[-MAX_CHARS:]
        return json.dumps(told)  # ASCII: half a character of a device breaks no line


class TextFormatter(logging.Formatter):
    """A line for people; further lines of a message are indented."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line or lines."""
        when = time.strftime("%H:%M:%S", time.localtime(record.created))
        lines = message_of(record).split("\n")
        if count := getattr(record, "suppressed", 0):
            lines[-1] += f" ({count} more like it were not written)"
        if record.exc_info:
            lines += self.formatException(record.exc_info).split("\n")
        return redacted(f"{when} " + "\n    ".join(map(printable, lines)))


def message_of(record: logging.LogRecord) -> str:
    """Return what a record says, also where its arguments do not fit."""
    try:
        text = record.getMessage()
    except (TypeError, ValueError):
        text = f"{record.msg} {record.args}"
    return text if len(text) <= MAX_CHARS else f"{text[:MAX_CHARS]}..."
