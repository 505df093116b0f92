"""Layer 7: one HTTP request and what it is answered with, checked where it comes in."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any, Final, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request

from gateway.api.http.problems import Problem
from gateway.authority.decision import Caller
from gateway.notation import duration_ns

JSON: Final = "application/json"
_Body = TypeVar("_Body")


class Answer(msgspec.Struct, frozen=True):
    """What a request is answered with."""

    told: Any  # JSON-ready, or bytes of `media_type`
    status: int = 200
    headers: dict[str, str] = {}
    media_type: str = JSON

    def body(self) -> bytes:
        """Return the bytes. Numbers beyond 64 bits (long BCD) are written out, where the fast encoder gives up."""
        if isinstance(self.told, bytes):
            return self.told
        try:
            return msgspec.json.encode(self.told)
        except OverflowError:
            return json.dumps(self.told, separators=(",", ":"), ensure_ascii=False).encode()


class Call:
    """One request, by somebody who was let in."""

    def __init__(self, request: Request, caller: Caller, max_body: int) -> None:
        """Take the request and in whose name it speaks; `max_body` is in bytes."""
        self.caller = caller
        self.request = request
        self._max_body = max_body

    def part(self, name: str) -> str:
        """Return a part of the path."""
        text: str = self.request.path_params[name]
        return text

    def query(self, name: str) -> str | None:
        """Return a parameter of the query, None where it is not given."""
        return self.request.query_params.get(name)

    def flag(self, name: str) -> bool:
        """Return a parameter that is true or false. Raises: Problem."""
        text = self.query(name)
        if text not in {None, "true", "false"}:
            raise Problem(400, "malformed", f"{name} is true or false, not {text[:40]!r}")
        return text == "true"

    def check_query(self, known: Collection[str]) -> None:
        """Raises: Problem for a parameter that nobody reads, or that is given twice."""
        given = [name for name, _ in self.request.query_params.multi_items()]
        for name in given:
            if name not in known:
                options = ", ".join(known) or "none"
                raise Problem(400, "malformed", f"no parameter {name[:40]!r} here; there are: {options}")
            if given.count(name) > 1:
                raise Problem(400, "malformed", f"{name} is given more than once")

    async def body(self, shape: type[_Body], media_type: str = JSON) -> _Body:
        """Return the body. Raises: Problem."""
        raw = await self.raw(media_type)
        try:
            return msgspec.json.decode(raw, type=shape)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise Problem(400, "malformed", str(error)) from error

    async def raw(self, *media_types: str, most: int | None = None) -> bytes:
        """Return the body's bytes; one that does not come in time ends the connection. Raises: Problem."""
        limit = most or self._max_body
        said = self.request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if said not in media_types:
            raise Problem(415, "media_type", f"the body is {' or '.join(media_types)}, not {said[:40]!r}")
        coding = self.request.headers.get("content-encoding", "identity").strip().lower()
        if coding != "identity":
            raise Problem(415, "media_type", f"a body comes as it is here, not as {coding[:40]!r}")
        length = self.request.headers.get("content-length", "0")
        if length.isdigit() and int(length[:19]) > limit:
            raise _too_large(limit)
        parts, size = [], 0
        try:
            async for part in self.request.stream():
                size += len(part)
                if size > limit:
                    raise _too_large(limit)
                parts.append(part)
        except ClientDisconnect:
            raise Problem(400, "malformed", "the body was cut") from None
        return b"".join(parts)


def _too_large(limit: int) -> Problem:
    return Problem(413, "too_large", f"a body has at most {limit:,} bytes here")


def seconds_of(name: str, told: float | str | None) -> float | None:
    """Return a number of seconds, or a duration as text, in seconds. Raises: Problem."""
    if isinstance(told, str):
        try:
            return duration_ns(told) / 1e9
        except ValueError as error:
            raise Problem(400, "malformed", f"{name}: {error}") from error
    if told is not None and not 0 <= told <= 1e9:
        raise Problem(400, "malformed", f"{name} is a number of seconds, or a duration such as '2s'")
    return told
