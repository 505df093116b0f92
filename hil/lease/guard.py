"""A stream that works as long as its lease does."""

from __future__ import annotations

import inspect
import io
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Final, Protocol, Self

_READS: Final = ("read", "recv", "next", "poll", "in_waiting", "peek")  # how names of methods that only take begin
_FREE: Final = frozenset({"close", "fileno", "isatty", "closed", "cancel_read", "cancel_write"})


class Holds(Protocol):
    """What a guard asks of a lease."""

    def holding(self) -> AbstractContextManager[None]:
        """Keep the target ours for a deed."""
        ...

    def check(self) -> None:
        """Raise unless the target is ours."""
        ...


class Guarded:
    """Any stream, port or bus, fenced: everything but reading and closing counts as writing, also setting a line."""

    _stream: Any
    _lease: Holds

    def __init__(self, stream: object, lease: Holds) -> None:
        object.__setattr__(self, "_stream", stream)
        object.__setattr__(self, "_lease", lease)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._stream, name)
        if name in _FREE or not callable(found):
            return found
        return self._reading(found) if name.startswith(_READS) else self._writing(found)

    def __setattr__(self, name: str, value: object) -> None:
        with self._lease.holding():
            setattr(self._stream, name, value)

    def __iter__(self) -> Iterator[Any]:
        for item in self._stream:
            self._lease.check()
            yield item

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    def _writing(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def fenced(*args: Any, **options: Any) -> Any:
            with self._lease.holding():
                answer = method(*args, **options)
                if not inspect.isawaitable(answer):
                    if isinstance(self._stream, io.BufferedIOBase | io.TextIOBase):
                        self._stream.flush()  # what stays in a buffer would get out unchecked
                    return answer
            return self._awaiting(answer)

        return fenced

    async def _awaiting(self, answer: Awaitable[Any]) -> Any:
        """Do the deed that a coroutine only promised."""
        try:
            with self._lease.holding():
                return await answer
        finally:
            if inspect.iscoroutine(answer):
                answer.close()  # where it was not to be done: it never will be

    def _reading(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def checked(*args: Any, **options: Any) -> Any:
            self._lease.check()
            answer = method(*args, **options)
            if inspect.isawaitable(answer):
                return self._reading_on(answer)
            self._lease.check()
            return answer

        return checked

    async def _reading_on(self, answer: Awaitable[Any]) -> Any:
        found = await answer
        self._lease.check()
        return found
