"""All that a device can say: the messages of its profile, with given values, and the plainest for the rest. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from gateway.errors import EncodeError
from gateway.profile.build import CompiledProfile
from gateway.route import segment_of
from gateway.schema.spec import MessageSpec
from gateway.spelling import did_you_mean
from hil.peers.filling import filled


class Sayings:
    """The body and the values of each message, as they are now."""

    def __init__(self, profile: CompiledProfile, values: Mapping[str, Any] | None = None) -> None:
        """Take values by `family/value`, `message.field` or `field`. Raises: ValueError naming the nearest."""
        self.silent: dict[str, str] = {}  # messages that the profile does not say how to build, and why
        self.specs = {name: spec for name, spec in profile.profile.message.items() if spec.direction != "out"}
        self.bodies: dict[str, bytes] = {}
        self.values: dict[str, dict[str, Any]] = {}
        self._profile = profile
        self._names = dict(self._known_names())
        self._given: dict[str, dict[str, Any]] = {name: {} for name in self.specs}
        for name, value in (values or {}).items():
            message, field = self._named(name)
            self._given[message][field] = value
        for message, given in self._given.items():
            try:
                self._build(message)
            except EncodeError as error:
                if given:
                    raise
                self.silent[message] = str(error)

    @property
    def messages(self) -> Mapping[str, MessageSpec]:
        """Those that can be said."""
        return {name: spec for name, spec in self.specs.items() if name in self.bodies}

    def set(self, name: str, value: Any) -> None:
        """Say this from now on. Raises: ValueError naming the nearest; EncodeError for no such value."""
        message, field = self._named(name)
        self.put({message: {field: value}})

    def put(self, changes: Mapping[str, Mapping[str, Any]]) -> None:
        """Say these fields of these messages from now on, or none of them. Raises: EncodeError for no such value."""
        before = {message: (self._given[message], self.bodies.get(message)) for message in changes}
        try:
            for message, fields in changes.items():
                self._given[message] = {**self._given[message], **fields}
                self._build(message)
        except EncodeError:
            for message, (given, body) in before.items():
                self._given[message] = given
                if body is not None:
                    self._build(message)
            raise

    def body(self, message: str) -> bytes:
        """Return the body of a message. Raises: ValueError saying why it has none."""
        if message not in self.bodies:
            why = self.silent.get(message) or "no such message" + did_you_mean(message, self.bodies)
            raise ValueError(f"{message}: {why}")
        return self.bodies[message]

    def _build(self, message: str) -> None:
        spec = self._profile.profile.message[message]
        length = spec.when.length
        self.bodies[message], self.values[message] = filled(
            self._profile.messages[message],
            self._given[message],
            is_free=spec.format == "tlv",
            fits=partial(_has_length, length) if isinstance(length, str) and length.endswith("..") else _any,
        )
        self.silent.pop(message, None)

    def _named(self, name: str) -> tuple[str, str]:
        if name not in self._names:
            near = did_you_mean(name, self._names)
            raise ValueError(f"{self._profile.profile.profile.id} has no value {name!r}{near}")
        return self._names[name]

    def _known_names(self) -> Iterator[tuple[str, tuple[str, str]]]:
        """Give every spelling of every value, with its message and field; of equal ones the first counts."""
        seen: set[str] = set()
        for message in self.specs:
            family = segment_of(self._profile.family_of(message))
            for field in self._profile.messages[message].names:
                for spelling in (f"{family}/{segment_of(field)}", f"{message}.{field}", field):
                    if spelling not in seen:
                        seen.add(spelling)
                        yield spelling, (message, field)


def _has_length(length: str, body: bytes) -> bool:
    """Return whether a body has as many bytes as `"9.."` asks for."""
    return len(body) >= int(length.removesuffix(".."))


def _any(_body: bytes) -> bool:
    return True
