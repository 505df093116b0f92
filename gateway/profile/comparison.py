"""Layer 3: what one version of a profile says that another did not: routes, setpoints, layouts and the rest. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, NamedTuple

import msgspec

from gateway.profile.build import CompiledProfile
from gateway.profile.model import Profile
from gateway.route import segment_of

What = Literal[
    "route", "setpoint", "message", "profile", "params", "link", "framing", "lifecycle", "queue", "record", "dbc"
]

_SECTIONS: Final[tuple[What, ...]] = ("profile", "params", "link", "framing", "lifecycle", "queue", "record", "dbc")
_LONG: Final = frozenset({"fields", "transform"})  # told by their routes, not in full
_MOST_TEXT: Final = 60
_Facts = dict[str, Any]
Transforms = Mapping[str, Callable[..., Any]]


class Difference(NamedTuple):
    """One thing that is not the same in both."""

    what: What
    name: str  # of a route `family/stream`, of a setpoint or message its name, of a section ""
    change: Literal["added", "removed", "changed"]
    before: _Facts | None  # of what changed, only that
    after: _Facts | None

    @property
    def text(self) -> str:
        """Return it for people, in one line."""
        title = f"{self.what} {self.name}".strip()
        if self.change != "changed":
            return f"{title} {self.change}"
        was, is_ = self.before or {}, self.after or {}
        parts = [
            key if key in _LONG else f"{key} {_short(was.get(key))} -> {_short(is_.get(key))}"
            for key in dict.fromkeys([*was, *is_])
        ]
        return f"{title} changed: {', '.join(parts)}"

    def as_json(self) -> dict[str, Any]:
        """Return it for programs, with the line for people."""
        return self._asdict() | {"text": self.text}


def differences(before: Profile | None, after: Profile, transforms: Transforms | None = None) -> list[Difference]:
    """Return what `after` says that `before` did not; None: there was none before.

    Both are checked profiles; `transforms` are those that they use, by name.
    """
    found: list[Difference] = []
    found += _compared("route", {} if before is None else _routes(before, transforms), _routes(after, transforms))
    found += _compared("setpoint", _tables(before, "setpoint"), _tables(after, "setpoint"))
    found += _compared("message", _tables(before, "message"), _tables(after, "message"))
    if before is not None:
        for section in _SECTIONS:
            found += _compared(section, {"": _section(before, section)}, {"": _section(after, section)})
    return found


def _compared(what: What, before: Mapping[str, _Facts], after: Mapping[str, _Facts]) -> list[Difference]:
    found = []
    for name in dict.fromkeys([*before, *after]):
        was, is_ = before.get(name), after.get(name)
        if was is None or is_ is None:
            found.append(Difference(what, name, "added" if was is None else "removed", was, is_))
        elif keys := [key for key in dict.fromkeys([*was, *is_]) if was.get(key) != is_.get(key)]:
            changed = [{key: each[key] for key in keys if key in each} for each in (was, is_)]
            found.append(Difference(what, name, "changed", *changed))
    return found


def _routes(profile: Profile, transforms: Transforms | None) -> dict[str, _Facts]:
    """Return what a profile says of each value, by `family/stream`."""
    compiled = CompiledProfile(profile, transforms)
    found: dict[str, _Facts] = {}
    for name, spec in profile.message.items():
        if spec.direction == "out":
            continue
        plan = compiled.messages[name]
        for value, units, field in zip(plan.names, plan.units, plan.fields, strict=True):
            facts: _Facts = msgspec.to_builtins(field)
            meaning = {"message": name, "units": units} | {key: each for key, each in facts.items() if key != "name"}
            found.setdefault(f"{compiled.family_of(name)}/{segment_of(value)}", meaning)
    return found


def _tables(profile: Profile | None, kind: Literal["setpoint", "message"]) -> dict[str, _Facts]:
    return {} if profile is None else {name: msgspec.to_builtins(each) for name, each in getattr(profile, kind).items()}


def _section(profile: Profile, name: str) -> _Facts:
    """Return a section as it is written; who it is, is no difference."""
    told = msgspec.to_builtins(getattr(profile, name))
    return {key: each for key, each in (told or {}).items() if (name, key) != ("profile", "id")}


def _short(value: Any) -> str:
    if value is None:
        return "unset"
    text = f"{value:g}" if isinstance(value, float) else msgspec.json.encode(value).decode()
    return text if len(text) <= _MOST_TEXT else f"{text[: _MOST_TEXT - 3]}..."
