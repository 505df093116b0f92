"""Layer 7: what comes, for those who look on: each value with the number of its record, filtered and encoded once.

Those who want the same see the same chunk. Each has a buffer with a limit: what it is too slow for is left out, and a
gap stands in its place; the ledger has it. Older values come from the medium, at the pace of who reads them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Iterator
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from gateway.api.follow.following import Following
from gateway.api.follow.history import History
from gateway.api.follow.stream import Stream
from gateway.api.follow.values import Item, Missing, Span, Stretch, json_bytes
from gateway.errors import RouteError
from gateway.route import RoutePattern, Variant

MOST_BYTES: Final = 1 << 20  # that wait for one reader
AT_ONCE: Final = 512  # records asked for at once
TOGETHER_S: Final = 0.005  # what comes so close together is told together
LOOKING_BACK: Final = 4  # readers of the medium at a time: each has a thread


class WatchPattern:
    """Which routes are meant: a route pattern, for plain values; `...@desired` for a variant, `...@*` for all."""

    def __init__(self, text: str) -> None:
        """Take the pattern. Raises: RouteError."""
        path, at_mark, word = text.partition("@")
        self.text = text
        self._pattern = RoutePattern(path or "*")
        self._variant = word if at_mark else Variant.VALUE.value
        self._known: dict[str, bool] = {}
        if at_mark and word != "*" and word not in Variant.__members__.values():
            raise RouteError(f"{text!r}: no variant {word!r}; one of *, {', '.join(Variant)}")

    def matches(self, route: str) -> bool:
        """Return whether a route is meant; remembered, for there are few."""
        try:
            return self._known[route]
        except KeyError:
            path, _, variant = route.partition("@")
            is_meant = self._pattern.matches(*path.split("/")) and fnmatchcase(variant or "value", self._variant)
            self._known[route] = is_meant
            return is_meant


class Piece(NamedTuple):
    """One item, ready to be sent. `seq`: of its record; None: it stands for none."""

    seq: int | None
    data: bytes


class Chunk(NamedTuple):
    """Pieces for everybody who wants the same, and which numbers they cover."""

    first: int
    last: int
    pieces: list[Piece]
    size: int


class Reader:
    """One who looks on: what waits for it, and what it was too slow for."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.is_closed = False
        self.dropped = 0  # chunks
        self._waiting: deque[Chunk] = deque()
        self._bytes = 0
        self._gap: tuple[int, int] | None = None
        self._news = asyncio.Event()

    def offer(self, chunk: Chunk) -> None:
        """Take a chunk, if there is room for it; never waits."""
        limit = MOST_BYTES if self._gap is None else MOST_BYTES // 2  # not one gap behind another
        if self._bytes + chunk.size > limit and self._waiting:
            self.dropped += 1
            self._gap = (chunk.first if self._gap is None else self._gap[0], chunk.last)
            return
        if self._gap is not None:
            self._put(_gap_chunk(*self._gap, "slow"))
            self._gap = None
        self._put(chunk)

    def close(self) -> None:
        """Nobody reads any more."""
        self.is_closed = True
        self._news.set()

    async def take(self, within_s: float) -> list[Piece] | None:
        """Return what came; [] where nothing did in time, None where nobody reads any more."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._news.wait()
        if self.is_closed:
            return None
        if not self._waiting:
            self._news.clear()
            return []
        chunk = self._waiting.popleft()
        self._bytes -= chunk.size
        if not self._waiting:
            if self._gap is not None:  # nothing came since that would tell it
                self._put(_gap_chunk(*self._gap, "slow"))
                self._gap = None
            else:
                self._news.clear()
        return chunk.pieces

    def _put(self, chunk: Chunk) -> None:
        self._waiting.append(chunk)
        self._bytes += chunk.size
        self._news.set()


class _Group:
    """Those who want the same."""

    def __init__(self, stream: Stream, pattern: WatchPattern) -> None:
        self.readers: set[Reader] = set()
        self._stream = stream
        self._pattern = pattern
        self._at = stream.last_seq
        self._openings = stream.openings
        self._timer: asyncio.TimerHandle | None = None

    def set(self) -> None:
        """Something came."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TOGETHER_S, self.fill)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def fill(self) -> None:
        """Give everybody what came since."""
        self.close()
        stream = self._stream
        if stream.openings != self._openings:
            self._openings = stream.openings
            self._give(_gap_chunk(self._at + 1, max(self._at + 1, stream.opened_seq), "the ledger was opened again"))
            self._at = stream.opened_seq
        while self._at < stream.last_seq:
            stretch = stream.after(self._at, AT_ONCE)
            if stretch is None:
                self._give(_gap_chunk(self._at + 1, stream.from_seq - 1, "slow"))
                self._at = max(self._at, stream.from_seq - 1)
                continue
            self._at = stretch.last
            chunk = chunk_of(stretch, self._pattern)
            if chunk.pieces:
                self._give(chunk)

    def _give(self, chunk: Chunk) -> None:
        for reader in self.readers:
            reader.offer(chunk)


