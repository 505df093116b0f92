"""SPI and Bluetooth of a bench as ports of the gateway under test: what it does with them is in the rig's trace.

The gateway's own drivers are at work. A chip select is a node of ours, behind which the rig makes the transfers, also
where the device hangs on another machine. What a radio hears the rig records by itself; links are recorded here.
"""

from __future__ import annotations

import contextlib
import errno
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from drivers._ble_gatt import GattPort
from drivers._spi_bus import Buses
from drivers.ble import DRIVER as BLE
from drivers.spi import SpiPort
from gateway.clock import Clock
from gateway.driver import Driver
from gateway.errors import PortError, PortLostError, PortOptionError
from gateway.frame import Address, Batch, Element
from gateway.port import Port
from gateway.profile.model import LinkSpec
from gateway.registry import driver_for
from hil.lease.errors import LeaseError
from hil.rigs.base import RigError, RigLostError
from hil.rigs.bench.ble import BenchBle
from hil.rigs.bench.leased import deed
from hil.rigs.bench.spi import BenchSpi
from hil.rigs.bench.wire import Wire

PREFIX: Final = "hil:"


class BenchDriver:
    """A gateway's way to the chip selects and radios of one target."""

    name = "hil"

    def __init__(self, rig: Any, folder: Path) -> None:
        """Take an existing folder for nodes of ours."""
        self._rig = rig
        self._folder = folder
        self._buses = Buses()

    def claims(self, target: str, bus: str) -> bool:
        """Whether a port text is of the rig."""
        del bus
        return target.startswith(PREFIX)

    def driver_for(self, target: str, bus: str) -> Driver:
        """Return who serves a port text: the rig, or the machine's own drivers."""
        return self if self.claims(target, bus) else driver_for(target, bus)

    def make(self, target: str, link: LinkSpec, clock: Clock) -> Port:
        """Return an unopened port. Raises: PortOptionError for what the rig has not on this kind of bus."""
        name, _, address = target.removeprefix(PREFIX).partition("/")
        protocol = self._rig.resources[name]
        if protocol != link.bus:
            raise PortOptionError(target, f"the rig's {name} is {protocol}, and the profile is for {link.bus}")
        handle = self._rig.get(name)
        if isinstance(handle, BenchSpi):
            return self._chip_select(target, name, handle, link, clock)
        assert isinstance(handle, BenchBle)
        wire = handle.wires[0]
        adapter, slash, device = wire.identity.partition("/")
        text = f"{adapter}/{address or device}" if address or slash else adapter
        port = BLE.make(text, link, clock)
        return RecordedGattPort(port, link, name, wire) if isinstance(port, GattPort) else port

    def _chip_select(self, target: str, name: str, spi: BenchSpi, link: LinkSpec, clock: Clock) -> Port:
        try:
            spi.suit(link)
        except (ValueError, RigError) as error:
            raise PortOptionError(target, str(error)) from error
        number = list(self._rig.resources).index(name)
        node = self._folder / name / f"spidev{number}.0"
        node.parent.mkdir(exist_ok=True)
        node.touch()
        plain = msgspec.structs.replace(link, bits=8)  # bytes are as on the wire: words are turned behind the node
        return SpiPort(str(node), plain, clock, self._buses, lambda: RigSpidev(spi))


class RigSpidev:
    """py-spidev's `SpiDev` in front of a rig's chip select."""

    def __init__(self, spi: BenchSpi) -> None:
        self._spi = spi
        self.mode = 0  # set, and not used: the rig's own settings are those of the wire
        self.max_speed_hz = 0
        self.bits_per_word = 8

    def open_path(self, path: str) -> None:
        """Open the node. Raises: OSError where the rig has lost what is behind it."""
        if not self._spi.is_there:
            raise OSError(errno.ENXIO, "the rig has lost it", path)

    def close(self) -> None:
        """Release nothing: the rig keeps it."""

    def xfer2(self, values: Iterable[int]) -> list[int]:
        """Transfer. Raises: OSError."""
        return list(self.xfer3(bytes(values)))

    def xfer3(self, values: bytes) -> bytes:
        """Transfer. Raises: OSError."""
        try:
            return self._spi.transfer(bytes(values))
        except (RigLostError, LeaseError) as error:
            raise OSError(errno.ENODEV, str(error)) from error
        except ValueError as error:
            raise OSError(errno.EMSGSIZE, str(error)) from error
        except RigError as error:
            raise OSError(errno.EIO, str(error)) from error

    def writebytes2(self, values: bytes) -> None:
        """Transfer as much at once as goes. Raises: OSError."""
        for start in range(0, len(values), self._spi.most_bytes):
            self.xfer3(values[start : start + self._spi.most_bytes])


class RecordedGattPort(GattPort):
    """A link of the gateway's to a device, written down as the simulated rig writes down its own."""

    def __init__(self, port: GattPort, link: LinkSpec, bus: str, wire: Wire) -> None:
        """Take the port in whose place this is, the resource and its wire."""
        super().__init__(port.name, port.where, link, port.clock)
        self._bus = bus
        self._wire = wire
        self._linked: str | None = None  # address of the device
        self._asked: Counter[str] = Counter()  # reads that were not answered yet

    async def open(self) -> None:
        """Connect. Raises: as `GattPort.open`."""
        await super().open()
        assert self._session is not None
        self._linked = self._session.address
        self._asked.clear()
        self._record("rx", "connect")

    async def read(self) -> Batch:
        """Return notifications and answers. Raises: PortLostError, PortClosedError."""
        try:
            batch = await super().read()
        except PortLostError as error:
            self._ended("rx", error.cause)
            raise
        for payload, address in zip(batch.payloads, batch.addresses or (), strict=False):
            uuid = _uuid_of(address)
            is_answer = self._asked[uuid] > 0
            self._asked[uuid] -= is_answer
            self._record("rx", "read" if is_answer else "notify", payload, uuid=uuid)
        return batch

    async def ask(self, request: bytes, address: Address = None) -> None:
        """Read a characteristic. Raises: as `GattPort.ask`."""
        uuid = _uuid_of(address)
        self._asked[uuid] += 1
        try:
            with self._deed("read", b"", uuid):
                await super().ask(request, address)
        except PortError:
            self._asked[uuid] -= 1
            raise

    async def write(self, data: bytes, address: Address = None) -> None:
        """Write a characteristic. Raises: as `GattPort.write`."""
        with self._deed("write", data, _uuid_of(address)):
            await super().write(data, address)

    async def close(self) -> None:
        """Disconnect."""
        await super().close()
        self._ended("tx", "closed by the host")

    @contextlib.contextmanager
    def _deed(self, kind: str, data: bytes, uuid: str) -> Iterator[None]:
        """Do something to the device, as long as it is ours. Raises: PortLostError."""
        with contextlib.ExitStack() as ours:
            try:
                ours.enter_context(deed(self._wire.lease))
            except LeaseError as error:
                raise PortLostError(self.name, str(error)) from error
            self._record("tx", kind, data, uuid=uuid)
            yield

    def _ended(self, direction: str, reason: str) -> None:
        if self._linked is not None:
            self._record(direction, "disconnect", reason=reason)
            self._linked = None

    def _record(self, direction: str, kind: str, data: bytes = b"", **facts: Any) -> None:
        world = self._wire.hearing()
        if world is not None:
            world.record(self._bus, direction, kind, data, address=self._linked, **facts)


def _uuid_of(address: Address) -> str:
    return address.characteristic or "" if isinstance(address, Element) else ""
