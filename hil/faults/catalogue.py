"""Every kind of fault with its own parameters. Data; what a kind does is its protocol's module.

A kind is one of three: it changes what passes on a bus (`PASS`), it is a state that begins and ends (`STATE`), or it
happens at once and is over (`EVENT`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final, NamedTuple

from gateway.spelling import did_you_mean
from hil.data import bytes_of
from hil.durations import ns

__tracebackhide__ = True  # pytest shows the line of the test instead

DURING: Final = ("any", "connect", "read", "write", "notify")  # what a disconnect interrupts
SCHEDULE: Final = ("at", "after", "probability", "pattern", "count", "duration")
COMMON: Final = ("bus", *SCHEDULE)

Read = Callable[[Any], Any]  # a parameter as given -> as the fault uses it; raises ValueError


class Acts(Enum):
    """How a kind of fault acts."""

    PASS = "on what passes"  # noqa: S105 - passing by
    STATE = "as long as it lasts"
    EVENT = "at once"


class Param(NamedTuple):
    """One own parameter of a kind."""

    read: Read
    default: Any = None  # None: it must be given


class Kind(NamedTuple):
    """One kind of fault."""

    name: str
    protocols: tuple[str, ...]  # of the buses on which it can be; "": it is on none (clock, disk)
    acts: Acts
    params: Mapping[str, Param]
    excludes: str = ""  # a name for those that cannot be in force together on one bus
    lasts: bool = False  # of an event: it takes its time, which is what its `duration` says


def kind_of(name: str) -> Kind:
    """Return the kind of that name. Raises: ValueError naming the nearest spelling."""
    if name not in KINDS:
        raise ValueError(f"no fault {name!r}{did_you_mean(name, KINDS)}")
    return KINDS[name]


def read_params(kind: Kind, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a kind's own parameters, checked, defaults filled in. Raises: ValueError naming the nearest spelling."""
    known = (*COMMON, *kind.params)
    for name in given:
        if name not in known:
            raise ValueError(f"fault {kind.name!r} has no parameter {name!r}{did_you_mean(name, known)}")
    read: dict[str, Any] = {}
    for name, param in kind.params.items():
        if name not in given and param.default is None:
            raise ValueError(f"fault {kind.name!r} needs {name!r}")
        try:
            read[name] = param.read(given.get(name, param.default))
        except (ValueError, TypeError) as error:
            raise ValueError(f"fault {kind.name!r}: {name} = {given.get(name)!r}: {error}") from error
    return read


# ---- how parameters are read


def data_of(value: Any) -> bytes:
    """Return bytes, at least one, given as such or as hex text. Raises: ValueError."""
    return bytes_of(bytes.fromhex(value) if isinstance(value, str) else value, least=1)


def whole(lowest: int, highest: int) -> Read:
    """Return a reader of whole numbers within limits."""

    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
            raise ValueError(f"a whole number from {lowest} to {highest}")
        return value

    return read


