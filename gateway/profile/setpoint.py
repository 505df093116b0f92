"""Layer 3: one setpoint ready to work: a value checked, an attempt built, its ack and its report understood.

Pure: what the device said last comes in, bytes for the wire go out. What must be remembered between attempts is in
`setpoints.py`; when to send, to wait and to give up is decided elsewhere, and so is who may.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from gateway.errors import EncodeError
from gateway.profile.build import CompiledProfile
from gateway.profile.model import Profile, SetpointSpec
from gateway.profile.recorded import Adjust
from gateway.profile.setpoint_ack import FOREIGN, Ack, AckRule, fields_of
from gateway.profile.setpoint_value import Refusal, ValueRule, scale_of
from gateway.profile.setpoint_wire import Wire, Write, piece_of
from gateway.route import Route, Variant, segment_of
from gateway.schema.compile import compile_message
from gateway.schema.facts import Fact, parse_facts
from gateway.schema.filling import Body, Filling, UnknownFieldsError, leaves_of
from gateway.schema.plan import ABSENT, Row
from gateway.schema.spec import BitSpec, FieldSpec

Confirm = Literal["report", "ack", "none", "operator"]


class Seen(NamedTuple):
    """What one message of the device said last."""

    values: Mapping[str, Any]  # decoded, by field; inactive branches left out
    received_ns: int  # monotonic
    is_stale: bool = False  # silent for longer than it may
    is_restored: bool = False  # said in an earlier run of the gateway: the device may have restarted since


Latest = Callable[[str], Seen | None]  # from message to what it said last; None: nothing yet


class Attempt(NamedTuple):
    """One attempt to set a value."""

    setpoint: str
    message: str
    write: Write
    echo: Mapping[str, Any]  # raw numbers that an ack must repeat, by the ack's field
    values: Mapping[str, Any]  # what the written fields say, as the device has them
    counters: Mapping[str, int]  # raw numbers, by field of the message


class Setpoint:
    """One `[setpoint.NAME]` of a profile, for all its devices. Remembers nothing."""

    def __init__(self, profile: CompiledProfile, name: str) -> None:
        """Take a checked profile.

        Raises: ValueError as `setpoint_problems` finds it, UsageError for an unknown checksum.
        """
        spec = profile.profile.setpoint[name]
        self.name = name
        self.spec: SetpointSpec = spec
        self.message, self.field = parts_of(spec.write)
        self.reported_by: tuple[str, str] | None = parts_of(spec.report) if spec.report is not None else None
        self.acked_by: str | None = spec.ack.message if spec.ack is not None else None
        self.shown: str = self.reported_by[1] if self.reported_by else self.field  # what the site's `adjust` would name
        self.confirm: Confirm = spec.confirm or ("report" if spec.report is not None else "ack")
        self.family: str = segment_of(profile.family_of(self.reported_by[0] if self.reported_by else self.message))
        self._profile = profile
        piece = piece_of(profile.profile, self.message, self.field)
        is_whole = piece.part == "message"
        self._plan = profile.messages[self.message] if is_whole else compile_message(self.message, piece.spec)
        self._wire = Wire(profile, self.message, self.field, piece)
        self._filling = Filling(piece.spec, self._plan, self.field, spec.fill)
        find = field_finder(profile.profile)
        self._interlock: list[Fact] = [fact for item in spec.interlock for fact in parse_facts(item, find)]
        self._ack = AckRule(profile, spec.ack) if spec.ack is not None else None
        written, reported = find(spec.write), find(spec.report or "")
        if written is None:
            raise ValueError(f"{spec.write} is no field")
        leaves = leaves_of(piece.spec).get(self.field, [])
        self._is_binary = bool(leaves)
        self.written: FieldSpec | BitSpec = written
        self._rule = ValueRule(name, spec, written, leaves)
        scale = max(scale_of(written), scale_of(reported))
        self.tolerance: float = scale if spec.tolerance is None else spec.tolerance

    @property
    def counters(self) -> tuple[str, ...]:
        """Return the fields of the message that a counter fills."""
        return self._filling.counters

    def warm(self) -> None:
        """Pay now for what the first write would take from the loop: the builder is loaded and made."""
        with contextlib.suppress(EncodeError):
            self._plan.encode({})

    def route(self, device: str) -> Route:
        """Return where the desired value of a device stands. Raises: RouteError for a name that is no segment."""
        return Route(device, self.family, segment_of(self.name), Variant.DESIRED)

    def check(self, value: Any, adjust: Adjust | None = None) -> Any | Refusal:
        """Return the value as a report would spell it (labels, flags in order), or why it cannot be set.

        `adjust` is what the site does to reports of it.
        """
        return self._rule.check(value, adjust)

    def interlocked(self, latest: Latest) -> Refusal | None:
        """Return why nothing may be written now; what is unknown or stale forbids it."""
        fact = next((fact for fact in self._interlock if _forbids(fact, latest)), None)
        if fact is None:
            return None
        seen = latest(parts_of(fact.name)[0])
        is_passing = seen is None or seen.is_stale or seen.is_restored
        return Refusal("interlock", f"{self.name}: {_forbids(fact, latest)}", is_passing)

    def build(self, value: Any, last: Callable[[str], Any], counts: Mapping[str, int]) -> Body | Refusal:
        """Return the body that sets a checked value, as the device has it, or why it or the rest cannot be written.

        `last` and `counts` are those of `Filling.build`.
        """
        try:
            return self._filling.build(value, last, counts)
        except UnknownFieldsError as error:
            return Refusal("fill", f"{self.name}: {self.message}: {error}")
        except EncodeError as error:  # of a binary field `check` has found every value that does not fit
            return Refusal("fill" if self._is_binary else "range", f"{self.name}: {self.message}: {error}")

    def attempt(self, body: Body) -> Attempt | Refusal:
        """Return a body made ready for the wire, with what an ack must repeat of it."""
        try:
            write = self._wire.write(body.data)
        except EncodeError as error:
            return Refusal("range", f"{self.name}: {self.message}: {error}")
        same = self.spec.ack.same if self.spec.ack is not None else {}
        raw = self._plan.decode_raw(body.data) if same else {}
        echo = {theirs: raw.get(ours) for theirs, ours in same.items()}
        return Attempt(self.name, self.message, write, echo, body.values, body.counters)

    def judge(self, body: bytes, attempt: Attempt) -> Ack:
        """Return what the body of an ack's message says to this attempt. Whether it is newer is not asked."""
        return FOREIGN if self._ack is None else self._ack.judge(body, attempt.echo)

    def reported(self, row: Row) -> Any:
        """Return the value in a decoded row of the report's message; None where it says none."""
        if self.reported_by is None:
            return None
        message, field = self.reported_by
        value = row[self._profile.messages[message].names.index(field)]
        return None if value is ABSENT else value


