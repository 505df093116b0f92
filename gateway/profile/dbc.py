"""Layer 3: CAN databases (DBC) as profiles and as layouts of profiles. The only file that imports cantools, lazily.

cantools says what a file means; what it accepts becomes MessageSpecs that need no cantools any more, what it rejects
becomes problems with file and line (`dbc_source`). How a profile annotates its database is in `dbc_merge`.

Where the file leaves room, cantools decides: only signals that it decodes are fields; of two messages with one id the
later is matched, the earlier only goes out. A J1939 database by itself matches exact extended ids; in a profile with
framing j1939 or nmea2000 its messages match by PGN. A multiplexer selects by its number on the wire.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Iterator
from pathlib import PurePath
from typing import Any, Final

import msgspec

from gateway.errors import GatewayError, Problem, ProfileError, UsageError
from gateway.profile.dbc_merge import Report, merged
from gateway.profile.dbc_source import MAX_FILE_BYTES, DbcSource, problems_of, text_of
from gateway.profile.model import LinkSpec, Profile, ProfileHead
from gateway.schema.spec import FieldSpec, MessageSpec, WhenSpec
from gateway.units import ucum_of_dbc

CLASSIC_BYTES: Final = 8
FD_BYTES: Final = 64

logging.getLogger("cantools").addHandler(logging.NullHandler())  # what it warns of is handled here


class Database(msgspec.Struct, frozen=True):
    """One DBC file, read. `messages` keeps the file's order, shadowed ones last."""

    messages: dict[str, MessageSpec]
    senders: dict[str, list[str]]  # message -> nodes that send it
    nodes: list[str]
    warnings: list[Problem]
    is_fd: bool  # some frame is longer than classic CAN has


def check_dbc(path_name: str, data: bytes) -> list[Problem]:
    """Return everything wrong with a `.dbc` file, warnings too, in file order."""
    try:
        found = database_of(path_name, data).warnings
    except ProfileError as error:
        found = list(error.problems)
    return sorted(found, key=lambda problem: (problem.line, problem.key))


def read_dbc(text: str, file: str, *, strict: bool = True) -> dict[str, MessageSpec]:
    """Return every message of a DBC by its own name. Raises: ProfileError with file and line."""
    return read_database(text, file, strict=strict).messages


def read_database(text: str, file: str, *, strict: bool = True) -> Database:
    """Return all that a DBC says. `strict` refuses signals that overlap or do not fit, as cantools does by default.

    Raises: ProfileError with file and line; UsageError without cantools.
    """
    source = DbcSource(text, file)
    source.check_bounds()
    try:
        return _converted(_parsed(text, strict=strict), source)
    except GatewayError:
        raise
    except Exception as error:  # the parser raises anything, and each is a fault of the file
        raise ProfileError(_all_problems(error, source) if strict else problems_of(error, source)) from error


def database_of(path_name: str, data: bytes) -> Database:
    """Return what the bytes of a `.dbc` file say. Raises: ProfileError with file and line.

    Signals that overlap or do not fit their message are a warning: databases of real vehicles have them, and every
    other signal is good. A signal that does not fit is null, `trust.truncated`.
    """
    text = _text(path_name, data)
    try:
        return read_database(text, path_name)
    except ProfileError as refused:
        database = read_database(text, path_name, strict=False)
        doubts = [problem._replace(severity="warning") for problem in refused.problems]
        return msgspec.structs.replace(database, warnings=[*database.warnings, *doubts])


def profile_of_dbc(path_name: str, data: bytes) -> Profile:
    """Return a `.dbc` file as a profile of its own. Raises: ProfileError with file and line."""
    database = database_of(path_name, data)
    return Profile(
        profile=ProfileHead(id=f"dbc/{stem_of(path_name)}@0.0.0", title=PurePath(path_name).name),
        link=LinkSpec(bus="can", fd=database.is_fd),
        message=database.messages,
    )


