"""Layer 4: what a port is. `gateway.testing.check_driver` holds every implementation to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from gateway.frame import Address, Batch, Element, PortName


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


class CanFilter(NamedTuple):
    """CAN ids that are wanted: those equal to `can_id` in the bits of `mask` (linux/can.h flag bits included)."""

    can_id: int
    mask: int


class Sample(NamedTuple):
    """A request that a port repeats by itself."""

    request: bytes
    every_ns: int


# What a link may be able to do beyond a Port. A port that has the method can; the runtime asks with isinstance.


@runtime_checkable
class AskingPort(Port, Protocol):
    """A link on which an answer belongs to its request: SPI transfers, GATT reads."""

    async def ask(self, request: bytes, address: Address = None) -> None:
        """Send a request whose answer comes by `read`. Its address there says what it answers.

        SPI: `request` is the whole transfer, the answer's address is `request`. GATT: `address` is an Element with the
        characteristic to read, and so is the answer's.
        Raises: PortRefusedError when the other end will not, PortTimeoutError, PortLostError, PortClosedError.
        """
        ...


@runtime_checkable
class SamplingPort(AskingPort, Protocol):
    """A link that keeps time better than an event loop does."""

    def sample(self, plan: Sequence[Sample]) -> None:
        """Ask each request on its own drift-free grid from now on, in place of what was sampled before; () for none.

        Answers come by `read` as those of `ask` do. Ends with `close`.
        """
        ...


@runtime_checkable
class FilteringPort(Port, Protocol):
    """A link that can leave out what nobody wants, or must be told what to listen to."""

    def listen_for(self, wanted: Sequence[CanFilter | Element]) -> bool:
        """Give only what matches one of `wanted`; () for everything. Return whether that holds from now on.

        False: it does from the next `open` on. An Element without address is a pattern: the parts that are set must be
        equal. GATT: the characteristics to subscribe to.
        """
        ...


@runtime_checkable
class ReportingPort(Port, Protocol):
    """A link that knows more of its wire than frames: bus states, counters, timing."""

    def health(self) -> dict[str, Any]:
        """Return facts for `status`, JSON-ready, named with their units; at any time, also while closed."""
        ...


@runtime_checkable
class PluggablePort(Port, Protocol):
    """A link to something that is plugged in while the machine runs."""

    async def plugged(self) -> None:
        """Return when something was plugged in that this port may be, so that opening is worth a try at once.

        Waits for ever where the system does not tell. Nothing has to be open. Cancel-safe.
        """
        ...
