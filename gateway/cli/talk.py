"""Layer 9: a conversation with a running gateway: requests with arguments and a token, answers in their order.

{"request": NAME, "args": {...}, "token": TEXT | null} -> {"ok": OBJECT} | {"error": {"type": ..., "message": ...}}

The gateway judges tokens: here one is handed on as it is, and stands in no message.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar

import msgspec

from gateway.cli.client import ANSWER_TIMEOUT_S
from gateway.config import data_dir
from gateway.errors import GatewayUnreachableError, UsageError
from gateway.runtime.doorway import connect

MAX_REQUEST_BYTES: Final = 65_536  # a gateway takes no longer line

_Answer = TypeVar("_Answer")


class Objection(msgspec.Struct, frozen=True):
    """Why the gateway does not do what it was asked."""

    type: str  # of the error, "DeniedError" where authority refuses
    message: str


class _Line(msgspec.Struct, frozen=True):
    ok: msgspec.Raw = msgspec.Raw(b"null")
    error: Objection | None = None


class Conversation:
    """Requests on one connection, each answered before the next."""

    def __init__(self, visitor: socket.socket, answers: BinaryIO, folder: Path, token: str | None) -> None:
        """Take the connection, its reading end, the data folder that it leads to, and the token to act by."""
        self._visitor = visitor
        self._answers = answers
        self._folder = folder
        self._token = token

    def exchange(
        self, request: str, answer: type[_Answer], within_s: float = 0.0, text: bytes = b"", **args: Any
    ) -> _Answer | Objection:
        """Return the answer, or the gateway's objection; `within_s` is how long the gateway itself may take.

        `text` is one more argument, which may be longer than a line.

        Raises: GatewayUnreachableError.
        """
        more = {"text_bytes": len(text)} if text else {}
        line = json.dumps({"request": request, "args": args, "token": self._token, **more}).encode() + b"\n"
        if len(line) > MAX_REQUEST_BYTES:
            return Objection(
                "request", f"{request} would be {len(line):,} bytes; a gateway takes up to {MAX_REQUEST_BYTES:,}"
            )
        told = self._answer_to(line + text, within_s)
        try:
            whole = msgspec.json.decode(told, type=_Line)
            return whole.error or msgspec.json.decode(whole.ok, type=answer)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise GatewayUnreachableError(
                f"the gateway in {self._folder} answers {request!r} as another version would ({error}); "
                "use the `tidegate` that it was started with"
            ) from error

    def ask(self, request: str, answer: type[_Answer], **args: Any) -> _Answer:
        """Return the answer. Raises: UsageError with what the gateway objects to; GatewayUnreachableError."""
        told = self.exchange(request, answer, **args)
        if isinstance(told, Objection):
            raise UsageError(told.message)
        return told

    def _answer_to(self, line: bytes, within_s: float) -> bytes:
        try:
            self._visitor.settimeout(ANSWER_TIMEOUT_S + within_s)
            with contextlib.suppress(ConnectionError):  # one that closed at once may have said why
                self._visitor.sendall(line)
            told = self._answers.readline()
        except OSError as error:
            raise GatewayUnreachableError(f"the gateway in {self._folder} does not answer ({error})") from error
        if not told.endswith(b"\n"):
            raise GatewayUnreachableError(f"the gateway in {self._folder} closed the connection")
        return told


@contextlib.contextmanager
def talking(data: str | None, token: str | None) -> Iterator[Conversation]:
    """Connect to the gateway of a data folder. Raises: GatewayUnreachableError with the next step."""
    folder = data_dir(data)
    with connect(folder) as visitor, visitor.makefile("rb") as answers:
        yield Conversation(visitor, answers, folder, token)


def ask_once(data: str | None, token: str | None, request: str, answer: type[_Answer], **args: Any) -> _Answer:
    """Return the answer to one request. Raises: UsageError, GatewayUnreachableError."""
    with talking(data, token) as gateway:
        return gateway.ask(request, answer, **args)


def json_text(told: Any) -> str:
    """Return an answer as one line of JSON, which may hold what a caller said in half a character."""
    plain = msgspec.to_builtins(told)
    text = json.dumps(plain, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(plain)
    return text
