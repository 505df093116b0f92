"""Requests that are writes to characteristics, and the values that are notified in answer. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from hil.data import bytes_of
from hil.peers.script import Rule, Script, begins, checked
from hil.rigs.radio import MOST_VALUE_BYTES, Uuid, uuid_of

Data = bytes | re.Pattern[bytes]
Reply = Any  # (uuid, value), a value under the request's uuid, a list of these, or a function of the request; None


class Written(NamedTuple):
    """One write of the host."""

    uuid: str
    data: bytes
    address: str


Request = Uuid | Data | tuple[Uuid, Data] | Callable[[Written], bool]
Found = Written | re.Match[bytes]


class BleRule(Rule):
    """`request`: a UUID, `(uuid, data that it begins with)`, a pattern in place of data, or a function of a write."""

    def check(self) -> None:
        """Raise ValueError for what is no request or no reply."""
        self.find = _finder_of(self.request)
        if not callable(self.reply):
            values_of(self.reply, "2a00")

    def answer(self, request: Written, found: Found) -> list[tuple[str, bytes]]:
        """Return the values by UUID that answer a request. Raises: ValueError for none, what a function does."""
        return values_of(self.said(found), request.uuid)


class BleScript(Script[BleRule]):
    """Rules that hear writes."""

    def hear(self, written: Written) -> tuple[BleRule, Found] | None:
        """Return the rule of a request that is to be answered, after it has led to its state."""
        known: tuple[BleRule, Found] | None = self.find(lambda rule: rule.find(written))
        return known if known is not None and self.accept(known[0]) else None


def values_of(reply: object, uuid: str) -> list[tuple[str, bytes]]:
    """Return the notifications that a reply stands for. Raises: ValueError for what is none."""
    if reply is None:
        return []
    if isinstance(reply, list):
        return [value for each in reply for value in values_of(each, uuid)]
    if isinstance(reply, bytes | bytearray):
        return [(uuid, bytes_of(reply, most=MOST_VALUE_BYTES))]
    if isinstance(reply, tuple) and len(reply) == 2:
        return [(uuid_of(reply[0]), bytes_of(reply[1], most=MOST_VALUE_BYTES))]
    raise ValueError(f"reply {reply!r:.60}: give (uuid, value), a value, a list of these, or a function that does")


def _finder_of(request: object) -> Callable[[Written], Found | None]:
    """Return what recognises a request. Raises: ValueError for what is none."""
    if isinstance(request, tuple) and len(request) == 2:
        short, in_data = uuid_of(request[0]), _in_data(request[1])
        return lambda written: in_data(written) if written.uuid == short else None
    if isinstance(request, bytes | bytearray | re.Pattern):
        return _in_data(request)
    if isinstance(request, str | int):
        short = uuid_of(request)
        return lambda written: written if written.uuid == short else None
    if callable(request):
        judge: Callable[[Written], object] = request
        return lambda written: written if judge(written) else None
    raise ValueError(f"request {request!r:.60}: give a UUID, (uuid, data), data, or a function of a write")


def _in_data(wanted: object) -> Callable[[Written], Found | None]:
    start = checked(wanted) if isinstance(wanted, re.Pattern) else bytes_of(wanted)

    def find(written: Written) -> Found | None:
        found = begins(written.data, start)
        return written if isinstance(found, bytes) else found

    return find
