"""Layer 3: the values a device gives to a profile's parameters, and what `{name}` in a string becomes.

A string is text (`{name}` becomes the value), hex (it becomes bytes in the parameter's type) or a sum of integers
("0x180 + {node}"). Nothing is ever evaluated as code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from gateway.profile.model import ParamSpec
from gateway.spelling import did_you_mean

Value = int | str

_REFERENCE: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_-]*)\}")
_INTEGER_TYPE: Final = re.compile(r"([us])(8|16|24|32|40|48|56|64)(be|le)?")
_TERM: Final = re.compile(r"0x[0-9A-Fa-f]{1,16}|[0-9]{1,20}")
EXAMPLE_KEY: Final = "00" * 16


def integer_range(type_name: str) -> tuple[int, int] | None:
    """Return the smallest and largest value of an integer type; None for every other type."""
    match = _INTEGER_TYPE.fullmatch(type_name)
    if not match:
        return None
    bits = int(match[2])
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if match[1] == "s" else (0, (1 << bits) - 1)


def is_known_type(type_name: str) -> bool:
    """Return whether a parameter may have this type."""
    return type_name in {"text", "key"} or integer_range(type_name) is not None


def check_value(spec: ParamSpec, value: object) -> Value:
    """Return `value` as the parameter's type wants it; digits in text count as integers ("5", "0x05").

    Raises: ValueError saying what is wrong.
    """
    bounds = integer_range(spec.type)
    if bounds is not None:
        return _integer(spec, value, bounds)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"{value!r} is no text")  # noqa: TRY004 - one kind of answer for a wrong value
    text = str(value)
    if spec.type == "key":
        try:
            return bytes.fromhex(text).hex()
        except ValueError:
            raise ValueError("a key is hex digits, two per byte") from None
    return text


def _integer(spec: ParamSpec, value: object, bounds: tuple[int, int]) -> int:
    if isinstance(value, str) and re.fullmatch(r"-?(0x[0-9A-Fa-f]{1,16}|[0-9]{1,20})", value.strip()):
        value = int(value.strip(), 16 if "0x" in value else 10)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{value!r} is no integer")  # noqa: TRY004 - one kind of answer for a wrong value
    low = bounds[0] if spec.minimum is None else max(bounds[0], spec.minimum)
    high = bounds[1] if spec.maximum is None else min(bounds[1], spec.maximum)
    if not low <= value <= high:
        raise ValueError(f"{value} is outside {low}..{high}")
    return value


def example_of(spec: ParamSpec) -> Value:
    """Return a legal value to check a profile with: its default, else its minimum, else a plain one."""
    bounds = integer_range(spec.type)
    if spec.default is not None:
        return spec.default
    if bounds is not None:
        low = bounds[0] if spec.minimum is None else spec.minimum
        high = bounds[1] if spec.maximum is None else spec.maximum
        return low if spec.minimum is not None else max(low, min(1, high))
    return EXAMPLE_KEY if spec.type == "key" else "example"


class Parameters:
    """The parameters of one profile with the values of one device."""

    def __init__(self, specs: Mapping[str, ParamSpec], values: Mapping[str, Value]) -> None:
        """Take `values` that `check_value` has passed, one for each of `specs`."""
        self.specs = specs
        self.values = values

    @property
    def have_secrets(self) -> bool:
        """Return whether any value must not be written anywhere."""
        return any(spec.type == "key" for spec in self.specs.values())

    def as_text(self, text: str) -> str:
        """Return `text` with every `{name}` replaced. Raises: ValueError for an unknown name."""
        return _REFERENCE.sub(lambda match: str(self._value(match[1])), text)

    def as_units(self, text: str) -> str:
        """Return `text` with known names replaced: in UCUM, braces are also annotations."""
        return _REFERENCE.sub(lambda match: str(self.values.get(match[1], match[0])), text)

    def as_hex(self, text: str) -> str:
        """Return hex text with every `{name}` written in its parameter's type. Raises: ValueError."""
        return _REFERENCE.sub(lambda match: self._hex(match[1]), text)

    def _value(self, name: str) -> Value:
        if name not in self.values:
            if name in self.specs:
                raise ValueError(f"parameter {name!r} has no value")
            raise ValueError(f"no parameter {name!r} in [params]{did_you_mean(name, self.specs)}")
        return self.values[name]

    def _hex(self, name: str) -> str:
        value = self._value(name)
        match = _INTEGER_TYPE.fullmatch(self.specs[name].type)
        if match and isinstance(value, int):
            order = "little" if match[3] == "le" else "big"
            return value.to_bytes(int(match[2]) // 8, order, signed=match[1] == "s").hex()  # type: ignore[arg-type]
        return str(value) if self.specs[name].type == "key" else str(value).encode().hex()


def refers(text: str) -> bool:
    """Return whether `text` names a parameter."""
    return _REFERENCE.search(text) is not None


def looks_like_sum(text: str) -> bool:
    """Return whether `text` is integers joined by `+` and nothing else."""
    return all(_TERM.fullmatch(term.strip()) for term in text.split("+"))


def sum_of(text: str) -> int:
    """Return the sum that `text` spells: "0x180 + 5" is 389. Raises: ValueError."""
    if not looks_like_sum(text):
        raise ValueError(f"{text!r} is no sum of integers; write for example '0x180 + {{node}}'")
    return sum(int(term, 16 if "x" in term else 10) for term in map(str.strip, text.split("+")))


def resolve(specs: Mapping[str, ParamSpec], given: Mapping[str, object] | None) -> tuple[Parameters, dict[str, str]]:
    """Return the parameters with values, and what is wrong with each by name.

    `given` None means: nobody gives values, the profile itself is looked at; examples stand in.
    """
    values: dict[str, Value] = {}
    wrong: dict[str, str] = {}
    for name in sorted(set(given or {}) - set(specs)):
        wrong[name] = f"the profile has no parameter {name!r}{did_you_mean(name, specs)}"
    for name, spec in specs.items():
        value: Any = (given or {}).get(name, spec.default)
        if value is None and given is not None:
            wrong[name] = f"must be given: a value of type {spec.type!r}"
        try:
            values[name] = check_value(spec, example_of(spec) if value is None else value)
        except ValueError as error:
            wrong.setdefault(name, str(error))
            values[name] = 0 if integer_range(spec.type) else ""
    return Parameters(specs, values), wrong
