"""Layer 7: the topics of one gateway, both ways. Pure: nobody else builds or reads one."""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple

_SEGMENT: Final = re.compile(r"[a-z0-9][a-z0-9_-]*")
_SETPOINT: Final = re.compile(r"[a-z0-9][a-z0-9_-]*(/[a-z0-9][a-z0-9_-]*){2}@desired")
_ANNOUNCED: Final = "@homeassistant"
_NAME: Final = re.compile(r"[a-z0-9_-]{1,64}")


class SetAsked(NamedTuple):
    """A command."""

    route: str


class ShadowAsked(NamedTuple):
    """Something about a device's shadow."""

    device: str
    what: Literal["get", "update"]


class QueryAsked(NamedTuple):
    """A question."""

    name: str


Asked = SetAsked | ShadowAsked | QueryAsked


class Topics:
    """The topics of one gateway."""

    def __init__(self, base: str, gateway: str) -> None:
        """Take names without wildcards and control characters, as the site file is checked for."""
        self._root = f"{base}/{gateway}"
        self.availability = f"{self._root}/availability"
        self.birth = f"{self._root}/birth"
        self.batch = f"{self._root}/batch"
        self.senml = f"{self._root}/senml"
        self.subscriptions = (
            f"{self._root}/+/+/+/set",
            f"{self._root}/+/@shadow/get",
            f"{self._root}/+/@shadow/update",
            f"{self._root}/request/+",
        )

    def device(self, device: str) -> str:
        """Return where a device is told to be online or offline."""
        return f"{self._root}/{device}/availability"

    def route(self, route: str) -> str:
        """Return where values of a route go, given as text."""
        return f"{self._root}/{route}"

    def command(self, route: str) -> str:
        """Return where a setpoint is set, given the route of its desired value."""
        return f"{self._root}/{route}/set"

    def result(self, route: str) -> str:
        """Return where it is told what became of a command."""
        return f"{self._root}/{route}/result"

    def shadow(self, device: str, what: str) -> str:
        """Return a topic of a device's shadow: "get/accepted", "delta" ..."""
        return f"{self._root}/{device}/@shadow/{what}"

    def response(self, name: str) -> str:
        """Return where a question is answered."""
        return f"{self._root}/response/{name}"

    def announced(self, device: str = "+") -> str:
        """Return where it is kept what Home Assistant was told of a device; "+": of every one."""
        return f"{self._root}/{device}/{_ANNOUNCED}"

    def device_announced(self, topic: str) -> str | None:
        """Return the device that such a topic is about; None: it is no such topic."""
        device = topic.removeprefix(f"{self._root}/").removesuffix(f"/{_ANNOUNCED}")
        return device if _SEGMENT.fullmatch(device) and topic == self.announced(device) else None

    def parse(self, topic: str) -> Asked | None:
        """Return what a message on a topic asks for; None: nothing that is for us."""
        if not topic.startswith(f"{self._root}/"):
            return None
        rest = topic[len(self._root) + 1 :]
        head, _, tail = rest.rpartition("/")
        if tail == "set" and _SETPOINT.fullmatch(head):
            return SetAsked(head)
        device, _, word = head.partition("/")
        if word == "@shadow" and tail in {"get", "update"} and _SEGMENT.fullmatch(device):
            return ShadowAsked(device, "get" if tail == "get" else "update")
        if head == "request" and _NAME.fullmatch(tail) and tail != "availability":  # of a device with that name
            return QueryAsked(tail)
        return None