def stem_of(path_name: str) -> str:
    """Return the file's name as part of an id."""
    return re.sub(r"[^a-z0-9_-]+", "-", PurePath(path_name).stem.lower()).strip("-_") or "database"


def expand_dbc(profile: Profile, read: Callable[[str], bytes], report: Report | None = None) -> Profile:
    """Return `profile` with its `[dbc]` database merged in: every layout is a list of placed fields afterwards.

    `read` gives the bytes of the file that `[dbc]` names; mistakes in annotations go to `report` with their place, or
    raise without one. Raises: ProfileError, also for what is wrong in the database itself.
    """
    if profile.dbc is None:
        return profile
    name = profile.dbc.file
    database = database_of(name, read(name))
    problems: list[Problem] = []

    def collect(path: tuple[str | int, ...], message: str, severity: str = "error") -> None:
        problems.append(Problem("", 0, ".".join(map(str, path)), message, severity))

    messages = merged(profile, database.messages, database.senders, database.nodes, report or collect)
    if any(problem.severity == "error" for problem in problems):
        raise ProfileError(problems)
    return msgspec.structs.replace(profile, message=messages)


def _text(file: str, data: bytes) -> str:
    if len(data) > MAX_FILE_BYTES:
        said = f"{len(data):,} bytes are too many for a DBC; at most {MAX_FILE_BYTES:,}"
        raise ProfileError([Problem(file, 1, "", said)])
    return text_of(data)


def _parsed(text: str, *, strict: bool) -> Any:
    try:
        from cantools.database.can import Database as CanDatabase
    except ImportError as error:
        raise UsageError("reading a DBC needs cantools; install it: pip install 'tidegate[can]'") from error
    database = CanDatabase(strict=strict)
    database.add_dbc_string(text)
    return database


def _all_problems(error: Exception, source: DbcSource) -> list[Problem]:
    """Return the problem of `error` and, where it is about one message, those of all other messages."""
    first = problems_of(error, source)
    try:
        messages = _parsed(source.text, strict=False).messages
    except Exception:  # noqa: BLE001 - then the first problem is all there is to say
        return first
    found = list(first)
    for message in messages:
        try:
            message.refresh(strict=True)
        except Exception as another:  # noqa: BLE001 - as above
            found += [problem for problem in problems_of(another, source) if problem not in found]
    return sorted(found, key=lambda problem: problem.line)


def _converted(database: Any, source: DbcSource) -> Database:
    by_name: dict[str, Any] = {}
    for message in database.messages:
        by_name[unused_name(message.name, by_name)] = message
    shown = {(message.frame_id, message.is_extended_frame): name for name, message in by_name.items()}
    warnings: list[Problem] = []
    messages: dict[str, MessageSpec] = {}
    shadowed: dict[str, MessageSpec] = {}
    for name, message in by_name.items():
        spec = _message(message, source, warnings)
        later = shown[message.frame_id, message.is_extended_frame]
        if later == name:
            messages[name] = spec
        else:
            said = f"the same CAN id as {later}, which is the one that is read"
            warnings.append(source.problem(said, source.line_of(message.name), name, "warning"))
            shadowed[name] = msgspec.structs.replace(spec, direction="out")
    return Database(
        messages={**messages, **shadowed},
        senders={name: list(message.senders) for name, message in by_name.items()},
        nodes=[node.name for node in database.nodes],
        warnings=warnings,
        is_fd=any(_is_fd(message) for message in database.messages),
    )


def unused_name(name: str, taken: Any) -> str:
    """Return `name`, or `name_2`, `name_3` ... if it is taken."""
    count, answer = 1, name
    while answer in taken:
        count += 1
        answer = f"{name}_{count}"
    return answer


def _is_fd(message: Any) -> bool:
    is_transfer = message.protocol == "j1939" and not message.is_fd
    return bool(message.is_fd) or (CLASSIC_BYTES < message.length <= FD_BYTES and not is_transfer)


