"""Layer 4: what a port is. `gateway.testing.check_driver` holds every implementation to it."""

from __future__ import annotations

from typing import Protocol

from gateway.frame import Address, Batch, PortName


class Port(Protocol):
    """One physical or virtual wire. Opened, read, written and closed by one pipeline; may be reopened after a close."""

    name: PortName
    is_stream: bool  # True: payloads are chunks that need framing; False: payloads are whole frames

    async def open(self) -> None:
        """Open and configure, exclusively where the link can. Names and links are resolved at every call.

        Raises: PortNotFoundError, PortPermissionError, PortBusyError, PortOptionError, DriverError.
        """
        ...

    async def read(self) -> Batch:
        """Wait until something came, then return all of it (bounded), stamped. Cancel-safe: nothing is lost.

        Raises: PortLostError when the wire went away, PortClosedError after `close`, EOFError when a log has ended.
        """
        ...

    async def write(self, data: bytes, address: Address = None) -> None:
        """Send `data` whole. `address` is the CAN id on a CAN port.

        Raises: PortTimeoutError when the wire does not take it, PortLostError, PortClosedError.
        """
        ...

    async def close(self) -> None:
        """Release everything within a second; may be called twice, and while a read waits (which then raises)."""
        ...
