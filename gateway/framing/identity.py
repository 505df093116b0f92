"""Layer 2: buses that deliver whole frames (CAN, BLE, SPI): every feed is one body."""

from __future__ import annotations

from gateway.framing.account import Account, Found


class IdentityFramer(Account):
    """Gives back what it is fed, empty bodies too; law 2 does not apply, for nothing may cut a packet."""

    def __init__(self, max_frame_bytes: int = 65_536) -> None:
        super().__init__(max_frame_bytes)

    def feed(self, data: bytes) -> Found:
        """Return `data`."""
        self._fed += len(data)
        self._frames += 1
        return [data]

    def gap(self) -> Found:
        """Return nothing: nothing is ever pending."""
        return []

    def encode(self, body: bytes) -> bytes:
        """Return `body`."""
        return body