class Feed:
    """One per gateway; does nothing until somebody looks on."""

    def __init__(self, following: Following | None) -> None:
        """Take who follows the ledger; None: there is none, or nobody to tell."""
        self.stream = None if following is None else following.stream
        self._following = following
        self._groups: dict[str, _Group] = {}
        self._looking_back = asyncio.Semaphore(LOOKING_BACK)

    @contextlib.contextmanager
    def joined(self, reader: Reader, pattern: WatchPattern, after: int | None) -> Iterator[None]:
        """Let a reader have everything that comes, and what is held behind `after`; None: only what comes."""
        assert self.stream is not None
        group = self._groups.get(pattern.text)
        if group is None:
            group = self._groups[pattern.text] = _Group(self.stream, pattern)
            self.stream.watch(group)
        group.fill()
        while after is not None and (stretch := self.stream.after(after, AT_ONCE)) is not None:
            reader.offer(chunk_of(stretch, pattern))
            after = stretch.last
        group.readers.add(reader)
        try:
            yield
        finally:
            group.readers.discard(reader)
            if not group.readers and self._groups.get(pattern.text) is group:
                del self._groups[pattern.text]
                self.stream.unwatch(group)
                group.close()

    @contextlib.asynccontextmanager
    async def _history_of(self) -> AsyncIterator[History]:
        assert self._following is not None
        async with self._looking_back:
            history = self._following.history()
            try:
                yield history
            finally:
                history.close()

    async def behind(self, pattern: WatchPattern, after: int) -> AsyncIterator[Chunk]:
        """Give what lies behind `after` on the medium, up to what is held; at the pace of who takes it.

        The last chunk tells how far it came. Raises: LedgerError, OSError.
        """
        assert self.stream is not None
        if self.stream.holds(after):
            return
        async with self._history_of() as history:
            while not self.stream.holds(after):
                stretch = await history.take(after, AT_ONCE)
                if stretch is None:
                    return
                after = stretch.last
                yield chunk_of(stretch, pattern)


def chunk_of(stretch: Stretch, pattern: WatchPattern) -> Chunk:
    """Return what of a stretch is meant, encoded."""
    meant = [item for item in stretch.items if isinstance(item, Missing) or pattern.matches(item.route)]
    pieces = list(map(_piece, meant))
    return Chunk(stretch.first, stretch.last, pieces, sum(len(piece.data) for piece in pieces))


def _piece(item: Item | Missing) -> Piece:
    return Piece(item.seq if isinstance(item, Item) else None, json_bytes(item))


def gap_piece(first: int, last: int, cause: str) -> Piece:
    """Return what stands for numbers that are not told."""
    return Piece(None, json_bytes(Missing(Span(first, max(first, last), cause))))


def _gap_chunk(first: int, last: int, cause: str) -> Chunk:
    piece = gap_piece(first, last, cause)
    return Chunk(first, last, [piece], len(piece.data))
