"""A CAN interface named by the USB adapter that carries it: `usb:VID:PID[:serial]`, whatever it is called today."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from drivers._can_socket import SocketCanPort
from drivers._plug import plugged
from drivers._usb_identity import can_interface_of
from gateway.errors import PortClosedError
from gateway.frame import Address, Batch, Element, PortName
from gateway.port import CanFilter


class UsbCanPort:
    """The port of the interface that the adapter has at each `open`."""

    is_stream = False

    def __init__(
        self,
        target: str,
        make: Callable[[str], SocketCanPort],
        find: Callable[[str], str] = can_interface_of,
    ) -> None:
        """Take how a port is made for an interface, and how the interface is found."""
        self.name = PortName(target)
        self._make = make
        self._find = find
        self._wanted: Sequence[CanFilter | Element] | None = None
        self._port: SocketCanPort | None = None

    def listen_for(self, wanted: Sequence[CanFilter | Element]) -> bool:
        """Let the kernel leave out other ids from now on. Return whether it does."""
        self._wanted = wanted
        return self._port is None or self._port.listen_for(wanted)

    async def open(self) -> None:
        """Find the interface and open it. Raises: PortNotFoundError where no such adapter is plugged in, and others."""
        await self.close()
        port = self._make(self._find(self.name))
        if self._wanted is not None:
            port.listen_for(self._wanted)
        await port.open()
        self._port = port

    async def read(self) -> Batch:
        """Return the frames that are there, waiting for the first. Raises: PortLostError, PortClosedError."""
        return await self._opened().read()

    async def write(self, data: bytes, address: Address = None) -> None:
        """Send one frame. Raises: as the interface's port."""
        await self._opened().write(data, address)

    async def close(self) -> None:
        """Release the socket; a waiting read raises PortClosedError."""
        port, self._port = self._port, None
        if port is not None:
            await port.close()

    def health(self) -> dict[str, Any]:
        """Return what is known of the bus; {} while no adapter is open."""
        return {} if self._port is None else self._port.health()

    async def plugged(self) -> None:
        """Return when a network interface appeared."""
        await plugged("net")

    def _opened(self) -> SocketCanPort:
        if self._port is None:
            raise PortClosedError(self.name, "by us")
        return self._port
