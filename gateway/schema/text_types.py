"""Layer 2: what the text types of PROFILES 5 mean: one piece of text to a raw value and back.

Text arrives decoded as Latin-1, so that splitting never fails; only a `text` field asks for UTF-8. Nothing here knows
where the text stood (`text_places`) nor scales it (`text_meaning`). `float()` and `int()` see only text that a pattern
has passed: Python would also take "1_000", "nan" and digits of other scripts.
"""

from __future__ import annotations

import math
import re
from calendar import monthrange
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from gateway.errors import EncodeError
from gateway.schema.plan import Refused
from gateway.schema.spec import FieldSpec
from gateway.taint import TRUST_NAN, TRUST_TEXT

Parse = Callable[[str], Any]  # raises BadText
Write = Callable[[Any, int], list[str]]  # raw value and number of columns -> one text for each; raises EncodeError


class BadText(Exception):
    """The text is not what its type says; `mark` is the taint of the null that stands for it."""

    def __init__(self, mark: int = TRUST_TEXT) -> None:
        super().__init__(mark)
        self.mark = mark


MAX_DIGITS: Final = 300  # more is no measurement, and int() is quadratic
_BLANKS: Final = " \t\r\n"

_number = re.compile(r"[+-]?(?:[0-9]+(?:(\.)[0-9]*)?|(\.)[0-9]+)([eE][+-]?[0-9]{1,5})?").fullmatch
_not_finite = re.compile(r"[+-]?(?:nan|inf(?:inity)?)", re.IGNORECASE).fullmatch
_hex = re.compile(r"(?:0[xX])?[0-9a-fA-F]{1,64}").fullmatch
_hextext = re.compile(r"(?:[0-9a-fA-F]{2})+").fullmatch
_degmin = re.compile(r"([0-9]{1,5})(\.[0-9]*)?([NSEWnsew])").fullmatch
_degrees = re.compile(r"([0-9]{1,3}(?:\.[0-9]*)?|\.[0-9]+)([NSEWnsew])").fullmatch
_time = re.compile(r"([0-9]{2})([0-9]{2})([0-9]{2}(?:\.[0-9]*)?)").fullmatch
_utc = re.compile(r"([0-9]{2})([0-9]{2})([0-9]{2}|[0-9]{4})([0-9]{2})([0-9]{2})([0-9]{2})(?:\.([0-9]*))?").fullmatch
_iso = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?Z").fullmatch
_tst = re.compile(r"([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([SW])").fullmatch
_iso_tst = re.compile(r"20([0-9]{2})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(\+01:00|\+02:00)").fullmatch

_TRUE: Final = {"on", "1", "true"}
_FALSE: Final = {"off", "0", "false"}
_TST_OFFSETS: Final = {
    "S": "+02:00",
    "W": "+01:00",
}  # DSMR P1 4.0, 5.4 (TST): S daylight saving, W not; the time is Dutch


def parse_number(text: str) -> int | float:
    """Return a decimal number: exact int without point and exponent, else float. "nan" and "inf" are BadText(nan)."""
    if text.isdecimal() and len(text) < 20:  # Latin-1 text: no digits but ASCII ones are decimal
        return int(text)
    text = text.strip(_BLANKS)
    found = _number(text)
    if found is None:
        raise BadText(TRUST_NAN if _not_finite(text) else TRUST_TEXT)
    if found.lastindex is None:
        if len(text) > MAX_DIGITS:
            raise BadText
        return int(text)
    value = float(text)
    if math.isinf(value):
        raise BadText(TRUST_NAN)
    return value


def parse_hex(text: str) -> int:
    """Return the integer of "0x203" or "203"."""
    text = text.strip(_BLANKS)
    if _hex(text) is None:
        raise BadText
    return int(text, 16)


def parse_text(text: str) -> str:
    """Return the text as sent. Raises: Refused("encoding") if its bytes are not UTF-8."""
    if text.isascii():
        return text
    try:
        return text.encode("latin-1").decode()
    except UnicodeDecodeError:
        raise Refused("encoding") from None


def parse_hextext(text: str) -> str | None:
    """Return the text that hex digits spell, NUL padding removed; None if nothing is left."""
    if _hextext(text) is None:
        raise BadText
    try:
        return bytes.fromhex(text).decode().rstrip("\0") or None
    except UnicodeDecodeError:
        raise BadText from None


def parse_bool(text: str) -> bool:
    """Return True for ON, 1, true and False for OFF, 0, false, in any case."""
    word = text.strip(_BLANKS).lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise BadText


def parse_degmin(text: str) -> float:
    """Return signed degrees of "4807.038N": ddmm.mmm and hemisphere; south and west are negative."""
    found = _degmin(text)
    if found is None:
        raise BadText
    degrees, whole = divmod(int(found[1]), 100)
    minutes = float(f"{whole}{found[2] or ''}")
    if minutes > 60:  # just 60 is what rounding makes of 59.99999 in some receivers
        raise BadText
    return _signed(degrees + minutes / 60, found[3])