def number(lowest: float, highest: float) -> Read:
    """Return a reader of numbers within limits."""

    def read(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not lowest <= value <= highest:
            raise ValueError(f"a number from {lowest:g} to {highest:g}")
        return value

    return read


def one_of(*words: Any) -> Read:
    """Return a reader of one of these."""

    def read(value: Any) -> Any:
        if value not in words:
            raise ValueError(f"one of {', '.join(map(str, words))}")
        return value

    return read


def signed_ns(value: Any) -> int:
    """Return nanoseconds of a duration that may have a minus. Raises: ValueError."""
    if isinstance(value, str) and value.startswith("-"):
        return -ns(value[1:])
    return value if isinstance(value, int) and not isinstance(value, bool) else ns(value)


def span_ns(value: Any) -> tuple[int, int]:
    """Return the ends of "0ms..9ms", or of one duration from zero. Raises: ValueError."""
    low, dots, high = value.partition("..") if isinstance(value, str) else (0, "..", value)
    ends = (ns(low), ns(high)) if dots else (0, ns(low))
    if ends[0] > ends[1]:
        raise ValueError("the shorter duration comes first")
    return ends


def _kinds() -> dict[str, Kind]:
    uart, can, ble, spi = (("uart",), ("can",), ("ble",), ("spi",))
    factor = Param(number(0.01, 100.0))
    byte = whole(0, 255)
    found = [
        Kind("bit_flip", uart, Acts.PASS, {}),
        Kind("drop", uart, Acts.PASS, {}),
        Kind("duplicate", uart, Acts.PASS, {}),
        Kind("insert", uart, Acts.PASS, {"data": Param(data_of)}),
        Kind("truncate", uart, Acts.PASS, {"keep": Param(whole(0, 1 << 20))}),
        Kind("delay", uart, Acts.PASS, {"by": Param(ns)}),
        Kind("jitter", uart, Acts.PASS, {"by": Param(span_ns)}),
        Kind("reorder", uart, Acts.PASS, {}),
        Kind("split", uart, Acts.PASS, {"at_byte": Param(whole(1, 1 << 20))}),
        Kind("merge", uart, Acts.PASS, {}),
        Kind("noise", uart, Acts.PASS, {}),
        Kind("break", uart, Acts.EVENT, {}, lasts=True),
        Kind("baud", uart, Acts.PASS, {"factor": factor}, "baud"),
        Kind("parity", uart, Acts.PASS, {"send": Param(one_of("n", "o", "e"))}, "parity"),
        Kind("stop", uart, Acts.PASS, {"send": Param(one_of(1, 1.5, 2, "1", "1.5", "2"))}, "stop"),
        Kind("flow_stall", uart, Acts.STATE, {}, "flow_stall"),
        Kind("error_frame", can, Acts.EVENT, {}),
        Kind("error_passive", can, Acts.STATE, {}, "bus state"),
        Kind("bus_off", can, Acts.STATE, {}, "bus state"),
        Kind("lost_ack", can, Acts.PASS, {}),
        Kind("babble", can, Acts.STATE, {"id": Param(whole(0, 0x1FFFFFFF)), "load": Param(number(0.1, 100.0))}),
        Kind("dlc", can, Acts.PASS, {"dlc": Param(whole(0, 15))}, "dlc"),
        Kind("id_collision", can, Acts.PASS, {}),
        Kind("bitrate", can, Acts.STATE, {"factor": factor}, "bitrate"),
        Kind("tx_full", can, Acts.PASS, {}, "tx_full"),
        Kind("adv_loss", ble, Acts.PASS, {}),
        Kind("rssi_walk", ble, Acts.PASS, {"step": Param(number(0.0, 100.0))}, "rssi_walk"),
        Kind("disconnect", ble, Acts.EVENT, {"during": Param(one_of(*DURING), "any")}),
        Kind("stale_cache", ble, Acts.STATE, {}, "stale_cache"),
        Kind("notify_gap", ble, Acts.PASS, {}),
        Kind("adv_duplicate", ble, Acts.PASS, {}),
        Kind("key_change", ble, Acts.STATE, {}, "key_change"),
        Kind("mtu_shrink", ble, Acts.STATE, {"mtu": Param(whole(23, 517))}, "mtu_shrink"),
        Kind("stuck_miso", spi, Acts.PASS, {"value": Param(byte)}, "stuck_miso"),
        Kind("cs_glitch", spi, Acts.PASS, {}),
        Kind("bit_slip", spi, Acts.PASS, {"bits": Param(whole(1, 64))}, "bit_slip"),
        Kind("mode", spi, Acts.PASS, {"mode": Param(whole(0, 3))}, "mode"),
        Kind("unplug", ("uart", "can", "ble", "spi"), Acts.STATE, {}, "plug"),
        Kind("reenumerate", ("uart", "can"), Acts.EVENT, {}, "plug", lasts=True),
        Kind("brown_out", ("power",), Acts.EVENT, {}, lasts=True),
        Kind("reset", ("power",), Acts.EVENT, {}, lasts=True),
        Kind("clock_jump", ("",), Acts.EVENT, {"by": Param(signed_ns)}),
        Kind("disk_full", ("",), Acts.STATE, {}, "disk_full"),
    ]
    return {kind.name: kind for kind in found}


KINDS: Final = _kinds()
HOMES: Final = {"clock_jump": "clock", "disk_full": "disk"}  # what a trace names as the bus of those that are on none
ABOVE_BUSES: Final = frozenset({"brown_out", "reset", "clock_jump"})
"""Nothing passes where these are, so what they wait for is what passes on any bus."""
