"""Layer 3: what of a `[setpoint]` whose references all lead somewhere can still never work: for `profile check`.

A setpoint without an error here makes a `Setpoint`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from gateway.errors import UsageError
from gateway.profile.findings import Findings
from gateway.profile.model import AckSpec, Profile, SetpointSpec
from gateway.profile.positions import Path
from gateway.profile.setpoint import field_finder, parts_of
from gateway.profile.setpoint_ack import fields_of
from gateway.profile.setpoint_value import Refusal, ValueRule
from gateway.profile.setpoint_wire import Piece, piece_of
from gateway.schema.facts import parse_facts
from gateway.schema.filling import fill_problems, leaves_of
from gateway.schema.layout import is_internal
from gateway.schema.spec import BitSpec, FieldSpec


class Finding(NamedTuple):
    """One thing wrong, below `setpoint.NAME`."""

    path: Path
    message: str
    severity: str = "error"


def setpoint_problems(profile: Profile, name: str) -> Iterator[Finding]:
    """Yield what can never work of a setpoint that `check_setpoint` found nothing wrong with, its DBC merged in."""
    spec = profile.setpoint[name]
    find = field_finder(profile)
    written = find(spec.write)
    message, field = parts_of(spec.write)
    if written is None:
        yield Finding(("write",), f"{spec.write} is no field")
        return
    try:
        piece = piece_of(profile, message, field)
    except ValueError as error:
        yield Finding(("write",), str(error))
        return
    yield from _of_fill(piece, field, spec)
    yield from _of_report(spec, written, find)
    yield from _of_interlock(spec, find)
    if spec.ack is not None:
        yield from _of_ack(spec.ack, profile)
    leaves = leaves_of(piece.spec).get(field, [])
    if spec.safe is not None and isinstance(
        refusal := ValueRule("safe", spec, written, leaves).check(spec.safe), Refusal
    ):
        yield Finding(("safe",), refusal.message)


def check_working(profile: Profile, found: Findings) -> None:
    """Report what can never work of all setpoints of a profile without an error so far."""
    for name in profile.setpoint:
        for problem in setpoint_problems(profile, name):
            report = found.warn if problem.severity == "warning" else found.error
            report(("setpoint", name, *problem.path), problem.message)


def _of_fill(piece: Piece, field: str, spec: SetpointSpec) -> Iterator[Finding]:
    inside = set(fields_of(piece.spec))
    for name in spec.fill:
        if name not in inside:
            yield Finding(("fill", name), f"is not written: only the {piece.part} of {field!r} are")
    try:
        for name, problem in fill_problems(piece.spec, field, spec.fill):
            yield Finding(("fill", name), problem)
    except UsageError as error:
        yield Finding(("fill",), str(error))


def _of_report(
    spec: SetpointSpec, written: FieldSpec | BitSpec, find: Callable[[str], FieldSpec | BitSpec | None]
) -> Iterator[Finding]:
    if spec.report is None:
        return
    reported = find(spec.report)
    if reported is None or (is_internal(reported.name) and not getattr(reported, "public", False)):
        yield Finding(("report",), f"{spec.report} is no value; a name that begins with '_' is internal")
    elif _spelling(reported) != _spelling(written):
        ours, theirs = _spelling(written), _spelling(reported)
        text = f"is told {theirs}, what is written {ours}: the two will never be equal"
        yield Finding(("report",), text, "warning")


def _spelling(field: FieldSpec | BitSpec) -> str:
    """Return how values of a field are told."""
    if field.flags is not None:
        return "as flags"
    if field.labels is not None:
        return "by labels"
    return "as a value"


def _of_interlock(spec: SetpointSpec, find: Callable[[str], FieldSpec | BitSpec | None]) -> Iterator[Finding]:
    for index, condition in enumerate(spec.interlock):
        path: Path = ("interlock", index)
        try:
            facts = parse_facts(condition, find)
        except ValueError as error:
            yield Finding(path, str(error))
            continue
        for fact in facts:
            field = find(fact.name)
            if field is None or (is_internal(field.name) and not getattr(field, "public", False)):
                yield Finding(path, f"{fact.name} is no value, so it is never known; name one that is told")


def _of_ack(ack: AckSpec, profile: Profile) -> Iterator[Finding]:
    fields = fields_of(profile.message[ack.message])
    tables: list[tuple[str, dict[str, Any]]] = [("where", ack.where), ("accept", ack.accept)]
    for key, table in tables:
        for name, wanted in table.items():
            try:
                parse_facts({name: wanted}, fields.get)
            except ValueError as error:
                yield Finding(("ack", key, name), str(error))
