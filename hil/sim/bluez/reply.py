"""How a method of the simulated BlueZ ends: a reply, a reply later or never, an error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Reply(NamedTuple):
    """The answer of a method."""

    signature: str = ""
    body: list[Any] = []  # noqa: RUF012 - never changed


class Later(NamedTuple):
    """The answer comes after a while, None: never. `finish` does the rest then."""

    delay_s: float | None
    finish: Callable[[], Reply] = Reply


class Failed(Exception):
    """A D-Bus error."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name
        self.text = text


def failed(name: str, text: str) -> Failed:
    """Return one of BlueZ's own errors."""
    return Failed(f"org.bluez.Error.{name}", text)
