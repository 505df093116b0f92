"""Layer 9: what is looked at, and how keys change it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

MAX_FILTER_CHARS: Final = 200

_SEQUENCE: Final = re.compile(rb"\x1b[\[O][0-9;]*[A-Za-z~]")
_NAMES: Final = {
    b"\x1b[A": "up", b"\x1bOA": "up", b"\x1b[B": "down", b"\x1bOB": "down", b"\x1b[5~": "page up",
    b"\x1b[6~": "page down", b"\x1b[H": "home", b"\x1bOH": "home", b"\x1b[1~": "home", b"\x1b[F": "end",
    b"\x1bOF": "end", b"\x1b[4~": "end",
}  # fmt: skip
_CHARACTERS: Final = {
    "\r": "enter", "\n": "enter", "\x1b": "escape", "\x7f": "erase", "\x08": "erase", "\x15": "clear", " ": "page down",
    "k": "up", "j": "down", "g": "home", "G": "end",
}  # fmt: skip


class View(NamedTuple):
    """What is looked at."""

    cursor: int = 0  # row
    filter: str = ""
    typing: str | None = None  # a filter that is being written
    device: str | None = None  # looked at closely; None: everything
    is_paused: bool = False
    has_ended: bool = False


def typed(data: bytes) -> Iterator[str]:
    """Give the keys in what a terminal sent: names of keys, else characters; what it does not know is passed over."""
    place = 0
    while place < len(data):
        match = _SEQUENCE.match(data, place)
        if match:
            if match[0] in _NAMES:
                yield _NAMES[match[0]]
            place = match.end()
            continue
        size = _letter_bytes(data[place])
        letter = data[place : place + size].decode("utf-8", "ignore")
        place += size
        if letter:
            yield letter


def pressed(view: View, key: str, owners: Sequence[str | None], page: int) -> View:
    """Return what is looked at after a key. `owners` are the devices that rows are about, `page` rows are seen."""
    if view.typing is not None:
        return _written(view, key)
    key = _CHARACTERS.get(key, key)
    last = max(len(owners) - 1, 0)
    leap = max(page - 1, 1)
    steps = {"up": -1, "down": 1, "page up": -leap, "page down": leap, "home": -last, "end": last}
    if key in steps:
        return view._replace(cursor=min(max(view.cursor + steps[key], 0), last))
    match key:
        case "q":
            return view._replace(has_ended=True)
        case "p":
            return view._replace(is_paused=not view.is_paused)
        case "/":
            return view._replace(typing=view.filter)
        case "escape" if view.device is None:
            return view._replace(filter="", cursor=0)
        case "d" | "enter" | "escape" if view.device is not None:
            return view._replace(device=None, cursor=0)
        case "d" | "enter":
            return view._replace(device=_owner_near(view.cursor, owners), cursor=0)
    return view


def _written(view: View, key: str) -> View:
    text = view.typing or ""
    match _CHARACTERS.get(key) if key not in {" ", "k", "j", "g", "G"} else None:
        case "enter":
            return view._replace(filter=text, typing=None, cursor=0)
        case "escape":
            return view._replace(typing=None)
        case "erase":
            return view._replace(typing=text[:-1])
        case "clear":
            return view._replace(typing="")
    is_letter = len(key) == 1 and key.isprintable() and len(text) < MAX_FILTER_CHARS
    return view._replace(typing=text + key) if is_letter else view


def _owner_near(cursor: int, owners: Sequence[str | None]) -> str | None:
    """Return the device of a row, else of the next row that has one, else of the last."""
    named = [owner for owner in owners if owner is not None]
    near = next((owner for owner in owners[cursor:] if owner is not None), None)
    return near or (named[-1] if named else None)


def _letter_bytes(first: int) -> int:
    return 4 if first >= 0xF0 else 3 if first >= 0xE0 else 2 if first >= 0xC0 else 1
