"""Layer 3: raw TOML data held against the document types, every difference reported at once.

`msgspec.convert` stops at the first mistake and knows no line; this walk follows the same types (`msgspec.inspect`),
reports everything, puts parameters in, and returns the data without its wrong parts, so that later checks can go on.
"""

from __future__ import annotations

import datetime as dt
import functools
import math
from collections.abc import Iterable
from typing import Any, Final

from msgspec import inspect

from gateway.profile.document import Document
from gateway.profile.params import Parameters, looks_like_sum, refers, sum_of
from gateway.profile.positions import Path
from gateway.spelling import did_you_mean

BAD: Final = object()  # what a wrong value becomes; left out of the tables around it
_INT_MIN: Final = -(1 << 63)
_INT_MAX: Final = (1 << 64) - 1
_MAX_DURATION: Final = 20  # characters; also keeps the number behind it small
_NAMES: Final[dict[type, str]] = {
    inspect.IntType: "an integer",
    inspect.FloatType: "a number",
    inspect.StrType: "text",
    inspect.BoolType: "true or false",
    inspect.ListType: "a list",
    inspect.DictType: "a table",
    inspect.StructType: "a table",
}


def walk(document: Document, raw: Any, model: Any, path: Path = (), parameters: Parameters | None = None) -> Any:
    """Return `raw`, found at `path` of `document`, without its wrong parts and with parameters put in.

    Everything wrong is reported in `document`. The result converts to `model` unless required parts are missing;
    `BAD` stands for a whole that cannot be used.
    """
    return _Walk(document, parameters).value(raw, _type_of(model), path)


@functools.cache  # it takes longer than the walk, and a gateway reads many profiles
def _type_of(model: Any) -> inspect.Type:
    return inspect.type_info(model)


def _is_internal(kind: inspect.Type) -> bool:
    """Return whether a field of a document is set by us and never written in a file."""
    return isinstance(kind, inspect.Metadata) and bool((kind.extra or {}).get("internal"))


