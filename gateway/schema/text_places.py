"""Layer 2: where a field's text stands in a body: the columns of csv, the keys of kv, the codes of obis; both ways.

A body is split once into a `Sheet`; every field then picks its text by a function made when the profile was compiled.
What the text means is not here (`text_types`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from gateway.errors import EncodeError, UsageError
from gateway.schema.spec import SENTENCE_LETTERS, FieldSpec, MessageSpec
from gateway.schema.text_types import BadText, parse_number

Sheet = list[str] | dict[str, str]  # csv: columns; kv, obis: key or code -> text
Pick = Callable[[Sheet], str | None]  # None: the sheet ended before it; "": sent empty, or key or code not sent
Split = Callable[[str], Sheet]

TALKER_LETTERS: Final = 2  # NMEA 0183: two letters of talker before the three of the sentence formatter
MAX_COLUMNS: Final = 4096  # of a csv line; bounds what building a body may take
MBUS_CHANNELS: Final = range(1, 5)  # DSMR P1 4.0, 6.3 to 6.6: four M-Bus channels, written 0-n
IDENTIFICATION: Final = "XXX5\r\n\r\n"  # first line of a telegram of no maker (IEC 62056-21, 6.3.2), and the empty one
_BLANKS: Final = " \t\r\n"

_IN_PAIR: Final = "=:\t"
_BETWEEN_PAIRS: Final = frozenset({";", "|", "&"})  # never between key and value

_pair = re.compile(r"\s*([^=:\t]+?)\s*[=:](.*)", re.DOTALL).fullmatch  # "T=21.5"
_choice = re.compile(
    r"\s*(?P<code>\S+?)(?:\s+if\s+(?P<kind>\S+?)\s*=\s*(?P<value>-?[0-9]+))?\s*",
).fullmatch


def splitter_of(spec: MessageSpec) -> Split:
    """Return the function that splits a body (decoded as Latin-1) of this message's format. Raises: UsageError."""
    if not spec.separator:
        raise UsageError("`separator` is empty; write for example ','")
    if spec.format == "csv":
        separator = latin(spec.separator)
        return lambda text: text.rstrip("\r\n").split(separator)
    if spec.format == "obis":
        return split_obis
    separator = latin(spec.separator)
    return lambda text: split_kv(text, separator)


def written_marks(spec: MessageSpec) -> tuple[str, str]:
    """Return what is written between key and value and what between entries: VE.Direct's where nothing is declared."""
    if spec.separator in _BETWEEN_PAIRS:
        return "=", spec.separator
    return "\t" if spec.separator == "," else spec.separator, "\r\n"


def latin(text: str) -> str:
    """Return profile text as it looks in a body decoded as Latin-1."""
    return text.encode().decode("latin-1")


def split_kv(text: str, separator: str) -> dict[str, str]:
    """Return key -> value; the first of a repeated key counts; what has no key and value says nothing.

    A line is one entry, `separator` (or a tab, as VE.Direct has it) between key and value; or it is several, like
    "T=21.5,H=40" or "T:21.5;H:40", with `separator` between them.
    """
    found: dict[str, str] = {}
    for line in text.split("\n"):
        for key, value in _entries(line, separator):
            found.setdefault(key.strip(_BLANKS), value.strip(_BLANKS))
    return found


def _entries(line: str, separator: str) -> list[tuple[str, str]]:
    if separator == "," and "\t" in line:
        separator = "\t"
    pieces = line.split(separator)
    if separator not in _IN_PAIR and _pair(pieces[0]):
        return [found.group(1, 2) for found in map(_pair, pieces) if found]  # type: ignore[misc]  # two groups
    key, between, value = line.partition(separator)
    return [(key, value)] if between else []


def split_obis(text: str) -> dict[str, str]:
    """Return code -> text of its last parenthesis, unit cut off; the first of a repeated code counts.

    A line that begins with "(" goes on with the code before it: DSMR 2.2 puts the gas volume there.
    """
    found: dict[str, str] = {}
    current = ""
    is_first = False
    for line in text.split("\n"):
        code, parenthesis, rest = line.strip(_BLANKS).partition("(")
        if not parenthesis or not rest.endswith(")"):
            current = ""
            continue
        if code:
            current = code
            is_first = code not in found
        if current and is_first:
            found[current] = rest[:-1].rpartition("(")[2].partition("*")[0]
    return found


