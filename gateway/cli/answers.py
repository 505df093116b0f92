"""Layer 9: whose answer a recorded body is, where the profile says only how it is asked for.

A gateway knows what it asked last; a recording has to be read for it: a Modbus request in the stream says it, else a
length that only one request has. Bodies of SPI and of `--payload` are the registers alone.

Source: MODBUS Application Protocol Specification V1.1b3, sections 6.1 to 6.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway.framing.spec import ModbusRtu
from gateway.profile.model import Profile
from gateway.schema.spec import AskSpec, WhenSpec

_FUNCTIONS: Final = {"coils": 1, "discrete": 2, "holding": 3, "input": 4}
_REQUEST_BYTES: Final = 6  # unit, function, first register, count
_Read = tuple[int, int, int]  # function, first register, count; SPI: 0, register, bytes


class Answers:
    """Messages of a profile with `ask` and without `when`, as answers in a recording."""

    def __init__(self, profile: Profile, given: Mapping[str, object], *, payload: bool) -> None:
        """Take the profile, the parameters given to it, and whether bodies come without unit and function."""
        self._reads = {
            name: read
            for name, spec in profile.message.items()
            if spec.direction != "out" and spec.ask and spec.when == WhenSpec() and (read := _read_of(spec.ask))
        }
        self._is_wire = isinstance(profile.framing, ModbusRtu) and not payload
        self._unit = _number_of(given.get("unit", profile.params["unit"].default if "unit" in profile.params else None))
        self._open: _Read | None = None  # the last request seen

    def find(self, body: bytes) -> tuple[str, bytes] | None:
        """Return the message that `body` answers and its registers, None where that is not certain."""
        if not self._reads:
            return None
        if not self._is_wire:
            return self._only(body, dict(self._reads))
        if len(body) < 3 or self._unit not in {None, body[0]}:
            return None
        function, wanted = body[1], self._open
        if function not in _FUNCTIONS.values():
            return None
        if len(body) != 3 + body[2]:
            if len(body) == _REQUEST_BYTES:
                self._open = function, int.from_bytes(body[2:4]), int.from_bytes(body[4:6])
            return None
        self._open = None
        possible = {
            name: read
            for name, read in self._reads.items()
            if (read == wanted if wanted is not None else read[0] == function)
        }
        return self._only(body[3:], possible)

    @staticmethod
    def _only(registers: bytes, possible: dict[str, _Read]) -> tuple[str, bytes] | None:
        found = [name for name, read in possible.items() if _size_of(read) == len(registers)]
        return (found[0], registers) if len(found) == 1 else None


def _number_of(value: object) -> int | None:
    try:
        return int(str(value), 0)
    except ValueError:
        return None


def _read_of(ask: AskSpec) -> _Read | None:
    for key, function in _FUNCTIONS.items():
        first = getattr(ask, key)
        if first is not None:
            return None if ask.count is None else (function, first, ask.count)
    return None if ask.register is None or ask.length is None else (0, ask.register, ask.length)


def _size_of(read: _Read) -> int:
    function, _, count = read
    if function == 0:
        return count
    return 2 * count if function > 2 else -(-count // 8)
