"""Layer 2: SPI transfers: what to clock out for a request, and which message the bytes clocked in are.

A transfer is two byte strings of one length: `tx` as sent, `rx` as read at the same time. A register read begins with
the address, `register | read_mask` in `address_bytes` bytes, big-endian; what was read meanwhile means nothing and is
no part of the body. A message asked for by `send` is full duplex: its body is all that was read. A `send` of zeros
alone only clocks a chip without an input: it is met by any bytes of its length that are no other request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway.frame import MAX_GARBAGE_BYTES, Garbage
from gateway.notation import hex_bytes
from gateway.schema.match import tests_of
from gateway.schema.spec import AskSpec, MessageSpec

_DUMMY: Final = b"\x00"  # clocked out while reading


class Transfers:
    """The transfers of one SPI device: built from requests, told apart by what was sent."""

    def __init__(
        self, messages: Mapping[str, MessageSpec], *, read_mask: int, write_mask: int, address_bytes: int
    ) -> None:
        """Take the messages in file order and `[link]`'s register convention."""
        self._read_mask = read_mask
        self._write_mask = write_mask
        self._address_bytes = address_bytes
        asked = [(name, spec, spec.ask) for name, spec in messages.items() if spec.ask and spec.direction != "out"]
        self._sent = {name: hex_bytes(ask.send) for name, _, ask in asked if ask.send is not None}
        self._registers = {
            name: (ask.register | read_mask, ask.length or 0) for name, _, ask in asked if ask.register is not None
        }
        self._tests = {name: tests_of(spec) for name, spec, _ in asked}

    def request(self, ask: AskSpec) -> bytes:
        """Return what to clock out for a message, zeros where only reading matters. Raises: ValueError."""
        if ask.send is not None:
            return hex_bytes(ask.send)
        if ask.register is None or ask.length is None:
            raise ValueError("this request is not one of SPI")
        return self._address(ask.register | self._read_mask) + _DUMMY * ask.length

    def write(self, register: int, data: bytes) -> bytes:
        """Return what to clock out to write `data` from `register` on. Raises: OverflowError."""
        return self._address(register & self._write_mask) + data

    def read(self, tx: bytes, rx: bytes) -> tuple[str, bytes] | Garbage:
        """Return the message and its body, or why there is none.

        Reasons: "length" (unequal, empty, or fewer bytes than the message asks for), "write", "unknown".
        """
        if len(tx) != len(rx) or not tx:
            return _refused(rx or tx, "length")
        whole = self._answered(tx, rx)
        if whole is not None:
            return whole, rx
        address = int.from_bytes(tx[: self._address_bytes], "big")
        body = rx[self._address_bytes :]
        asked = {name: length for name, (wanted, length) in self._registers.items() if wanted == address}
        fitting = [name for name, length in asked.items() if length <= len(body) and self._holds(name, body)]
        if fitting:
            return max(fitting, key=asked.__getitem__), body
        clocked = self._answered(bytes(len(tx)), rx)
        if clocked is not None:
            return clocked, rx
        if any(length > len(body) for length in asked.values()):
            return _refused(rx, "length")
        is_write = self._read_mask != 0 and address & self._read_mask != self._read_mask
        return _refused(tx, "write") if is_write else _refused(rx, "unknown")

    def _answered(self, tx: bytes, rx: bytes) -> str | None:
        """Return the full-duplex message whose request is `tx`."""
        return next((name for name, sent in self._sent.items() if sent == tx and self._holds(name, rx)), None)

    def _holds(self, name: str, body: bytes) -> bool:
        return all(test(body, None) for test in self._tests[name])

    def _address(self, number: int) -> bytes:
        return number.to_bytes(self._address_bytes, "big")


def _refused(raw: bytes, reason: str) -> Garbage:
    return Garbage(raw[:MAX_GARBAGE_BYTES], reason)
