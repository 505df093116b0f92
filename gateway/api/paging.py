"""Layer 7: pages of lists: a cursor is the key of the last row that was given. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from gateway.errors import UnknownError, UsageError

DEFAULT_LIMIT: Final = 1_000
MOST_LIMIT: Final = 1_000


def limit_of(text: str | None) -> int:
    """Return how many rows are wanted. Raises: UsageError."""
    if text is None:
        return DEFAULT_LIMIT
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MOST_LIMIT and len(text) < 9):
        raise UsageError(f"limit {text[:40]!r} is no number from 1 to {MOST_LIMIT}")
    return int(text)


def page(
    rows: Sequence[dict[str, Any]], key: Callable[[dict[str, Any]], str], after: str | None, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    """Return the rows behind a cursor, and the cursor of the next page; None where there is no more.

    Rows are given in order of their key: one that comes or goes between two pages moves no other.
    """
    ordered = sorted(rows, key=key)
    rest = ordered if after is None else [row for row in ordered if key(row) > after]
    return _cut(rest, key, limit)


def page_as_it_is(
    rows: Sequence[dict[str, Any]], key: Callable[[dict[str, Any]], str], after: str | None, limit: int, *, what: str
) -> tuple[list[dict[str, Any]], str | None]:
    """Return a page of rows whose order means something; `what` is one of them.

    Raises: UnknownError for a cursor whose row is gone.
    """
    keys = [key(row) for row in rows]
    if after is not None and after not in keys:
        raise UnknownError(what, f"after {after[:40]!r} is not there any more; begin again without it")
    return _cut(rows if after is None else rows[keys.index(after) + 1 :], key, limit)


def _cut(
    rest: Sequence[dict[str, Any]], key: Callable[[dict[str, Any]], str], limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    given = list(rest[:limit])
    return given, key(given[-1]) if len(rest) > limit else None
