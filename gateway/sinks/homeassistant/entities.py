"""Layer 7: what a value or a setpoint is in Home Assistant: which entity, with which keys. Pure.

Keys are Home Assistant's abbreviations (homeassistant/components/mqtt/abbreviations.py). State comes from the topic of
the plain value; a value that is not good is "unknown" there, never an old one that looks like new.
"""

from __future__ import annotations

import math
from typing import Any, Final, Literal, NamedTuple

from gateway.api.follow.values import json_bytes
from gateway.notation import number
from gateway.profile.recorded import Adjust
from gateway.profile.setpoint import Setpoint
from gateway.schema.spec import BitSpec, FieldSpec
from gateway.sinks.homeassistant.names import Words
from gateway.sinks.homeassistant.tables import (
    BINARY_CLASSES,
    SWITCH_CLASSES,
    TEXT_CLASSES,
    UNITS,
    class_for,
    state_for,
)

Platform = Literal["sensor", "binary_sensor", "number", "switch", "select"]
Field = FieldSpec | BitSpec

DIAGNOSTIC: Final = "health"  # values of this family are about the device itself
STEP_LEAST: Final = 0.001  # that a number takes (components/mqtt/number.py)
STEPS: Final = 1000  # of a number that says nothing of its own step
_TEXTS: Final = frozenset({"text", "hextext", "utc", "tst", "bytes"})
_GOOD: Final = "value_json.q == 'good'"


class Entity(NamedTuple):
    """One of them: its platform and its keys, without those that are about its place."""

    platform: Platform
    keys: dict[str, Any]


def sensor(family: str, units: str, spec: Field) -> Entity:
    """Return what shows a value."""
    keys: dict[str, Any] = {"ent_cat": "diagnostic"} if family == DIAGNOSTIC else {}
    if is_list(spec):
        return Entity("sensor", {"val_tpl": template("value_json.v | join(', ')"), **keys})
    if is_bool(spec):
        known = {"dev_cla": spec.device_class} if spec.device_class in BINARY_CLASSES else {}
        return Entity("binary_sensor", {"val_tpl": template(), "pl_on": "True", "pl_off": "False", **known, **keys})
    if spec.labels is not None and units == "1":
        return _worded(spec, keys)
    if getattr(spec, "type", None) in _TEXTS:
        known = {"dev_cla": spec.device_class} if spec.device_class in TEXT_CLASSES else {}
        return Entity("sensor", {"val_tpl": template(), **known, **keys})
    return Entity(
        "sensor",
        {"val_tpl": _numeric(spec), **_measured(units, spec.device_class, spec.state or "measurement"), **keys},
    )


def control(setpoint: Setpoint, shown: Field | None, units: str, adjust: Adjust | None) -> Entity | None:
    """Return what sets a setpoint; None where Home Assistant has nothing that fits.

    `shown` is the field that reports it, `adjust` what the site does to that.
    """
    field, spec = setpoint.written, setpoint.spec
    known_as = field.device_class or (None if shown is None else shown.device_class)
    if is_list(field):
        return None
    is_measure = spec.minimum is not None and spec.maximum is not None
    if is_bool(field):
        keys = {"pl_on": "true", "pl_off": "false", "stat_on": "True", "stat_off": "False", "val_tpl": template()}
        return Entity("switch", keys | _switch_class(known_as))
    if field.labels is not None and not is_measure:
        return _chosen(field, known_as)
    if getattr(field, "type", None) in _TEXTS:
        return None
    limits = bounds(setpoint, adjust)
    if limits is None:
        return None
    low, high = limits
    told: dict[str, Any] = {"val_tpl": template(but="value_json.v is number"), "min": low, "max": high}
    return Entity("number", {**told, "step": _step(setpoint, high - low, adjust), **_measured(units, known_as, None)})


def is_list(spec: Field) -> bool:
    """Return whether values are lists, or layouts of their own."""
    return spec.flags is not None or getattr(spec, "array", None) is not None or getattr(spec, "type", "") == "struct"


def is_bool(spec: Field) -> bool:
    """Return whether values are true or false (`gateway.schema.meaning`)."""
    if isinstance(spec, FieldSpec):
        if spec.type == "bool":
            return True
        if spec.dbc is None or spec.dbc.partition("@")[0].rpartition("|")[2] != "1" or spec.dbc.endswith("-"):
            return False
    elif spec.signed or not _is_one_bit(spec.at):
        return False
    return spec.labels is None and number(spec.scale) == 1 and spec.offset == 0


