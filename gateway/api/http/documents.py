"""Layer 7: the documents of the HTTP door: bodies are validated by these types, answers are described by them.

`openapi.json` is made of them. Bodies refuse unknown keys; answers are what the CLI's `--json` prints.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec

from gateway.notation import Duration

MAX_KEY_CHARS: Final = 255

Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e9)] | Duration
"""A number of seconds, or a duration such as "2s"."""

Key = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_KEY_CHARS)]
"""What makes two requests one."""


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What comes in."""


class SetBody(Body, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A value for one setpoint."""

    value: Any
    expires: Seconds | None = None
    key: Key | None = None
    wait: Seconds | None = None  # 3 s at most


class PatchState(Body, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is wanted, by setpoint."""

    desired: dict[str, Any]


class PatchBody(Body, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change of a shadow."""

    state: PatchState


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """What goes out."""


class Value(Document, frozen=True, kw_only=True):
    """What a route says now."""

    value: Any
    units: str
    age_s: float | None
    stale: bool
    taints: list[str]
    seq: int | None


class ValueRow(Value, frozen=True, kw_only=True):
    """What one of several routes says now."""

    route: str


class RouteRow(Document, frozen=True, kw_only=True):
    """What a route means, and whether it can be set."""

    route: str
    units: str
    class_: str | None = msgspec.field(name="class")
    labels: list[str] | None
    minimum: float | None
    maximum: float | None
    writable: bool


class Choice(Document, frozen=True, kw_only=True):
    """Which profile somebody chose in place of the site file's."""

    profile: str
    instead_of: str
    by: str


class DeviceRow(Document, frozen=True, kw_only=True):
    """A device and how its connection stands."""

    name: str
    label: str | None
    area: str | None
    profile: str
    chosen: Choice | None  # where it is not the site file's
    title: str
    port: str
    bus: str
    state: str
    lifecycle: str
    target: str
    attempt: int
    reason: str
    first_error: str | None
    last_error: str | None
    next_retry_s: float | None
    stale: bool
    health: dict[str, Any]
    first_seen: float | None  # when a discovered one was first heard, in seconds since 1970
    messages: list[str]


class ShadowState(Document, frozen=True, kw_only=True):
    """The parts of a shadow, by setpoint."""

    desired: dict[str, Any]
    reported: dict[str, Any]
    effective: dict[str, Any]
    delta: dict[str, Any]


class Shadow(Document, frozen=True, kw_only=True):
    """What is wanted of a device, what it reports, what became of it."""

    device: str
    version: int
    state: ShadowState
    metadata: dict[str, Any]
    coherence: dict[str, str]
    stale: bool


class CommandRow(Document, frozen=True, kw_only=True):
    """One command."""

    id: str
    route: str
    value: Any
    key: str | None
    outcome: str | None
    receipt: int | None


class Result(Document, frozen=True, kw_only=True):
    """What became of one value: the object of `set --json`."""

    id: str | None
    route: str
    outcome: str | None
    reason: str | None
    desired: Any
    reported: Any
    effective: Any
    clamped: bool
    coherence: str | None
    attempts: int
    receipt: int | None
    key: str | None


class Entry(Document, frozen=True, kw_only=True):
    """One record of the ledger."""

    seq: int
    incarnation: int
    kind: str
    route: str | None
    class_: str = msgspec.field(name="class")
    time: str
    boot_no: int
    cause: int | None
    body: Any


class Head(Document, frozen=True, kw_only=True):
    """The end of the ledger."""

    seq: int
    head: str


class Point(Document, frozen=True, kw_only=True):
    """One value of a history; `t` is seconds since 1970."""

    t: float
    v: Any
    seq: int
    taints: list[str]


class Gap(Document, frozen=True, kw_only=True):
    """Sequence numbers that do not come."""

    from_: int = msgspec.field(name="from")
    to: int
    cause: str


class Item(Document, frozen=True, kw_only=True):
    """One value as it came; `t` is seconds since 1970, `seq` the number of its record."""

    route: str
    v: Any
    u: str
    t: float
    seq: int | None
    q: Literal["good", "stale", "bad"]
    taints: list[str]


class GapItem(Document, frozen=True, kw_only=True):
    """In a stream: something is missing here."""

    gap: Gap


class Routes(Document, frozen=True, kw_only=True):
    """Some routes, and where to go on."""

    routes: list[RouteRow]
    next: str | None


class Values(Document, frozen=True, kw_only=True):
    """Some values, and where to go on."""

    values: list[ValueRow]
    next: str | None


class Devices(Document, frozen=True, kw_only=True):
    """Some devices, and where to go on."""

    devices: list[DeviceRow]
    next: str | None


class Commands(Document, frozen=True, kw_only=True):
    """Some commands, and where to go on."""

    commands: list[CommandRow]
    next: str | None


class Entries(Document, frozen=True, kw_only=True):
    """Some records, and where to go on."""

    entries: list[Entry]  # or GapItem where numbers are missing
    next: str | None


class History(Document, frozen=True, kw_only=True):
    """What a route said over time, and where to go on."""

    route: str
    units: str
    points: list[Point]
    next: str | None


class ProblemRow(Document, frozen=True, kw_only=True):
    """One thing to say about a profile's text."""

    line: int
    key: str
    message: str
    severity: Literal["error", "warning"]


class ProblemDetails(Document, frozen=True, kw_only=True):
    """Why something was not done (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    problems: list[ProblemRow] | msgspec.UnsetType = msgspec.UNSET  # with code `profile`


class Health(Document, frozen=True, kw_only=True):
    """Whether the gateway lives, or is ready."""

    status: str
