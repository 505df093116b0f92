"""Layer 9: a profile as a person reads it, for `tidegate profile show`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.profile.model import Profile
from gateway.schema.spec import BitSpec, FieldSpec, MessageSpec


def described(profile: Profile) -> Iterator[str]:
    """Yield the lines."""
    head = profile.profile
    yield f"id        {head.id}"
    if head.title:
        yield f"title     {head.title}"
    if head.url:
        yield f"source    {head.url}"
    yield f"link      {facts(profile.link)}"
    if profile.framing is not None:
        yield f"framing   {facts(profile.framing)}"
    for name, param in profile.params.items():
        yield f"parameter {name}: {facts(param)}".rstrip()
    for name, message in profile.message.items():
        yield ""
        yield from _message(name, message, profile)
    for name, setpoint in profile.setpoint.items():
        yield ""
        yield f"setpoint  {name}: {facts(setpoint)}"


def _message(name: str, spec: MessageSpec, profile: Profile) -> Iterator[str]:
    family = spec.family or profile.profile.family or name
    words = [f"message   {name}", f"family {family}"]
    words += [spec.direction] if spec.direction != "in" else []
    words += [f"when {facts(spec.when)}"] if facts(spec.when) else []
    words += [f"ask {facts(spec.ask)} every {spec.every or '1s'}"] if spec.ask is not None else []
    yield ", ".join(words)
    rows = list(_rows(spec.fields, ""))
    if spec.transform is not None:
        rows += [
            (field.name or "", f"from {spec.transform.use}", _units(field), _extra(field))
            for field in spec.transform.gives
        ]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        yield "  ".join(["  ", *cells, row[3]]).rstrip()


def _rows(fields: list[FieldSpec], indent: str) -> Iterator[tuple[str, str, str, str]]:
    for field in fields:
        if field.name is not None and not field.name.startswith("_"):
            yield indent + field.name, _place(field), _units(field), _extra(field)
        for bit in field.bits or []:
            if bit.name is not None and not bit.name.startswith("_"):
                yield indent + bit.name, f"bits {bit.at}", _units(bit), _extra(bit)
        yield from _rows(field.fields or [], indent + "  ")


def _place(field: FieldSpec) -> str:
    kind = field.type or field.dbc or ""
    return f"{kind}[{field.array}]" if field.array is not None else kind


def _units(field: FieldSpec | BitSpec) -> str:
    return "" if field.units == "1" else field.units


def _extra(field: FieldSpec | BitSpec) -> str:
    words = []
    if field.minimum is not None or field.maximum is not None:
        low = "" if field.minimum is None else f"{field.minimum:g}"
        words.append(f"{low}..{'' if field.maximum is None else f'{field.maximum:g}'}")
    words += [", ".join(list(field.labels.values())[:8])] if field.labels else []
    words += [", ".join(list(field.flags.values())[:8])] if field.flags else []
    words += [f"if {field.condition}"] if field.condition is not None else []
    return "; ".join(words)


def facts(table: Any) -> str:
    """Return a document's facts as a person would write them: `bus=ble mode=gatt match.service=180d`."""
    from msgspec import to_builtins

    return " ".join(_flat(to_builtins(table), ""))


def _flat(value: Any, prefix: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flat(item, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield f"{prefix}={value}"
