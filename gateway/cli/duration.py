"""Layer 9: durations as options and in JSON lines."""

from __future__ import annotations

from typing import Final

import click

from gateway.errors import UsageError
from gateway.notation import duration_ns

MOST_S: Final = 366 * 86_400.0  # longer is a slip of the keyboard, and clocks count in 64 bits
_MAX_CHARS: Final = 40


def seconds_of(told: str | float) -> float:
    """Return the seconds of "250ms", "3s", "10m", or of a number of seconds. Raises: UsageError."""
    if isinstance(told, str) and len(told) > _MAX_CHARS:
        raise UsageError(f"{told[:_MAX_CHARS]!r}... is no duration; write for example '250ms', '3s', '10m'")
    try:
        seconds = duration_ns(told) / 1e9 if isinstance(told, str) else float(told)
    except (ValueError, OverflowError) as error:
        raise UsageError(str(error)) from error
    if not 0 <= seconds <= MOST_S:
        raise UsageError(f"{str(told)[:_MAX_CHARS]!r} is beyond 0s to 366d")
    return seconds


def duration(_context: click.Context, _parameter: click.Parameter, given: str | None) -> float | None:
    """Return the seconds of an option: its `callback`. Raises: BadParameter, which names the option."""
    try:
        return None if given is None else seconds_of(given)
    except UsageError as error:
        raise click.BadParameter(str(error)) from error
