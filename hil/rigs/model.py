"""What a rig file says, as data. `hil/rigs/file.py` shows one."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from gateway.notation import Duration, HexText
from gateway.profile.model import LinkSpec

# the words of `hil/rigs/standard.py`, as types
Protocol = Literal["uart", "can", "ble", "spi", "power"]
State = Literal["off", "powered", "answering", "configured"]
Fact = str | int | bool

_LINK_KEYS: Final = {
    "uart": ("baud", "data_bits", "parity", "stop_bits", "flow", "rs485", "exclusive"),
    "can": ("bitrate", "fd", "data_bitrate"),
    "ble": (),
    "spi": ("mode", "speed_hz", "bits"),
}
POWER_WAYS: Final = {  # by the key that tells them apart: the others that belong to it, needed or not
    "hand": ((), ()),
    "hub": (("hub_port",), ()),
    "gpiochip": (("line",), ("active_low",)),
    "command_on": (("command_off",), ()),
}
KEYS: Final[dict[str, frozenset[str]]] = {
    **{name: frozenset({*keys, "port", "agent", "peer", "shared"}) for name, keys in _LINK_KEYS.items()},
    "ble": frozenset({*_LINK_KEYS["ble"], "port", "peer", "shared"}),
    "power": frozenset(
        {"settle", *POWER_WAYS, *(key for needed, also in POWER_WAYS.values() for key in (*needed, *also))}
    ),
}


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    pass


def _all_states() -> list[State]:
    return ["off", "powered", "answering", "configured"]


class RigHead(_Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[rig]`."""

    name: str = ""
    include: list[str] = msgspec.field(default_factory=list)  # files whose tables stand beneath this one's
    facts: dict[str, Fact] = msgspec.field(default_factory=dict)


class ResourceSpec(_Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[target.T.resource.R]`; which keys a protocol takes is in `KEYS`."""

    protocol: Protocol | None = None  # None never in a file that was loaded
    sim: bool = False
    port: str | None = None
    agent: str | None = None  # in place of a port: the machine that it hangs on, "pi.local:4716" or "ssh://pi/rig.toml"
    peer: str | None = None  # a second adapter, wired to the same lines from the board's side
    shared: bool = False  # one wire that several targets are on
    facts: dict[str, Fact] = msgspec.field(default_factory=dict)
    baud: int | None = None
    data_bits: Literal[5, 6, 7, 8] | None = None
    parity: Literal["none", "even", "odd"] | None = None
    stop_bits: float | None = None
    flow: Literal["none", "rtscts", "xonxoff"] | None = None
    rs485: bool | None = None
    exclusive: bool | None = None
    bitrate: int | None = None
    fd: bool | None = None
    data_bitrate: int | None = None
    mode: int | None = None
    speed_hz: int | None = None
    bits: int | None = None
    hand: bool = False
    hub: str | None = None  # its place: "1-1"
    hub_port: int | None = None
    gpiochip: str | None = None  # label or name
    line: int | None = None
    active_low: bool = False
    command_on: str | list[str] | None = None
    command_off: str | list[str] | None = None
    settle: Duration = "0s"

    def link(self) -> LinkSpec:
        """Return how to talk, as the drivers take it. Power has no such thing."""
        bus = self.protocol
        assert bus is not None
        assert bus != "power"
        told = {key: getattr(self, key) for key in _LINK_KEYS[bus] if getattr(self, key) is not None}
        return LinkSpec(bus=bus, **told)


class StateSpec(_Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[target.T.state.S]`: how a state is reached and how one sees that it was."""

    timeout: Duration | None = None
    retries: int = 0
    settle: Duration = "0s"  # waited before it counts as reached
    command: str | list[str] | None = None  # run first; its exit status 0 lets the rest happen
    on: str | None = None  # the resource that is talked to; by default the first that can be
    send: str | None = None
    send_hex: HexText | None = None
    send_id: int | None = None  # CAN
    expect: str | None = None  # a regular expression
    expect_hex: HexText | None = None  # these bytes, wherever they stand
    expect_id: int | None = None  # CAN


class TargetSpec(_Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[target.T]`: one board."""

    states: list[State] = msgspec.field(default_factory=_all_states)
    firmware: str | None = None  # what is on it, for reports
    facts: dict[str, Fact] = msgspec.field(default_factory=dict)
    options: dict[str, Fact] = msgspec.field(default_factory=dict)  # {NAME} in texts of states; a run may give others
    resource: dict[str, ResourceSpec] = msgspec.field(default_factory=dict)
    state: dict[str, StateSpec] = msgspec.field(default_factory=dict)


class RigFile(_Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rig file, whole."""

    rig: RigHead = RigHead()
    target: dict[str, TargetSpec] = msgspec.field(default_factory=dict)