def pick_of(spec: FieldSpec, message: MessageSpec) -> Pick:
    """Return the function that finds a scalar field's text.

    Joined columns are null as soon as one is empty, except for `text`. Raises: UsageError for a field without a place.
    """
    if message.format == "csv":
        if spec.column == "talker":
            return lambda sheet: sheet[0][:TALKER_LETTERS] if sheet else None  # type: ignore[index]
        columns = columns_of(spec)
        return (
            _pick_column(columns[0]) if len(columns) == 1 else _pick_columns(columns, joins_empty=spec.type == "text")
        )
    if message.format == "obis":
        return _pick_code(_codes(spec))
    return _pick_key([latin(key) for key in _keys(spec)])


def columns_of(spec: FieldSpec) -> list[int]:
    """Return the csv columns of a scalar field. Raises: UsageError."""
    columns = spec.columns if spec.columns is not None else [spec.column]
    if not columns or not all(isinstance(column, int) and 0 <= column < MAX_COLUMNS for column in columns):
        raise UsageError(f"field {spec.name or '(unnamed)'} needs `column` or `columns`, from 0 to {MAX_COLUMNS - 1}")
    return [column for column in columns if isinstance(column, int)]


def first_key(spec: FieldSpec, message: MessageSpec) -> str:
    """Return the key or code a field is written under: the first of its list."""
    return _codes(spec)[0][0] if message.format == "obis" else _keys(spec)[0]


def keys_of(spec: FieldSpec, message: MessageSpec) -> set[str]:
    """Return every key or code that a field reads, as it looks in a body decoded as Latin-1."""
    if message.format == "obis":
        return {code for choice in _codes(spec) for code in choice[:2] if code}
    return {latin(key) for key in _keys(spec)}


def _keys(spec: FieldSpec) -> list[str]:
    keys = [spec.key] if isinstance(spec.key, str) else spec.key
    if not keys:
        raise UsageError(f"field {spec.name or '(unnamed)'} needs `key`")
    return keys


_Choice = tuple[str, str | None, int]  # code; code and value that say what kind of meter it is


def _codes(spec: FieldSpec) -> list[_Choice]:
    """Return the codes in order of preference.

    "0-n:24.2.1 if 0-n:24.1.0 = 3" stands for channels 1 to 4, as the DSMR specification writes it, of those whose
    device type, where it is sent, is 3.
    """
    choices: list[_Choice] = []
    for text in [spec.code] if isinstance(spec.code, str) else spec.code or []:
        found = _choice(text)
        if found is None:
            raise UsageError(f"{text!r} is no code; write '1-0:1.8.1' or '0-n:24.2.1 if 0-n:24.1.0 = 3'")
        code, kind, value = found["code"], found["kind"], int(found["value"] or 0)
        if "-n:" not in code:
            choices.append((code, kind, value))
            continue
        for channel in MBUS_CHANNELS:
            of = f"-{channel}:"
            choices.append((code.replace("-n:", of), kind and kind.replace("-n:", of), value))
    if not choices:
        raise UsageError(f"field {spec.name or '(unnamed)'} needs `code`")
    return choices


def _pick_column(column: int) -> Pick:
    return lambda sheet: sheet[column] if column < len(sheet) else None  # type: ignore[index]


def _pick_columns(columns: list[int], *, joins_empty: bool) -> Pick:
    last = max(columns)

    def pick(sheet: Sheet) -> str | None:
        if last >= len(sheet):
            return None
        parts = [sheet[column] for column in columns]  # type: ignore[index]
        return "".join(parts) if joins_empty or all(parts) else ""

    return pick


def _pick_key(keys: list[str]) -> Pick:
    if len(keys) == 1:
        key = keys[0]
        return lambda sheet: sheet.get(key, "")  # type: ignore[union-attr]

    def pick(sheet: Sheet) -> str | None:
        for key in keys:
            if key in sheet:
                return sheet[key]  # type: ignore[call-overload]
        return ""

    return pick


