"""Layer 9: how a command asks a running gateway: one JSON line to its socket, JSON lines back."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from gateway.config import data_dir
from gateway.environment import token as token_of_environment
from gateway.errors import GatewayUnreachableError, UsageError
from gateway.plain import printable
from gateway.runtime.doorway import connect

_Command = TypeVar("_Command", bound=Callable[..., Any])

ANSWER_TIMEOUT_S: Final = 10.0

data_option = click.option(
    "--data",
    metavar="DIR",
    help="Data folder of the gateway [TIDEGATE_DATA, else for `run` the site's, else the user's state folder].",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _token(_context: click.Context, _parameter: click.Parameter, given: str | None) -> str | None:
    """Return the token to hand on. An empty one is handed on too: it must be refused, never ignored."""
    return token_of_environment() if given is None else given


token_option = click.option(
    "--token",
    metavar="TOKEN",
    callback=_token,
    help="Act by this token instead of as the local user [TIDEGATE_TOKEN, which no other user sees].",
)


def root_option(what: str) -> Callable[[_Command], _Command]:
    """Return `--root DIR`: the folder that stands for the file system of a machine; a name that is none is refused."""
    folder = click.Path(exists=True, file_okay=False)
    return click.option("--root", type=folder, default="/", metavar="DIR", help=what)


def ask(data: str | None, token: str | None, request: str, **arguments: str) -> Any:
    """Return the gateway's answer. Raises: GatewayUnreachableError, UsageError with what the gateway objects to."""
    folder = data_dir(data)
    with connect(folder) as visitor:
        return _answer(_lines(_sent(visitor, token, request, arguments), folder), folder)


def follow(data: str | None, token: str | None, pattern: str) -> Iterator[bytes]:
    """Give first the answer of `watch`, then its lines as they come, several at once, each with its line end.

    Raises: GatewayUnreachableError, also when the gateway ends; UsageError.
    """
    folder = data_dir(data)
    with connect(folder) as visitor:
        lines = _lines(_sent(visitor, token, "watch", {"pattern": pattern}), folder)
        first, _, rest = next(lines).partition(b"\n")
        yield json.dumps(_checked(first)).encode()
        visitor.settimeout(None)
        if rest:
            yield rest
        yield from lines
    raise GatewayUnreachableError(f"the gateway in {folder} has ended")


def _sent(visitor: socket.socket, token: str | None, request: str, arguments: dict[str, str]) -> socket.socket:
    visitor.settimeout(ANSWER_TIMEOUT_S)
    try:
        asked = {"request": request, **arguments, "token": token}
        visitor.sendall(json.dumps(asked).encode() + b"\n")
    except OSError as error:  # a broken pipe to the gateway is not one to who reads our output
        raise GatewayUnreachableError(f"the gateway went away ({error.strerror or error})") from error
    return visitor


def _lines(visitor: socket.socket, folder: Path) -> Iterator[bytes]:
    """Give whole lines, as many as came at once."""
    pending = b""
    while True:
        try:
            chunk = visitor.recv(262_144)
        except (TimeoutError, ConnectionError) as error:
            raise GatewayUnreachableError(f"the gateway in {folder} does not answer ({error})") from error
        if not chunk:
            return
        whole, end, pending = (pending + chunk).rpartition(b"\n")
        if end:
            yield whole + end


def _answer(lines: Iterator[bytes], folder: Path) -> Any:
    for line in lines:
        return _checked(line)
    raise GatewayUnreachableError(f"the gateway in {folder} closed the connection")


def _checked(line: bytes) -> Any:
    answer = json.loads(line)
    if "error" in answer:
        raise UsageError(answer["error"]["message"])
    return answer["ok"]


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """Return rows as text in columns, without anything a terminal would obey."""
    rows = [tuple(map(printable, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
