"""Layer 3: which values a setpoint takes (PROFILES 6): type, labels, range, step. A refusal says why, by a code."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

from gateway.errors import EncodeError
from gateway.notation import hex_bytes, number
from gateway.profile.model import SetpointSpec
from gateway.profile.recorded import Adjust
from gateway.schema.cells import cell_of
from gateway.schema.layout import Leaf
from gateway.schema.spec import BitSpec, FieldSpec

RefusalCode = Literal["type", "range", "step", "interlock", "fill"]
_ROUNDING: Final = 1e-6  # of one step: 0.1 + 0.2 is on a grid of 0.1
_MAX_SHOWN: Final = 60  # characters of a value in a message
_MAX_BITS: Final = 1000  # of a number; the doubles end there
_TEXTS: Final = frozenset({"text", "hextext", "utc", "tst"})


class Refusal(NamedTuple):
    """Why a value was refused before anything was sent."""

    code: RefusalCode
    message: str  # for people: the thing, the value, the next step
    is_passing: bool = False  # the device has only to speak


class ValueRule:
    """What may be written into one field."""

    def __init__(self, name: str, spec: SetpointSpec, field: FieldSpec | BitSpec, leaves: list[Leaf]) -> None:
        """Take the setpoint and the field; `leaves` are its places in a binary layout, several under conditions."""
        self._name = name
        self._spec = spec
        self._field = field
        self._leaves = leaves
        self._is_bool = any(leaf.meaning.boolean for leaf in leaves) or getattr(field, "type", None) == "bool"

    def check(self, value: Any, adjust: Adjust | None = None) -> Any | Refusal:
        """Return the value as a report would spell it, or why it cannot be set.

        `adjust` is what the site does to reports: the device is told what that makes the wanted value.
        """
        if value is None:
            return self._refused("type", value, "null sets nothing")
        found = self._typed(value)
        if not isinstance(found, Refusal):
            found = self._limited(found) or self._written(unadjusted(found, adjust)) or found
        return found

    def _typed(self, value: Any) -> Any | Refusal:
        field = self._field
        kind = getattr(field, "type", None)
        if getattr(field, "array", None) is not None or kind == "struct":
            return value  # its layout is the encoder's to judge
        if field.flags is not None:
            return self._flags(value, field.flags)
        if field.labels is not None:
            return self._label(value, field.labels)
        if self._is_bool:
            return value if isinstance(value, bool) else self._refused("type", value, "write true or false")
        if kind in _TEXTS:
            return value if isinstance(value, str) else self._refused("type", value, "write text")
        if kind == "bytes":
            return self._bytes(value)
        return self._number(value, "write a number")

    def _flags(self, value: Any, flags: Mapping[str, str]) -> Any | Refusal:
        names = [flags[bit] for bit in sorted(flags, key=lambda bit: int(bit, 0))]
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            return self._refused("type", value, f"write a list of {', '.join(names)}")
        unknown = [item for item in value if item not in names]
        if unknown:
            return self._refused("range", unknown[0], f"it is none of {', '.join(names)}")
        return [name for name in names if name in value]

    def _label(self, value: Any, labels: Mapping[str, str]) -> Any | Refusal:
        """Return the label; a number that has one stands for it, others are values where the field measures."""
        words = list(dict.fromkeys(labels.values()))
        if isinstance(value, str):
            return value if value in words else self._refused("range", value, f"it is none of {', '.join(words)}")
        found = self._number(value, f"write one of {', '.join(words)}")
        if isinstance(found, Refusal):
            return found
        label = next((text for key, text in labels.items() if self._stands_for(key, found)), None)
        if label is not None or self._measures():
            return found if label is None else label
        return self._refused("range", value, f"it is none of {', '.join(words)}")

    def _stands_for(self, key: str, value: float) -> bool:
        try:
            shown = int(key, 0) * number(self._field.scale) + self._field.offset
        except ValueError:
            return False
        return abs(shown - value) <= abs(number(self._field.scale)) * _ROUNDING

    def _measures(self) -> bool:
        """Return whether numbers without a label mean something: a few values of a quantity have names."""
        field, spec = self._field, self._spec
        has_units = field.units != "1" or number(field.scale) != 1 or field.offset != 0
        return has_units or any(limit is not None for limit in (spec.minimum, spec.maximum, spec.step))

    def _number(self, value: Any, hint: str) -> float | Refusal:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return self._refused("type", value, hint)
        if isinstance(value, int) and value.bit_length() > _MAX_BITS:
            return Refusal("range", f"{self._name}: a number of {value.bit_length()} bits: too large")
        if not math.isfinite(value):
            return self._refused("type", value, f"no finite number; {hint}")
        return value

    def _bytes(self, value: Any) -> Any | Refusal:
        try:
            return hex_bytes(value).hex()
        except (TypeError, ValueError):
            return self._refused("type", value, "write hex text, for example 'ff 01 86'")

    def _limited(self, value: Any) -> Refusal | None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        low, high = self._spec.minimum, self._spec.maximum
        if low is not None and value < low:
            return self._refused("range", value, f"below the minimum, {low:.12g}")
        if high is not None and value > high:
            return self._refused("range", value, f"above the maximum, {high:.12g}")
        step = self._spec.step
        if step is not None:
            base = 0 if low is None else low
            steps = (value - base) / step
            if not abs(steps - round(steps)) <= _ROUNDING:
                return self._refused("step", value, f"not a whole number of steps of {step:.12g} from {base:.12g}")
        return None

    def _written(self, value: Any) -> Refusal | None:
        """Return why no place of the field can hold it."""
        problem = None
        for leaf in self._leaves:
            if leaf.array is not None or leaf.members is not None:
                return None
            try:
                cell_of(leaf, value)
            except EncodeError as error:
                problem = problem or Refusal("range", f"{self._name}: {str(error).partition(': ')[2] or error}")
            else:
                return None
        return problem

    def _refused(self, code: RefusalCode, value: Any, why: str) -> Refusal:
        return Refusal(code, f"{self._name}: {_shown(value)}: {why}")


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # an integer of more digits than Python prints
        return f"a {type(value).__name__} with a number of thousands of digits"
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "..."


def scale_of(field: FieldSpec | BitSpec | None) -> float:
    """Return the size of one count of a field in its units: what a comparison may differ by."""
    return 0.0 if field is None or field.labels is not None else abs(number(field.scale))


def unadjusted(value: Any, adjust: Adjust | None) -> Any:
    """Return a value as the device has it, before the site's adjustment."""
    if adjust is None or isinstance(value, bool) or not isinstance(value, int | float):
        return value
    scale, offset = adjust
    return (value - offset) / scale