class _Walk:
    def __init__(self, document: Document, parameters: Parameters | None) -> None:
        self._document = document
        self._parameters = parameters

    def value(self, raw: Any, kind: inspect.Type, path: Path, *, style: str = "text") -> Any:
        """Return `raw` as `kind`, or BAD. `style` says what a string here stands for: text, hex, int or units."""
        if isinstance(kind, inspect.Metadata):
            is_hex = bool((kind.extra or {}).get("hex"))
            return self.value(raw, kind.type, path, style="hex" if is_hex else style)
        if isinstance(kind, inspect.UnionType):
            return self._union(raw, kind, path, style)
        if isinstance(kind, inspect.AnyType):
            return self._any(raw, path, style)
        if isinstance(kind, inspect.StructType):
            return self._struct(raw, kind, path)
        if isinstance(kind, inspect.DictType):
            return self._dict(raw, kind, path)
        if isinstance(kind, inspect.ListType):
            return self._list(raw, kind, path, style)
        return self._scalar(raw, kind, path, style)

    def _wrong(self, path: Path, message: str) -> Any:
        self._document.report(path, message)
        return BAD

    def _struct(self, raw: Any, kind: inspect.StructType, path: Path) -> Any:
        if not isinstance(raw, dict):
            return self._wrong(path, f"expected a table, got {_described(raw)}")
        fields = {field.encode_name: field for field in kind.fields if not _is_internal(field.type)}
        answer: dict[str, Any] = {}
        for name, item in raw.items():
            if name == kind.tag_field:
                answer[name] = item
            elif name not in fields:
                self._document.report((*path, name), f"unknown key {name!r}{did_you_mean(name, fields)}")
            else:
                good = self.value(item, fields[name].type, (*path, name), style=_style_of(name, raw))
                if good is not BAD:
                    answer[name] = good
        missing = [name for name, field in fields.items() if field.required and name not in answer]
        for name in missing:
            if name not in raw:
                self._document.report((*path, name), f"missing; {name!r} is required here")
        return BAD if missing and path else answer

    def _dict(self, raw: Any, kind: inspect.DictType, path: Path) -> Any:
        if not isinstance(raw, dict):
            return self._wrong(path, f"expected a table, got {_described(raw)}")
        good = {name: self.value(item, kind.value_type, (*path, name)) for name, item in raw.items()}
        return {name: item for name, item in good.items() if item is not BAD}

    def _list(self, raw: Any, kind: inspect.ListType, path: Path, style: str) -> Any:
        if not isinstance(raw, list):
            return self._wrong(path, f"expected a list, got {_described(raw)}")
        good = [self.value(item, kind.item_type, (*path, index), style=style) for index, item in enumerate(raw)]
        if any(isinstance(item, dict) for item in raw):  # places of tables are kept: problems are told by index
            return [{} if item is BAD else item for item in good]
        return [item for item in good if item is not BAD]

    def _union(self, raw: Any, kind: inspect.UnionType, path: Path, style: str) -> Any:
        kinds = [item for item in kind.types if not isinstance(item, inspect.NoneType)]
        if len(kinds) == 1:
            return self.value(raw, kinds[0], path, style=style)
        if all(isinstance(item, inspect.StructType) for item in kinds):
            return self._tagged(raw, kinds, path)
        if isinstance(raw, str) and style == "text" and any(isinstance(item, inspect.IntType) for item in kinds):
            style = "maybe-int"
        for item in kinds:
            if _fits(raw, item):
                return self.value(raw, item, path, style=style)
        return self._wrong(path, f"expected {_either(kinds)}, got {_described(raw)}")

    def _tagged(self, raw: Any, kinds: list[inspect.Type], path: Path) -> Any:
        structs = {str(kind.tag): kind for kind in kinds if isinstance(kind, inspect.StructType)}
        tag_field = next(iter(structs.values())).tag_field or "kind"
        if not isinstance(raw, dict):
            return self._wrong(path, f"expected a table, got {_described(raw)}")
        if tag_field not in raw:
            return self._wrong((*path, tag_field), f"missing; one of {', '.join(map(str, structs))}")
        tag = raw[tag_field]
        if not isinstance(tag, str) or tag not in structs:
            return self._wrong((*path, tag_field), f"unknown {tag_field} {tag!r}{_nearest(tag, structs)}")
        return self._struct(raw, structs[tag], path)

    def _any(self, raw: Any, path: Path, style: str) -> Any:
        if isinstance(raw, dict):
            good = {name: self._any(item, (*path, name), style) for name, item in raw.items()}
            return {name: item for name, item in good.items() if item is not BAD}
        if isinstance(raw, list):
            items = [self._any(item, (*path, index), style) for index, item in enumerate(raw)]
            return [item for item in items if item is not BAD]
        if isinstance(raw, str):
            return self._string(raw, path, "maybe-int" if style == "text" else style)
        return self._number(raw, path)

    def _scalar(self, raw: Any, kind: inspect.Type, path: Path, style: str) -> Any:
        is_number = isinstance(kind, inspect.IntType | inspect.FloatType)
        if is_number and isinstance(raw, str) and (refers(raw) or (looks_like_sum(raw) and "+" in raw)):
            return self._string(raw, path, "int")
        if isinstance(kind, inspect.LiteralType):
            return self._literal(raw, kind, path)
        if not _fits(raw, kind):
            return self._wrong(path, f"expected {_NAMES.get(type(kind), 'another type')}, got {_described(raw)}")
        if isinstance(kind, inspect.StrType):
            text = self._string(raw, path, style)
            if kind.pattern and isinstance(text, str) and not _is_duration(text):
                return self._wrong(
                    path, f"{text[:40]!r} is no duration; write for example '250ms', '5s', '10m', '2h', '30d'"
                )
            return text
        return self._number(raw, path)

    def _literal(self, raw: Any, kind: inspect.LiteralType, path: Path) -> Any:
        good = self._string(raw, path, "text") if isinstance(raw, str) else raw
        if good is BAD or any(good == option and type(good) is type(option) for option in kind.values):
            return good
        return self._wrong(path, f"{_short(raw)} is not allowed{_nearest(raw, map(str, kind.values), always=True)}")

    def _number(self, raw: Any, path: Path) -> Any:
        if isinstance(raw, dt.datetime | dt.date | dt.time):
            return self._wrong(path, "a date or time is not allowed here; write text in quotes")
        if isinstance(raw, float) and not math.isfinite(raw):
            return self._wrong(path, f"{raw} is no finite number")
        if isinstance(raw, int) and not _INT_MIN <= raw <= _INT_MAX:
            return self._wrong(path, "the integer does not fit 64 bits")
        return raw

    def _string(self, raw: str, path: Path, style: str) -> Any:
        """Return what the string stands for, with parameters put in."""
        try:
            return self._replaced(raw, style)
        except ValueError as error:
            return self._wrong(path, str(error))

    def _replaced(self, raw: str, style: str) -> int | str:
        parameters = self._parameters
        if style == "hex":
            text = parameters.as_hex(raw) if parameters else raw
            try:
                bytes.fromhex(text)
            except ValueError:
                raise ValueError(
                    f"{raw[:40]!r} is not hex; write two digits per byte, for example 'ff 01 86'"
                ) from None
            return text
        if style == "units":
            return parameters.as_units(raw) if parameters else raw
        text = parameters.as_text(raw) if parameters else raw
        if style == "int" or (style == "maybe-int" and (refers(raw) or "+" in raw) and looks_like_sum(text)):
            return sum_of(text)
        return text


