"""Layer 0: text in the cells of a terminal: how wide it is, cut or padded to a width, and in which tone.

Printable text only (`gateway.plain.printable`): what has no width, or moves the cursor, was marked before.
"""

from __future__ import annotations

import unicodedata
from typing import Final, NamedTuple

from gateway.plain import MARK

_PRETTY_UNITS: Final = {"Cel": "°C", "deg": "°", "[kn_i]": "kn", "[g]": "g", "By": "B", "1": ""}


class Style(NamedTuple):
    """Escape sequences, or nothing where there is no colour."""

    bold: str = ""
    dim: str = ""
    good: str = ""
    warn: str = ""
    bad: str = ""
    end: str = ""


PLAIN: Final = Style()
COLOUR: Final = Style("\x1b[1m", "\x1b[2m", "\x1b[32m", "\x1b[33m", "\x1b[31m", "\x1b[0m")


def short_unit(unit: str) -> str:
    """Return a UCUM unit as a label has it: `°C` for `Cel`, nothing for 1."""
    return _PRETTY_UNITS.get(unit, unit)


def cells_of(text: str) -> int:
    """Return how many cells a terminal needs for printable text."""
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def fit(text: str, cells: int) -> str:
    """Return `text` in exactly `cells` cells: padded, or cut with an ellipsis."""
    if cells <= 0:
        return ""
    if cells_of(text) <= cells:
        return text + " " * (cells - cells_of(text))
    kept, used = "", 0
    for letter in text:
        step = cells_of(letter)
        if used + step > cells - 1:
            break
        kept, used = kept + letter, used + step
    return kept + "…" + " " * (cells - used - 1)


def right(text: str, cells: int) -> str:
    """Return `text` in at least `cells` cells, at their right end."""
    return " " * (cells - cells_of(text)) + text


def downgraded(picture: str, encoding: str) -> str:
    """Return the picture in letters that `encoding` has."""
    try:
        picture.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        simple = str.maketrans({"●": "*", "○": "o", "─": "-", "│": "|", "…": "~", MARK: "?", "°": "'"})
        return picture.translate(simple).encode("ascii", "replace").decode("ascii")
    return picture