def parse_degrees(text: str) -> float:
    """Return signed degrees of "003.1W": degrees and hemisphere; south and west are negative."""
    found = _degrees(text)
    if found is None:
        raise BadText
    return _signed(float(found[1]), found[2])


def parse_time(text: str) -> int | float:
    """Return the second of the day of "123519.487"; 60 is a leap second."""
    found = _time(text)
    if found is None or found[1] > "23" or found[2] > "59" or float(found[3]) >= 61:
        raise BadText
    seconds = float(found[3]) if "." in found[3] else int(found[3])
    return int(found[1]) * 3600 + int(found[2]) * 60 + seconds


def parse_utc(text: str) -> str:
    """Return "YYYY-MM-DDTHH:MM:SS.sssZ" of ddmmyy (or ddmmyyyy) followed by hhmmss.sss; years 80 to 99 are 19yy.

    Fractions beyond milliseconds are cut, so that a time is never later than the device said.
    """
    found = _utc(text)
    if found is None:
        raise BadText
    day, month, year, hour, minute, second, fraction = found.groups()
    if len(year) == 2:
        year = ("19" if year >= "80" else "20") + year
    _require_date(int(year), month, day)
    _require_time(hour, minute, second)
    return f"{year}-{month}-{day}T{hour}:{minute}:{second}.{(fraction or '')[:3]:0<3}Z"


def parse_tst(text: str) -> str:
    """Return "20YY-MM-DDThh:mm:ss+01:00" (W) or "+02:00" (S) of YYMMDDhhmmss and S or W."""
    found = _tst(text)
    if found is None:
        raise BadText
    year, month, day, hour, minute, second, season = found.groups()
    _require_date(2000 + int(year), month, day)
    _require_time(hour, minute, second)
    return f"20{year}-{month}-{day}T{hour}:{minute}:{second}{_TST_OFFSETS[season]}"


def _signed(degrees: float, hemisphere: str) -> float:
    return -degrees if hemisphere in "SWsw" and degrees else degrees


def _require_date(year: int, month: str, day: str) -> None:
    if not "01" <= month <= "12" or not 1 <= int(day) <= monthrange(year or 4, int(month))[1]:
        raise BadText


def _require_time(hour: str, minute: str, second: str) -> None:
    if hour > "23" or minute > "59" or second > "60":
        raise BadText


def write_number(raw: Any, columns: int) -> list[str]:
    """Return a number in digits, without exponent."""
    _one_column(columns)
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not -math.inf < raw < math.inf:
        raise EncodeError(f"{raw!r} is no number")
    return [str(int(raw)) if raw == int(raw) else _shortest(raw)]


def write_hex(raw: Any, columns: int) -> list[str]:
    """Return an integer as "0x203"."""
    _one_column(columns)
    if isinstance(raw, bool) or not isinstance(raw, int | float) or raw != int(raw) or raw < 0:
        raise EncodeError(f"{raw!r} is no integer from 0")
    return [f"0x{int(raw):X}"]


def write_text(raw: Any, columns: int) -> list[str]:
    """Return the text itself."""
    _one_column(columns)
    return [_as_text(raw)]


def write_hextext(raw: Any, columns: int) -> list[str]:
    """Return the hex digits that spell the text."""
    _one_column(columns)
    return [_as_text(raw).encode().hex().upper()]


def write_bool(raw: Any, columns: int) -> list[str]:
    """Return ON or OFF."""
    _one_column(columns)
    if not isinstance(raw, bool):
        raise EncodeError(f"{raw!r} is neither true nor false")
    return ["ON" if raw else "OFF"]


