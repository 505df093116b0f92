"""Requests that are CAN frames, and the frames that answer them. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from hil.can_bits import STANDARD_MAX
from hil.can_frames import Frame, frame_of
from hil.data import bytes_of
from hil.peers.script import Rule, Script, begins, checked

Data = bytes | re.Pattern[bytes]
Request = int | Data | tuple[int, Data] | Frame | Callable[[Frame], bool]
Reply = Any  # Frame, (id, data), bytes under the request's id, a list of these, or a function of the request; None
Found = Frame | re.Match[bytes]


class CanRule(Rule):
    """`request`: an id, data that frames begin with or a pattern of it, `(id, data)`, a frame, a function of one."""

    def check(self) -> None:
        """Raise ValueError for what is no request or no reply."""
        self.find = _finder_of(self.request)
        if not callable(self.reply):
            frames_of(self.reply, Frame(0))

    def answer(self, request: Frame, found: Found) -> list[Frame]:
        """Return the frames that answer a request. Raises: ValueError for what is none, what a function does."""
        return frames_of(self.said(found), request)


class CanScript(Script[CanRule]):
    """Rules that hear frames."""

    def hear(self, frame: Frame) -> tuple[CanRule, Found] | None:
        """Return the rule of a request that is to be answered, after it has led to its state."""
        known: tuple[CanRule, Found] | None = self.find(lambda rule: rule.find(frame))
        return known if known is not None and self.accept(known[0]) else None


def frames_of(reply: object, request: Frame) -> list[Frame]:
    """Return the frames that a reply stands for. Raises: ValueError for what is none."""
    if reply is None:
        return []
    if isinstance(reply, Frame):
        return [reply]
    if isinstance(reply, list):
        return [frame for each in reply for frame in frames_of(each, request)]
    if isinstance(reply, bytes | bytearray):
        return [frame_of(request.id, bytes(reply), request.extended, request.fd)]
    if isinstance(reply, tuple) and len(reply) == 2:
        number, data = reply[0], bytes_of(reply[1])
        return [frame_of(number, data, _is_extended(number), request.fd or len(data) > 8)]
    raise ValueError(f"reply {reply!r:.60}: give (id, data), data, a Frame, a list of these, or a function that does")


def _finder_of(request: object) -> Callable[[Frame], Found | None]:
    """Return what recognises a request. Raises: ValueError for what is none."""
    if isinstance(request, Frame):
        wanted = _key(request)
        return lambda frame: frame if _key(frame) == wanted else None
    if isinstance(request, bytes | bytearray | re.Pattern):
        return _in_data(request)
    if isinstance(request, tuple) and len(request) == 2:
        number, in_data = _id_of(request[0]), _in_data(request[1])
        return lambda frame: in_data(frame) if frame.id == number else None
    if isinstance(request, int):
        number = _id_of(request)
        return lambda frame: frame if frame.id == number else None
    if callable(request):
        judge: Callable[[Frame], object] = request
        return lambda frame: frame if judge(frame) else None
    raise ValueError(f"request {request!r:.60}: give an id, (id, data), data, a Frame, or a function of a frame")


def _in_data(wanted: object) -> Callable[[Frame], Found | None]:
    start = checked(wanted) if isinstance(wanted, re.Pattern) else bytes_of(wanted)

    def find(frame: Frame) -> Found | None:
        found = begins(frame.data, start)
        return frame if isinstance(found, bytes) else found

    return find


def _id_of(number: object) -> int:
    return frame_of(number, b"", _is_extended(number)).id


def _is_extended(number: object) -> bool:
    return isinstance(number, int) and number > STANDARD_MAX


def _key(frame: Frame) -> tuple[int, bool, bool, bytes]:
    return frame.id, frame.extended, frame.remote, frame.data
