"""Layer 6: what passes on the ports, both ways, as records of a trace, for who records it.

A port that nobody records is left as it is. One that is has its `read` and `write` tell; what a slow reader has no room
for is dropped and counted, and the port never waits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import repeat
from typing import Any, Final

from gateway.clock import Clock
from gateway.errors import UsageError
from gateway.frame import CAN_ERROR, CAN_EXTENDED, CAN_FD, CAN_ID_MASK, CAN_REMOTE, Address, Batch, Element
from gateway.port import Port
from gateway.runtime.mailbox import Mailbox
from gateway.runtime.parcel import Parcel
from gateway.runtime.supervisor import Keeper
from gateway.spelling import did_you_mean

TAP_RECORDS: Final = 16_384  # how far a reader may lag behind
CHUNK_RECORDS: Final = 256
CLASSIC_BYTES: Final = 8  # of a CAN frame; one with more is FD
_OLDEST_NS: Final = 10_000_000_000  # a stamp from before that is of a recording, and not when it came
_CAN_NAME: Final = re.compile(r"can\d{1,3}").fullmatch

Tell = Callable[[str, str, int, bytes, Address], None]  # what, rx or tx, when (monotonic), payload, address


class Tap:
    """One recording of some ports. `buses`: name -> what a trace's header says of it."""

    def __init__(self, keepers: Sequence[Keeper], clock: Clock) -> None:
        """Take whose ports."""
        self.began_ns = clock.monotonic_ns()
        self.wall_ns = clock.wall_ns()
        self._named = name_buses(keepers)
        self.buses = {
            name: {"protocol": keeper.bus, "port": keeper.path, "devices": [each.name for each in keeper.devices]}
            for name, keeper in self._named.items()
        }
        self._mailbox = Mailbox("tap", TAP_RECORDS, clock=clock)
        self._told = 0

    async def chunk(self) -> list[dict[str, Any]]:
        """Wait for records and return some; `{"dropped": N}` where N were dropped before them."""
        parcel = await self._mailbox.take(at_most=CHUNK_RECORDS)
        missed, self._told = self._mailbox.dropped - self._told, self._mailbox.dropped
        return [{"dropped": missed}, *parcel.items] if missed else list(parcel.items)

    def took(self, keeper: Keeper, batch: Batch) -> None:
        """Take in what a read gave."""
        bus = self._name_of(keeper)
        stamps = batch.stamps_ns or repeat(batch.wall_ns)
        records = [
            self._record(bus, keeper.bus, "rx", batch.received_ns - _age(batch.wall_ns - stamp_ns), payload, address)
            for payload, address, stamp_ns in zip(batch.payloads, batch.addresses or repeat(None), stamps, strict=False)
        ]
        if batch.dropped:
            records.append(self._lost(bus, batch))
        self._put(records)

    def gave(self, keeper: Keeper, now_ns: int, data: bytes, address: Address) -> None:
        """Take in what was written."""
        self._put([self._record(self._name_of(keeper), keeper.bus, "tx", now_ns, data, address)])

    def covers(self, keeper: Keeper) -> bool:
        """Whether this port is recorded."""
        return keeper in self._named.values()

    def _name_of(self, keeper: Keeper) -> str:
        return next(name for name, each in self._named.items() if each is keeper)

    def _put(self, records: list[dict[str, Any]]) -> None:
        self._mailbox.put_nowait(Parcel(records))

    def _lost(self, bus: str, batch: Batch) -> dict[str, Any]:
        t_ns = batch.received_ns - self.began_ns
        return {"t_ns": t_ns, "bus": bus, "dir": "note", "kind": "note", "data": "", "text": f"{batch.dropped} lost"}

    def _record(  # noqa: PLR0917 - a record's own order
        self, bus: str, protocol: str, direction: str, at_ns: int, data: bytes, address: Address
    ) -> dict[str, Any]:
        kind, payload, extra = kind_of(protocol, direction, data, address)
        head = {"t_ns": at_ns - self.began_ns, "bus": bus, "dir": direction, "kind": kind, "data": payload.hex()}
        return head | extra