def _pick_code(choices: list[_Choice]) -> Pick:
    if len(choices) == 1 and choices[0][1] is None:
        return _pick_key([choices[0][0]])

    def pick(sheet: Sheet) -> str | None:
        assert isinstance(sheet, dict)
        for code, kind, value in choices:
            if code in sheet and (kind is None or _is_kind(sheet.get(kind), value)):
                return sheet[code]
        return ""

    return pick


def _is_kind(text: str | None, value: int) -> bool:
    if not text:
        return True
    try:
        return parse_number(text) == value
    except BadText:
        return False


class Draft:
    """A body being written."""

    def __init__(self, message: MessageSpec) -> None:
        self._message = message
        self._columns: dict[int, str] = {}
        self._entries: dict[str, str] = {}
        self._talker: str | None = None
        self._width = 0

    def reserve(self, width: int) -> None:
        """Let a csv body have at least `width` columns."""
        self._width = max(self._width, width)

    def put_column(self, column: int, text: str) -> None:
        """Write one csv column. Raises: EncodeError for text that cannot stand there, or beside what stands there."""
        forbidden = {self._message.separator, "\r", "\n"} | (set("*$!\\") if self._message.when.sentence else set())
        _require_clean(text, forbidden)
        if self._columns.setdefault(column, text) != text:
            raise EncodeError(f"column {column} is written twice, as {self._columns[column]!r} and as {text!r}")

    def put_talker(self, talker: str) -> None:
        """Write the two letters before the sentence formatter. Raises: EncodeError."""
        if len(talker) != TALKER_LETTERS or not talker.isascii() or not talker.isalnum() or talker[0] == "P":
            raise EncodeError(f"{talker!r} is no talker: two letters, the first not P")
        self._talker = talker

    def put_entry(self, key: str, text: str, unit: str) -> None:
        """Write one kv line or obis code. Raises: EncodeError for text that cannot stand there."""
        if self._message.format == "obis":
            _require_clean(text, {"(", ")", "*", "\r", "\n"})
            text = f"({text}*{unit})" if unit else f"({text})"
        else:
            _require_clean(text, {"\r", "\n", written_marks(self._message)[1]})
            if text != text.strip(_BLANKS):
                raise EncodeError(f"{text!r} begins or ends with a blank, which would be lost")
        if self._entries.setdefault(key, text) != text:
            raise EncodeError(f"{key} is written twice, as {self._entries[key]} and as {text}")

    def body(self) -> bytes:
        """Return the body. Raises: EncodeError if `when` would not hold."""
        if self._message.format == "csv":
            text = self._csv()
        else:
            self._require_fact()
            if self._message.format == "obis":
                text = IDENTIFICATION + "".join(f"{code}{value}\r\n" for code, value in self._entries.items())
            else:
                between, behind = written_marks(self._message)
                text = behind.join(f"{key}{between}{value}" for key, value in self._entries.items())
        return text.encode()

    def _csv(self) -> str:
        columns = dict(self._columns)
        sentence = self._message.when.sentence
        if sentence is not None and len(sentence) > SENTENCE_LETTERS:
            columns.setdefault(0, sentence)
        elif sentence is not None and 0 not in columns:
            if self._talker is None:
                raise EncodeError(f"talker: no value; the sentence {sentence} needs two letters of address before it")
            columns[0] = self._talker + sentence
        elif sentence is None and self._talker is not None and not columns.get(0, "").startswith(self._talker):
            raise EncodeError(f"talker: {self._talker!r} does not begin column 0, {columns.get(0, '')!r}")
        return self._message.separator.join(columns.get(i, "") for i in range(max([self._width - 1, *columns]) + 1))

    def _require_fact(self) -> None:
        has = self._message.when.has
        if has is not None and has not in self._entries:
            raise EncodeError(f"the message is told by {has}, but no value was given for it")


def _require_clean(text: str, forbidden: set[str]) -> None:
    for mark in forbidden:
        if mark in text:
            raise EncodeError(f"{text!r} holds {mark!r}, which ends a field of this format")
