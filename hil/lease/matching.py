"""Which targets a template means: texts `key=glob`, all of which must match. Pure.

The key `name` is the target's name; every other is one of its facts. A fact that a target lacks matches nothing, not
even `*`. Globs are of the shell (`*`, `?`, `[abc]`), and letters count as they are written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final

from gateway.errors import UsageError
from gateway.spelling import did_you_mean, nearest
from hil.lease.errors import NoSuchTargetError

NAME_KEY: Final = "name"
MOST_CHARS: Final = 256  # of one template, one fact

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # also part of a file's name
_KEY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_BETWEEN: Final = re.compile(rf"\s+(?={_KEY.pattern}=)")  # of several in one text

Facts = Mapping[str, str]
Template = str | Sequence[str] | Mapping[str, str]


def target_name(text: str) -> str:
    """Return a name that a target may have. Raises: UsageError."""
    if not _NAME.fullmatch(text):
        raise UsageError(f"{text[:80]!r} is no name of a target; use letters, digits, '.', '_', '-', at most 64")
    return text


def pairs(texts: Iterable[str], *, what: str, example: str) -> dict[str, str]:
    """Return the keys and values of texts `key=value`. Raises: UsageError naming the one that is wrong."""
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not _KEY.fullmatch(key) or len(text) > MOST_CHARS or not text.isprintable():
            raise UsageError(f"{text[:80]!r} is no {what}; write KEY=VALUE, for example {example}")
        if key in found:
            raise UsageError(f"{what} {key!r} is given twice, as {found[key]!r} and as {value!r}")
        found[key] = value
    return found


def facts_of(given: str | Iterable[str] | Facts) -> dict[str, str]:
    """Return the facts of `board=nucleo-f4 probe=stlink`, however they were given. Raises: UsageError."""
    facts = pairs(_texts_of(given), what="fact", example="board=nucleo-f4")
    if NAME_KEY in facts:
        raise UsageError("a target's name is no fact of it; leave `name=` out, templates know it anyway")
    return facts


def template_texts(template: Template) -> tuple[str, ...]:
    """Return the texts `key=glob` of a template, however it was given, checked. Raises: UsageError.

    One text may hold several: `board=nucleo-* site=lab 1`.
    """
    texts = _texts_of(template)
    for text in texts:  # the same key may stand twice: `board=nucleo* board=*f4`
        pairs([text], what="template", example="board=nucleo-*, or name=NAME for one target")
    return tuple(texts)


def _texts_of(given: str | Iterable[str] | Facts) -> list[str]:
    if isinstance(given, str):
        return _BETWEEN.split(given.strip())
    if isinstance(given, Mapping):
        return [f"{key}={value}" for key, value in given.items()]
    return [str(text) for text in given]


def matches(texts: Sequence[str], name: str, facts: Facts) -> bool:
    """Return whether a target is meant by all of the texts `key=glob`."""
    for text in texts:
        key, _, glob = text.partition("=")
        value = name if key == NAME_KEY else facts.get(key)
        if value is None or not fnmatchcase(value, glob):
            return False
    return True


def matching(texts: Sequence[str], targets: Mapping[str, Facts]) -> list[str]:
    """Return the names of the targets that are meant, in order. Raises: NoSuchTargetError where there is none."""
    found = sorted(name for name, facts in targets.items() if matches(texts, name, facts))
    if not found:
        raise NoSuchTargetError(_no_such_target(texts, targets))
    return found


def _no_such_target(texts: Sequence[str], targets: Mapping[str, Facts]) -> str:
    asked = " ".join(texts)
    if not targets:
        return f"no target is {asked}: the pool is empty; add one: tidegate hil reserve put NAME KEY=VALUE"
    keys = {NAME_KEY, *(key for facts in targets.values() for key in facts)}
    for text in texts:
        key, _, glob = text.partition("=")
        if key not in keys:
            return f"no target is {asked}: none has a fact {key!r}{did_you_mean(key, keys)}"
        values = {name if key == NAME_KEY else facts.get(key, "") for name, facts in targets.items()}
        if not any(fnmatchcase(value, glob) for value in values):
            near = nearest(glob, values)
            hint = f"did you mean {key}={near}?" if near else f"there is {', '.join(sorted(values - {''})[:8])}"
            return f"no target is {asked}: none has {text}; {hint}"
    return f"no target is {asked}: each of these fits some target, none fits all of them"