def write_time(raw: Any, columns: int) -> list[str]:
    """Return hhmmss.sss of a second of the day."""
    _one_column(columns)
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not 0 <= raw < 86401:
        raise EncodeError(f"{raw!r} is no second of the day (0 to 86400)")
    exact = Decimal(repr(raw)) if isinstance(raw, float) else Decimal(raw)
    minutes = min(int(exact) // 60, 24 * 60 - 1)
    seconds = exact - minutes * 60
    whole, _, fraction = format(seconds, "f").partition(".")
    return [f"{minutes // 60:02d}{minutes % 60:02d}{int(whole):02d}.{fraction:0<2}"]


def write_utc(raw: Any, columns: int) -> list[str]:
    """Return ddmmyy and hhmmss.sss in two columns, joined in one, or dd, mm, yyyy, hhmmss.sss in four."""
    found = _iso(_as_text(raw))
    if found is None:
        raise EncodeError(f"{raw!r} is no time as 2026-01-31T23:59:59.000Z")
    year, month, day, hour, minute, second, fraction = found.groups()
    clock = f"{hour}{minute}{second}.{(fraction or '')[:3]:0<3}"
    short = f"{day}{month}{year[2:]}"
    if columns != 4 and not 1980 <= int(year) < 2080:
        raise EncodeError(f"{raw!r}: two digits hold only the years 1980 to 2079")
    shapes = {1: [short + clock], 2: [short, clock], 4: [day, month, year, clock]}
    if columns not in shapes:
        raise EncodeError(f"a time cannot be split over {columns} columns")
    if _says(parse_utc, "".join(shapes[columns])) is None:
        raise EncodeError(f"{raw!r} is no date and time")
    return shapes[columns]


def write_tst(raw: Any, columns: int) -> list[str]:
    """Return YYMMDDhhmmss with S or W of "20YY-MM-DDThh:mm:ss+02:00"."""
    _one_column(columns)
    found = _iso_tst(_as_text(raw))
    if found is None:
        raise EncodeError(f"{raw!r} is no time as 2026-01-31T23:59:59+01:00 (or +02:00 in summer)")
    text = "".join(found.groups()[:6]) + ("S" if found[7] == "+02:00" else "W")
    if _says(parse_tst, text) is None:
        raise EncodeError(f"{raw!r} is no date and time")
    return [text]


def writer_of_degrees(spec: FieldSpec) -> Write:
    """Return the writer of `degmin` or `degrees`; `letters_of` says which pair of letters it uses."""
    letters = letters_of(spec)
    minutes_too = spec.type == "degmin"

    def write(raw: Any, columns: int) -> list[str]:
        if letters is None:
            raise EncodeError("N/S or E/W? Say it by `maximum`: 90 for a latitude, 180 for a longitude")
        limit = 90 if letters == "NS" else 180
        if isinstance(raw, bool) or not isinstance(raw, int | float) or not abs(raw) <= limit:
            raise EncodeError(f"{raw!r} is no angle from -{limit} to {limit} degrees")
        width = 2 if letters == "NS" else 3
        text = _degmin_text(abs(raw), width) if minutes_too else f"{_shortest(float(abs(raw))):0>{width + 2}}"
        parts = [text, letters[raw < 0]]
        return parts if columns == 2 else ["".join(parts)]

    return write


def letters_of(spec: FieldSpec) -> str | None:
    """Return "NS" or "EW": by the name's beginning, else by `maximum`; `degrees` without either is a variation, E/W."""
    name = spec.name or ""
    if name.startswith(("lat", "lon")):
        return "NS" if name.startswith("lat") else "EW"
    if spec.type == "degrees":
        return "EW"
    return None if spec.maximum is None else "NS" if spec.maximum <= 90 else "EW"


def _degmin_text(degrees: float, width: int) -> str:
    for places in range(3, 12):  # three as the specification's examples, more until the value comes back the same
        ticks = round(degrees * 60 * 10**places)
        whole, rest = divmod(ticks, 60 * 10**places)
        text = f"{whole:0{width}d}{rest // 10**places:02d}.{rest % 10**places:0{places}d}"
        if parse_degmin(text + "N") == degrees:
            break
    return text


def _shortest(value: float) -> str:
    text = format(Decimal(repr(value)), "f")
    return text if "." in text else text + ".0"


def _says(parse: Parse, text: str) -> Any:
    try:
        return parse(text)
    except BadText:
        return None


def _as_text(raw: Any) -> str:
    if not isinstance(raw, str) or not raw.isprintable():
        raise EncodeError(f"{raw!r} is no printable text")
    return raw


def _one_column(columns: int) -> None:
    if columns != 1:
        raise EncodeError(f"{columns} joined columns cannot be split again")


_TYPES: Final[dict[str, tuple[Parse, Write]]] = {
    "number": (parse_number, write_number),
    "ascii": (parse_number, write_number),
    "bcd": (parse_number, write_number),
    "hex": (parse_hex, write_hex),
    "text": (parse_text, write_text),
    "hextext": (parse_hextext, write_hextext),
    "bool": (parse_bool, write_bool),
    "time": (parse_time, write_time),
    "utc": (parse_utc, write_utc),
    "tst": (parse_tst, write_tst),
}
TEXT_TYPES: Final = frozenset({*_TYPES, "degmin", "degrees", "struct"})
NUMBERS: Final = frozenset({"number", "ascii", "bcd", "hex", "time", "degmin", "degrees"})  # types that can be scaled


def parser_of(spec: FieldSpec) -> Parse:
    """Return the parser of a scalar field's type."""
    if spec.type in {"degmin", "degrees"}:
        return parse_degmin if spec.type == "degmin" else parse_degrees
    return _TYPES[str(spec.type)][0]


def writer_of(spec: FieldSpec) -> Write:
    """Return the writer of a scalar field's type."""
    return writer_of_degrees(spec) if spec.type in {"degmin", "degrees"} else _TYPES[str(spec.type)][1]
