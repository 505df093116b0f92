"""Layer 3: a device profile as a document (PROFILES sections 1, 2, 6, 7).

Message and field specs are in `gateway.schema.spec`, framing kinds in `gateway.framing.spec`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from gateway.framing.spec import FramingSpec
from gateway.notation import Duration, HexText
from gateway.schema.spec import INTERNAL, Condition, MessageSpec, RecordSpec


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    pass


class ProfileHead(_Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[profile]`."""

    id: str  # publisher/name@semver
    title: str | None = None
    url: str = ""
    family: str | None = None
    requires: str = "1"


class ParamSpec(_Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[params] NAME = {...}`: a value given per device."""

    type: str = "text"  # "text", an integer type, "key"
    default: int | str | None = None
    minimum: int | None = None
    maximum: int | None = None
    about: str = ""


class MatchSpec(_Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`link.match`: how to recognise the device; all keys must agree."""

    vid_pid: str | None = None
    product: str | None = None
    serial: str | None = None
    can_ids: list[int] | None = None
    manufacturer: int | None = None
    service: str | None = None
    name: str | None = None


class LinkSpec(_Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[link]`; which keys a bus takes is in `LINK_KEYS`."""

    bus: Literal["uart", "can", "ble", "spi"]
    match: MatchSpec | None = None
    baud: int = 9600
    data_bits: Literal[5, 6, 7, 8] = 8
    parity: Literal["none", "even", "odd"] = "none"
    stop_bits: float = 1
    flow: Literal["none", "rtscts", "xonxoff"] = "none"
    rs485: bool = False
    exclusive: bool = True
    bitrate: int | None = None
    fd: bool = False
    data_bitrate: int | None = None
    mode: int | str | None = None  # ble: "advertisement" or "gatt"; spi: 0..3
    duplicates: Literal["coalesce", "all"] = "coalesce"
    cipher: Literal["none", "bthome2", "mibeacon", "victron"] = "none"
    key: str | None = None
    speed_hz: int = 1_000_000
    bits: int = 8
    read_mask: int = 0x80
    write_mask: int = 0x7F
    address_bytes: int = 1


LINK_KEYS: dict[str, frozenset[str]] = {
    "uart": frozenset({"baud", "data_bits", "parity", "stop_bits", "flow", "rs485", "exclusive"}),
    "can": frozenset({"bitrate", "fd", "data_bitrate"}),
    "ble": frozenset({"mode", "duplicates", "cipher", "key"}),
    "spi": frozenset({"mode", "speed_hz", "bits", "read_mask", "write_mask", "address_bytes"}),
}
MATCH_KEYS: dict[str, frozenset[str]] = {
    "uart": frozenset({"vid_pid", "product", "serial"}),
    "can": frozenset({"can_ids"}),
    "ble": frozenset({"manufacturer", "service", "name"}),
    "spi": frozenset(),
}


class DbcSpec(_Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[dbc]`: a CAN database beside the profile."""

    file: str
    messages: list[str] | None = None
    node: str | None = None


class AckSpec(_Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`setpoint.ack`."""

    message: str
    where: dict[str, Any] = msgspec.field(default_factory=dict)
    same: dict[str, str] = msgspec.field(default_factory=dict)
    accept: dict[str, Any] = msgspec.field(default_factory=dict)


class BudgetSpec(_Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`setpoint.budget`."""

    per_hour: int | None = None
    bus_time: Duration | None = None


class SetpointSpec(_Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[setpoint.NAME]`: something that can be set."""

    write: str
    report: str | None = None
    ack: AckSpec | None = None
    confirm: Literal["report", "ack", "none", "operator"] | None = None
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    tolerance: float | None = None
    fill: dict[str, Any] = msgspec.field(default_factory=dict)
    repeat: Duration | None = None
    timeout: Duration = "1s"
    attempts: int = 1
    backoff: str = "100ms..5s"
    idempotent: bool = False
    expires: Duration | None = None
    on_fail: Literal["keep", "revert", "safe"] = "keep"
    safe: Any = None
    restore: bool = False
    budget: BudgetSpec | None = None
    dead_man: Duration | None = None
    interlock: list[Condition] = msgspec.field(default_factory=list)


class RegisterWrite(_Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`{ write = { register, data } }`."""

    register: int
    data: HexText


class ConnectStep(_Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step of `lifecycle.connect`: exactly one of ask, write, send, set, wait."""

    ask: str | None = None
    write: RegisterWrite | None = None
    send: HexText | None = None
    framed: bool = True  # False: `send` goes out as it is
    set: str | None = None
    value: Any = None
    wait: Duration | None = None


class LifecycleSpec(_Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[lifecycle]`."""

    stale_after: Duration = "30s"
    connect_timeout: Duration = "10s"
    reconnect: str = "1s..1m"
    version: str | None = None
    connect: list[ConnectStep] = msgspec.field(default_factory=list)


class FirmwareSpec(_Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[firmware]`: reserved."""

    version: str | None = None
    method: str | None = None


class QueueSpec(_Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[queue]`: the device's mailbox."""

    capacity: int = 256  # frames
    when_full: Literal[
        "drop_oldest", "drop_newest", "coalesce_latest", "deadline_drop", "reject", "block", "spill_to_store"
    ] = "drop_oldest"
    deadline: Duration = "1s"
    lane: Literal["control", "telemetry", "bulk", "debug"] = "telemetry"


class Profile(_Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One profile file, whole. `message` keeps file order: the first match wins."""

    profile: ProfileHead
    link: LinkSpec
    params: dict[str, ParamSpec] = msgspec.field(default_factory=dict)
    framing: FramingSpec | None = None
    dbc: DbcSpec | None = None
    message: dict[str, MessageSpec] = msgspec.field(default_factory=dict)
    setpoint: dict[str, SetpointSpec] = msgspec.field(default_factory=dict)
    lifecycle: LifecycleSpec = LifecycleSpec()
    queue: QueueSpec = QueueSpec()
    record: RecordSpec = RecordSpec()
    firmware: FirmwareSpec | None = None
    unit: Annotated[int | None, INTERNAL] = None  # value of parameter `unit`: the Modbus unit address (PROFILES 3)