class Taps:
    """All recordings of one gateway's ports."""

    def __init__(self, keepers: Sequence[Keeper], clock: Clock) -> None:
        """Take who keeps the ports; devices may come and go, a recording stays with the ports it began with."""
        self._keepers = keepers
        self._clock = clock
        self._taps: list[Tap] = []

    @contextmanager
    def open(self, names: Sequence[str]) -> Iterator[Tap]:
        """Record as long as the context lasts: the ports of these devices, by device or port; () all.

        Raises: UsageError for a name that is neither.
        """
        tap = Tap(self._chosen(names), self._clock)
        self._taps.append(tap)
        for keeper in self._keepers:
            if tap.covers(keeper):
                self._wrap(keeper)
        try:
            yield tap
        finally:
            self._taps.remove(tap)
            for keeper in self._keepers:
                if not any(each.covers(keeper) for each in self._taps):
                    vars(keeper.port).pop("read", None)
                    vars(keeper.port).pop("write", None)

    def _chosen(self, names: Sequence[str]) -> list[Keeper]:
        if not names:
            return list(self._keepers)
        found: list[Keeper] = []
        known: list[str] = []
        for keeper in self._keepers:
            names_here = [*(each.name for each in keeper.devices), *(each.name for each in keeper.discoveries)]
            own = [*names_here, keeper.name, keeper.path]
            known += own
            if any(name in own for name in names):
                found.append(keeper)
        for name in names:
            if name not in known:
                raise UsageError(f"no device {name!r}{did_you_mean(name, dict.fromkeys(known))}")
        return found

    def _wrap(self, keeper: Keeper) -> None:
        """Have a port tell what passes. It stays the object that it is, with all that it can beside."""
        port = keeper.port
        if isinstance(port, Exception) or "read" in vars(port):
            return
        read, write = port.read, port.write

        async def telling_read() -> Batch:
            batch = await read()
            for tap in self._taps:
                if tap.covers(keeper):
                    tap.took(keeper, batch)
            return batch

        async def telling_write(data: bytes, address: Address = None) -> None:
            now_ns = self._clock.monotonic_ns()
            await write(data, address)
            for tap in self._taps:
                if tap.covers(keeper):
                    tap.gave(keeper, now_ns, data, address)

        _replace(port, telling_read, telling_write)


def name_buses(keepers: Sequence[Keeper]) -> dict[str, Keeper]:
    """Return a trace's name for each port's bus: can0 where it is called so, else its kind and the lowest number."""
    named = {keeper.path: keeper for keeper in keepers if keeper.bus == "can" and _CAN_NAME(keeper.path)}
    for keeper in keepers:
        if keeper not in named.values():
            number = next(n for n in range(len(keepers) + 1) if f"{keeper.bus}{n}" not in named)
            named[f"{keeper.bus}{number}"] = keeper
    return dict(sorted(named.items()))


def kind_of(protocol: str, direction: str, data: bytes, address: Address) -> tuple[str, bytes, dict[str, Any]]:
    """Return a record's kind, its data, and its other keys."""
    if protocol == "can" and isinstance(address, int):
        return _frame(data, address)
    if isinstance(address, Element):
        facts = {
            name: value
            for name in ("address", "rssi", "name", "manufacturer", "service", "characteristic")
            if (value := getattr(address, name)) is not None
        }
        if address.characteristic is None:
            return "adv", data, facts
        return "write" if direction == "tx" else "notify", data, facts
    if protocol == "spi":
        return "transfer", *((address, {"rx": data.hex()}) if isinstance(address, bytes) else (data, {}))
    return "bytes", data, {}


def _frame(data: bytes, address: int) -> tuple[str, bytes, dict[str, Any]]:
    number = address & CAN_ID_MASK
    if address & CAN_ERROR:
        return "error", data, {"id": f"{number | CAN_ERROR:08X}"}
    extra: dict[str, Any] = {"id": f"{number:08X}" if address & CAN_EXTENDED else f"{number:03X}"}
    if address & CAN_REMOTE:
        return "remote", b"", extra | {"dlc": len(data)}
    return "fd" if address & CAN_FD or len(data) > CLASSIC_BYTES else "data", data, extra


def _age(span_ns: int) -> int:
    return span_ns if 0 <= span_ns < _OLDEST_NS else 0


def _replace(port: Port, read: Callable[..., Any], write: Callable[..., Any]) -> None:
    """Put methods before those of a port's class, until they are taken from its `vars`."""
    vars(port).update(read=read, write=write)