def _style_of(name: str, table: dict[str, Any]) -> str:
    """Return what a string under `name` stands for where its type alone does not say."""
    if name == "units":
        return "units"
    if name in {"const", "invalid"} and table.get("type") == "bytes":
        return "hex"
    return "text"


def _fits(raw: Any, kind: inspect.Type) -> bool:
    """Return whether the TOML type of `raw` is the one `kind` takes; true and false are no integers."""
    if isinstance(kind, inspect.Metadata):
        return _fits(raw, kind.type)
    if isinstance(kind, inspect.LiteralType):
        return any(type(raw) is type(option) for option in kind.values)
    if isinstance(raw, bool):
        return isinstance(kind, inspect.BoolType)
    wanted: dict[type, tuple[type, ...]] = {
        inspect.IntType: (int,),
        inspect.FloatType: (int, float),
        inspect.StrType: (str,),
        inspect.ListType: (list,),
        inspect.DictType: (dict,),
        inspect.StructType: (dict,),
    }
    return isinstance(raw, wanted.get(type(kind), ()))


def _either(kinds: Iterable[inspect.Type]) -> str:
    plain = [kind.type if isinstance(kind, inspect.Metadata) else kind for kind in kinds]
    literal = [repr(value) for kind in plain if isinstance(kind, inspect.LiteralType) for value in kind.values]
    names = [_NAMES[type(kind)] for kind in plain if type(kind) in _NAMES] + literal
    if "a number" in names and "an integer" in names:
        names.remove("an integer")
    return " or ".join(dict.fromkeys(names))


def _nearest(word: Any, options: Iterable[str], *, always: bool = False) -> str:
    known = list(options)
    found = did_you_mean(word, known) if isinstance(word, str) else ""
    return found or (f"; one of {', '.join(known)}" if always or len(known) < 20 else "")


def _short(raw: Any) -> str:
    text = repr(raw)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _described(raw: Any) -> str:
    if isinstance(raw, dict):
        return "a table"
    if isinstance(raw, list):
        return "a list"
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if isinstance(raw, int) and not _INT_MIN <= raw <= _INT_MAX:
        return "an integer of more than 64 bits"
    return (
        f"the text {_short(raw)}"
        if isinstance(raw, str)
        else _short(raw)
        if isinstance(raw, int | float)
        else "a date or time"
    )


def _is_duration(text: str) -> bool:
    from gateway.notation import duration_ns

    try:
        return len(text) <= _MAX_DURATION and duration_ns(text) >= 0
    except ValueError:
        return False