def template(read: str = "value_json.v", but: str = "") -> str:
    """Return what gives a value's state out of its message; `but`: what must hold besides its being good."""
    return f"{{{{ {read} if {_GOOD}{' and ' + but if but else ''} else none }}}}"


def bounds(setpoint: Setpoint, adjust: Adjust | None) -> tuple[float, float] | None:
    """Return between which values a setpoint can be set, as far as it says; None: it does not say."""
    spec, field = setpoint.spec, setpoint.written
    scale, offset = adjust or (1.0, 0.0)
    ends = [
        limit if limit is not None else None if of_field is None else of_field * scale + offset
        for limit, of_field in ((spec.minimum, field.minimum), (spec.maximum, field.maximum))
    ]
    low, high = ends if scale > 0 or spec.minimum is not None or spec.maximum is not None else reversed(ends)
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)) or low > high:
        return None
    return low, high


def _is_one_bit(at: str | int) -> bool:
    high, _, low = str(at).partition(":")
    return not low or high.strip() == low.strip()


def _measured(units: str, device_class: str | None, state_class: str | None) -> dict[str, Any]:
    """Return unit and classes of a number, as far as they go together."""
    unit = UNITS.get(units)
    known = class_for(device_class, unit)
    state = None if state_class is None else state_for(state_class, known)
    found = {"unit_of_meas": unit, "dev_cla": known, "stat_cla": state}
    return {key: value for key, value in found.items() if value is not None}


def _numeric(spec: Field) -> str:
    """Return the template of a number; a few values of a quantity may have names, which are none."""
    return template(but="value_json.v is number") if spec.labels is not None else template()


def _worded(spec: Field, keys: dict[str, Any]) -> Entity:
    """Return what shows one of several words."""
    words = Words(_labels(spec))
    told = {"val_tpl": template(words.read(), "value_json.v is string"), **keys}
    ends = _off_and_on(spec)
    if ends is not None and spec.device_class in BINARY_CLASSES:
        off, on = (words.shown[end] for end in ends)
        return Entity("binary_sensor", {**told, "pl_on": on, "pl_off": off, "dev_cla": spec.device_class})
    return Entity("sensor", {**told, "dev_cla": "enum", "ops": words.options})


def _chosen(field: Field, device_class: str | None) -> Entity:
    """Return what chooses one of several words, or between two."""
    words = Words(_labels(field))
    told: dict[str, Any] = {"val_tpl": template(words.read(), "value_json.v is string")}
    ends = _off_and_on(field)
    if ends is None:
        return Entity("select", {**told, "ops": words.options, "cmd_tpl": words.written()})
    off, on = ends
    told |= {"pl_on": _payload(on), "pl_off": _payload(off), "stat_on": words.shown[on], "stat_off": words.shown[off]}
    return Entity("switch", told | _switch_class(device_class))


def _payload(label: str) -> str:
    """Return a label as the payload of a command: always JSON, so that "1" and "true" stay text."""
    return json_bytes(label).decode()


def _step(setpoint: Setpoint, span: float, adjust: Adjust | None) -> float:
    field = setpoint.written
    step = setpoint.spec.step
    if step is None:
        step = abs(number(field.scale) * (adjust or (1.0, 0.0))[0])
        if step == 1 and str(getattr(field, "type", "")).startswith(("f", "number", "ascii")) and span > 0:
            step = 10.0 ** math.floor(math.log10(span / STEPS))
    return max(step, STEP_LEAST)


def _switch_class(device_class: str | None) -> dict[str, Any]:
    return {"dev_cla": device_class} if device_class in SWITCH_CLASSES else {}


def _labels(spec: Field) -> list[str]:
    return list(dict.fromkeys((spec.labels or {}).values()))


def _off_and_on(spec: Field) -> tuple[str, str] | None:
    """Return the labels for off and on where there are two: off is the lower number; None: there are more, or fewer."""
    labels = spec.labels or {}
    if len(_labels(spec)) != 2:
        return None
    first = min(labels, key=_raw)
    off = labels[first]
    return off, next(label for label in labels.values() if label != off)


def _raw(key: str) -> tuple[int, str]:
    try:
        return int(key, 0), key
    except ValueError:
        return 0, key