def compile_setpoints(profile: CompiledProfile) -> dict[str, Setpoint]:
    """Return all setpoints of a profile, for all devices that share it. Raises: as `Setpoint` does."""
    return {name: Setpoint(profile, name) for name in profile.profile.setpoint}


def parts_of(text: str) -> tuple[str, str]:
    """Return message and field of "message.field"."""
    message, _, field = text.partition(".")
    return message, field


def field_finder(profile: Profile) -> Callable[[str], FieldSpec | BitSpec | None]:
    """Return what finds the field of a "message.field"."""

    def find(text: str) -> FieldSpec | BitSpec | None:
        message, field = parts_of(text)
        spec = profile.message.get(message)
        return None if spec is None else fields_of(spec).get(field)

    return find


def _forbids(fact: Fact, latest: Latest) -> str:
    """Return why a fact of an interlock does not hold; "" where it does."""
    message, field = parts_of(fact.name)
    seen = latest(message)
    if seen is None:
        return f"{fact.name} is not known yet; wait for the device to say it"
    if seen.is_stale or seen.is_restored:
        return f"{fact.name} is stale; wait for the device to say it again"
    value = seen.values.get(field)
    if fact.holds(value):
        return ""
    return f"{fact.name} is not known" if value is None else f"{fact.name} is {value!r}, which forbids it"