def _message(message: Any, source: DbcSource, warnings: list[Problem]) -> MessageSpec:
    fields = [_field(message, signal, parent, source, warnings) for signal, parent in _decoded(message)]
    return MessageSpec(
        when=WhenSpec(can_id=message.frame_id, extended=bool(message.is_extended_frame)),
        fields=fields,
        length=message.length,
    )


def _decoded(message: Any) -> Iterator[tuple[Any, str | None]]:
    """Yield the signals that cantools decodes with their multiplexers, multiplexers before what they select."""
    below: dict[str | None, list[Any]] = {}
    for signal in message.signals:
        below.setdefault(signal.multiplexer_signal, []).append(signal)
    waiting = [(signal, None) for signal in reversed(below.get(None, []))]
    seen: set[int] = set()
    while waiting:
        signal, parent = waiting.pop()
        if id(signal) in seen:
            continue
        seen.add(id(signal))
        yield signal, parent
        if signal.is_multiplexer:
            selected = [child for child in below.get(signal.name, []) if child.multiplexer_ids]
            waiting += [(child, signal.name) for child in reversed(selected)]


def _field(message: Any, signal: Any, parent: str | None, source: DbcSource, warnings: list[Problem]) -> FieldSpec:
    conversion = signal.conversion
    order, sign = (1 if signal.byte_order == "little_endian" else 0), ("-" if signal.is_signed else "+")
    for what in (conversion.scale, conversion.offset, signal.minimum, signal.maximum):
        if what is not None and not math.isfinite(float(what)):
            line = source.line_of(message.name, signal.name)
            said = f"{what} is too large for a number"
            raise ProfileError([source.problem(said, line, f"{message.name}.{signal.name}")])
    return FieldSpec(
        name=signal.name,
        public=signal.name.startswith("_"),
        type=f"f{signal.length}" if conversion.is_float else None,
        dbc=f"{signal.start}|{signal.length}@{order}{sign}",
        scale=float(conversion.scale),
        offset=conversion.offset,
        units=_units(message, signal, source, warnings),
        minimum=signal.minimum,
        maximum=signal.maximum,
        labels=_labels(signal),
        condition={parent: ranges(signal.multiplexer_ids)} if parent is not None else None,
    )


def _units(message: Any, signal: Any, source: DbcSource, warnings: list[Problem]) -> str:
    """Return the unit in UCUM where the translation table has it, else as the file spells it, with a warning."""
    text = (signal.unit or "").strip()
    if not text:
        return "1"
    known = ucum_of_dbc(text)
    if known is None:
        line = source.line_of(message.name, signal.name)
        said = f"unit {text!r} has no UCUM code that is known here; kept as it is"
        warnings.append(source.problem(said, line, f"{message.name}.{signal.name}", "warning"))
    return text if known is None else known


def _labels(signal: Any) -> dict[str, str] | None:
    """Return the value table without entries that no raw number of the signal can have.

    Of several numbers with one text the last stands first: that is the one which cantools writes for the text.
    """
    low = -(1 << (signal.length - 1)) if signal.is_signed else 0
    high = low + (1 << signal.length) - 1
    is_float = signal.conversion.is_float
    table = signal.conversion.choices or {}
    possible = {raw: str(text) for raw, text in table.items() if is_float or low <= raw <= high}
    written = {text: raw for raw, text in possible.items()}
    return {str(raw): possible[raw] for raw in [*sorted(written.values()), *sorted(possible)]} or None


def ranges(values: list[int]) -> list[int | str] | int:
    """Return numbers as a condition lists them: runs of three and more as "4..7", a single one bare."""
    runs: list[list[int]] = []
    for value in sorted(set(values)):
        if runs and value == runs[-1][1] + 1:
            runs[-1][1] = value
        else:
            runs.append([value, value])
    listed: list[int | str] = []
    for low, high in runs:
        listed += [f"{low}..{high}"] if high - low > 1 else range(low, high + 1)
    return listed[0] if len(listed) == 1 and isinstance(listed[0], int) else listed
