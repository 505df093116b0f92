"""How a simulated device treats its commands, as something that a test or a person can tell it.

Standard library alone: the SPI models carry it into Debian's own Python.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Self

MAX_S: Final = 60.0  # of any delay: what waits in a device is bounded


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """The default is a device that does what it says; each field is one way not to. Raises: ValueError."""

    ignores: bool = False
    """Hears no command: no answer, no effect."""
    refuses: bool = False
    """Answers no to a command that is right."""
    lies: bool = False
    """Answers yes and does nothing: acks falsely."""
    restarts: bool = False
    """Restarts on each command, before the answer: the command is lost."""
    slow_s: float = 0.0
    """A command begins to act only so long after it came; the answer is prompt."""
    ack_after_s: float | None = 0.0
    """An answer comes so late; None: never, though the command is obeyed."""
    clamp: tuple[float, float] | None = None
    """Says yes to everything, and goes no further than this."""
    drift_per_s: float = 0.0
    """What was ordered is left again at this rate, until the next order."""
    lag_s: float = 0.0
    """Reports what was true so long ago: stale echoes; until then, what it reported last."""
    condition: str = ""
    """What keeps the device from obeying, as it reports it: `manual` of the node, `stall` of the motor."""

    def __post_init__(self) -> None:
        for name in ("ignores", "refuses", "lies", "restarts"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} is {getattr(self, name)!r}; true or false")  # noqa: TRY004 - a wrong order is one error
        for name in ("slow_s", "lag_s", "ack_after_s"):
            value = getattr(self, name)
            if not (name == "ack_after_s" and value is None) and not (_is_number(value) and 0 <= value <= MAX_S):
                raise ValueError(f"{name} is {value!r}; 0 to {MAX_S:g} seconds")
        if not _is_number(self.drift_per_s):
            raise ValueError(f"drift_per_s is {self.drift_per_s!r}; a number")
        if self.clamp is not None and not _is_range(self.clamp):
            raise ValueError(f"clamp is {self.clamp!r}; two numbers, the lower one first")
        if not isinstance(self.condition, str):
            raise ValueError(f"condition is {self.condition!r}; a word")  # noqa: TRY004 - a wrong order is one error

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Self:
        """Return the behaviour that JSON facts say. Raises: ValueError naming what is wrong."""
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(facts) - known):
            raise ValueError(f"no behaviour {unknown[0]!r}; there are {', '.join(sorted(known))}")
        clamp = facts.get("clamp")
        pair = {"clamp": tuple(clamp)} if isinstance(clamp, Sequence) else {}
        return cls(**{**facts, **pair})

    @classmethod
    def said(cls, words: Sequence[str]) -> Self:
        """Return the behaviour of `lies`, `slow_s=0.5`, `clamp=[20,60]`, `condition=manual`; of no words, a good one.

        Raises: ValueError naming what is wrong.
        """
        return cls.of(dict(map(_fact_in, words)))

    def known_to(self, conditions: Collection[str]) -> Self:
        """Return itself. Raises: ValueError where the device has no such condition."""
        if self.condition and self.condition not in conditions:
            raise ValueError(f"no condition {self.condition!r} here; there are {', '.join(conditions) or 'none'}")
        return self


def _fact_in(word: str) -> tuple[str, Any]:
    name, is_assigned, text = word.partition("=")
    if not is_assigned:
        return name, True
    try:
        return name, json.loads(text)
    except ValueError:
        return name, text


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_range(clamp: object) -> bool:
    return isinstance(clamp, tuple) and len(clamp) == 2 and all(map(_is_number, clamp)) and bool(clamp[0] <= clamp[1])


GOOD: Final = Behaviour()
