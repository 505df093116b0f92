"""The DBC files beside the repository, and what cantools says a frame of one means."""

from __future__ import annotations

import math
import random
import zlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import cantools.database
import pytest
from cantools.database.can import Message
from cantools.database.utils import decode_data

from gateway.schema.plan import ABSENT

CAN = Path(__file__).parents[3] / "shared/data/can"
NEEDS_DATA = pytest.mark.skipif(not CAN.is_dir(), reason=f"recorded device data is absent: {CAN}")


def dbc_files() -> list[str]:
    """Return the paths of all DBC files below the data folder."""
    return sorted(str(path.relative_to(CAN)) for path in CAN.rglob("*") if path.suffix.lower() == ".dbc")


@cache
def oracle(file: str, *, strict: bool = True) -> cantools.database.Database | None:
    """Return the file as cantools reads it, or None where it does not; `strict` is cantools' own default."""
    try:
        return cantools.database.load_file(CAN / file, strict=strict)
    except cantools.database.Error:
        return None


def accepted() -> list[str]:
    return [file for file in dbc_files() if oracle(file)]


def doubted() -> list[str]:
    """Return the files that cantools takes only without its checks for overlap and fit."""
    return [file for file in dbc_files() if not oracle(file) and oracle(file, strict=False)]


def rejected() -> list[str]:
    return [file for file in dbc_files() if not oracle(file, strict=False)]


def bodies(message: Message, count: int) -> list[bytes]:
    """Return zeros, ones and `count` random bodies, always the same ones."""
    source = random.Random(zlib.crc32(message.name.encode()))
    return [bytes(message.length), b"\xff" * message.length, *(source.randbytes(message.length) for _ in range(count))]


def meaning(message: Message, body: bytes, *, raw: bool = False) -> dict[str, object]:
    """Return what cantools decodes; an unknown multiplexer value does not stop the other signals, as it does there.

    NaN and infinity are None: JSON has no word for them.
    """
    values: dict[str, object] = {}
    waiting = [message._codecs]
    while waiting:
        node = waiting.pop()
        decoded = decode_data(body, message.length, node["signals"], node["formats"], not raw, not raw, True, True)
        values |= decoded
        for name, cases in node["multiplexers"].items():
            if name in decoded:
                case = cases.get(message._get_mux_number(decoded, name))
                waiting += [case] if case else []
    return {name: _plain(value) for name, value in values.items()}


def _plain(value):
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, int | float) else str(value)


def present(values: dict[str, object]) -> dict[str, object]:
    """Return decoded values without those that are absent or cut off."""
    return {name: value for name, value in values.items() if value is not ABSENT and value is not None}


def same(ours: object, theirs: object) -> bool:
    """Return whether two values agree: numbers within 1e-9 relative, texts exactly."""
    if isinstance(ours, str) or isinstance(theirs, str) or ours is None or theirs is None:
        return ours == theirs
    return math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=0.0)


def differences(ours: dict[str, object], theirs: dict[str, object]) -> list[tuple[str, object, object]]:
    """Return (name, ours, theirs) of everything that does not agree."""
    names = dict.fromkeys([*ours, *theirs])
    missing = object()
    found = ((name, ours.get(name, missing), theirs.get(name, missing)) for name in names)
    return [
        (name, one, other) for name, one, other in found if one is missing or other is missing or not same(one, other)
    ]


def lower_names(names: Iterable[str]) -> dict[str, str]:
    """Return the names an import gives: lower case, without leading underscores, `_2` for the second of its kind."""
    answer: dict[str, str] = {}
    for name in dict.fromkeys(names):
        plain = name.lower().lstrip("_")
        answer[name] = plain if plain not in answer.values() else f"{plain}_2"
    return answer
