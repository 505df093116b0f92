"""Values for a message of a profile that nobody gave any: the plainest that its layout can carry. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from gateway.errors import EncodeError
from gateway.schema.plan import MessagePlan

MOST_TRIES: Final = 500
_NAMED: Final = re.compile(r"(\w+)(?:\[\d+\])?(?:: | is not part)")
_RANGE: Final = re.compile(r"from (-?[0-9.e+-]+) to (-?[0-9.e+-]+)")
_UNWRITABLE: Final = ("is not part", "is computed")
Fits = Callable[[bytes], bool]

_TEXTS: Final = ("A", "GP", "00", "2026-01-01T00:00:00.000Z", "2026-01-01", "00:00:00")


def _any(_body: bytes) -> bool:
    return True


def filled(
    plan: MessagePlan, given: Mapping[str, Any], *, is_free: bool = False, fits: Fits = _any
) -> tuple[bytes, dict[str, Any]]:
    """Return a body and its values: those given, and the plainest for the rest. Raises: EncodeError for no such body.

    What a layout has no room for beside the others, or computes, is left out. `is_free`: every value may be left out,
    so that those given are enough, and one where there are none.
    """
    wanted = [(name, spec) for name, spec in zip(plan.names, plan.fields, strict=True) if name not in given]
    if is_free:
        wanted = wanted[: 0 if given else 1]
    candidates = {name: _candidates(spec) for name, spec in wanted}
    holder = {part.name: name for name, spec in wanted for part in _members(spec) if part.name}
    values = {name: next(options) for name, options in candidates.items()} | dict(given)
    last: EncodeError | None = None
    for _ in range(MOST_TRIES):
        try:
            body = plan.encode(values)
            if fits(body) or not _grow(values, candidates):
                return body, values
        except EncodeError as error:
            last = error
            name = _blamed(str(error), candidates, holder, values)
            if name is None:
                raise
            if any(words in str(error) for words in _UNWRITABLE):
                del values[name]
                continue
            found = _RANGE.search(str(error))
            is_whole = found is not None and not isinstance(values[name], list)
            option = _between(found) if is_whole and found is not None else None
            if option is None or option == values[name]:
                option = next(candidates[name], None)
            if option is None:
                del values[name]
                del candidates[name]
            else:
                values[name] = option
    raise last or EncodeError("none of its bodies fits")


def _grow(values: dict[str, Any], candidates: Mapping[str, Iterator[Any]]) -> bool:
    """Give the first list that can be longer its next form; return whether there is one."""
    for name, options in candidates.items():
        if isinstance(values.get(name), list) and (longer := next(options, None)) is not None:
            values[name] = longer
            return True
    return False


def _blamed(
    message: str, candidates: Mapping[str, Any], holder: Mapping[str, str], values: Mapping[str, Any]
) -> str | None:
    """Return which value of ours an encoder objects to: it names that, or a member of it."""
    found = _NAMED.match(message)
    if found is None:
        return None
    name = found[1] if found[1] in candidates else holder.get(found[1], "")
    return name if name in candidates and name in values else None


def _between(found: re.Match[str]) -> float:
    low, high = float(found[1]), float(found[2])
    middle = round((low + high) / 2)
    return middle if low <= middle <= high else low


def _item(spec: Any, number: int) -> Any:
    """Return one item of an array: a number, or the members of a struct, each such a number or an array of them."""
    if spec.flags:
        return []
    if spec.labels:
        return next(iter(spec.labels.values()))
    if not getattr(spec, "fields", None):
        return number
    return {part.name: _plain(part, number) for part in _members(spec) if part.name and part.name[0] != "_"}


def _plain(spec: Any, number: int) -> Any:
    count = getattr(spec, "array", None)
    return [_item(spec, number)] * count if isinstance(count, int) else _item(spec, number)


def _members(spec: Any) -> Iterator[Any]:
    for field in getattr(spec, "fields", None) or ():
        yield from (field, *(field.bits or ()))


def _candidates(spec: Any) -> Iterator[Any]:
    if getattr(spec, "array", None) is not None:
        if isinstance(spec.array, int):
            yield from (_plain(spec, number) for number in (0, 1))
        yield from ([], [_item(spec, 0)] * 2, [_item(spec, 1)] * 2)
    if spec.flags:
        yield []
    if spec.labels:
        yield from dict.fromkeys(spec.labels.values())
    low, high = spec.minimum, spec.maximum
    least = low if low is not None and low > 0 else 0
    yield least
    yield from (each for each in (1, 20, low, high) if each is not None)
    yield from (True, False, [])
    length = getattr(spec, "length", None)
    if isinstance(length, int):
        yield from ("01" * length, "A" * length)
    yield from _TEXTS
