"""What every far end is, and the error of a host that cannot carry one."""

from __future__ import annotations

from gateway.errors import GatewayError
from gateway.frame import Address


class RigUnavailableError(GatewayError):
    """The host cannot carry the rig: the message says what is missing and how to get it."""


class Wire:
    """The far end of one port, as `gateway.testing.check_driver` wants it. Usable from any thread.

    A bus that cannot do one of these has no such method: subclasses define those of `send(data)`, `receive() -> bytes`
    (what came so far, b"" for nothing), `unplug()`, `plug()`, `stall()` (take nothing any more), `resume()` (throw away
    what waits, take again) that their link has, plain or async.
    """

    address: Address = None  # for writes towards this end
    payload_bytes = 8  # of one frame on a packet port
