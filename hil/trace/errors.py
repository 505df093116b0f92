"""What can be wrong with a trace as a whole. A torn tail is none of it: it is what a crash leaves."""

from __future__ import annotations

from pathlib import Path

from gateway.errors import GatewayError


class TraceError(GatewayError, ValueError):
    """A trace that cannot be used; the message begins with FILE:LINE."""

    def __init__(self, path: Path | str, line: int, message: str) -> None:
        super().__init__(f"{path}:{line}: {message}")
        self.path = path
        self.line = line  # from 1
        self.reason = message


class TraceHeaderError(TraceError):
    """No header, or that of another format or version."""


class TraceDamagedError(TraceError):
    """A line that is no record, with records behind it."""


class ForeignError(TraceError):
    """A file that is not of the format that its name says."""
