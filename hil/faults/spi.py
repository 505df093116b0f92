"""What the faults of SPI do to one transfer. Pure, but for the chance that each fault brings along.

- `stuck_miso`: every byte that the host reads is `value`, whatever the device drives (0x00: shorted, 0xFF: open)
- `cs_glitch`: the chip select drops for a moment behind one of the bytes: what the device was told so far ends there,
  and what follows is a new command to it; of a transfer of one byte it sees nothing
- `bit_slip`: the host's clock is `bits` ahead of the device's answer: what it reads comes so many bits late, behind the
  idle level of the line; as much is missing at the end
- `mode`: the host clocks in SPI mode `mode`, and the device in its own: see `clocked`
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, Protocol

UNDRIVEN: Final = 0xFF  # the host's input is pulled up
MOSI_IDLE: Final = 0  # what the host's output is at before its first bit


class Striking(Protocol):
    """What is needed of a fault that strikes."""

    kind: str
    params: dict[str, Any]
    chance: random.Random


class Wires(NamedTuple):
    """What lies between the host and the device during one transfer."""

    cuts: tuple[int, ...] = ()  # the chip select drops behind so many bytes
    slip: int = 0  # bits
    stuck: int | None = None
    host_mode: int = 0
    device_mode: int = 0


def wires(length: int, struck: Sequence[Striking], host_mode: int, device_mode: int) -> Wires:
    """Return the wires of a transfer of `length` bytes under what strikes it; at most one is `stuck_miso` or `mode`."""
    stuck = next((fault.params["value"] for fault in struck if fault.kind == "stuck_miso"), None)
    host_mode = next((fault.params["mode"] for fault in struck if fault.kind == "mode"), host_mode)
    cuts = {_cut(length, fault.chance) for fault in struck if fault.kind == "cs_glitch"}
    slip = sum(fault.params["bits"] for fault in struck if fault.kind == "bit_slip")
    return Wires(tuple(sorted(cuts)), slip, stuck, host_mode, device_mode)


def transfer(tx: bytes, between: Wires, device: Callable[[bytes], bytes]) -> bytes:
    """Return what the host reads. `device` is called once for each time that it is selected."""
    if between.cuts == (0,):
        rx = bytes([UNDRIVEN]) * len(tx)
    else:
        ends = (*between.cuts, len(tx))
        pieces = [tx[begin:end] for begin, end in zip((0, *between.cuts), ends, strict=True)]
        rx = b"".join(clocked(piece, between.host_mode, between.device_mode, device) for piece in pieces)
    rx = slipped(rx, between.slip)
    return rx if between.stuck is None else bytes([between.stuck]) * len(rx)


def slipped(data: bytes, bits: int) -> bytes:
    """Return data that comes so many bits late, behind a line that is pulled up."""
    length = 8 * len(data)
    late = min(bits, length)
    idle = ((1 << late) - 1) << (length - late)
    return (idle | int.from_bytes(data, "big") >> late).to_bytes(len(data), "big")


def clocked(tx: bytes, host_mode: int, device_mode: int, device: Callable[[bytes], bytes]) -> bytes:
    """Return what a host reads that clocks in one mode from a device in another.

    CPOL (bit 1 of a mode) is the level at which the clock idles, CPHA (bit 0) says whether data are sampled at the
    first or at the second edge of a bit, and changed at the other (Linux, Documentation/spi/spi-summary.rst). So modes
    0 and 3 sample at rising edges, 1 and 2 at falling ones, and the two of a pair understand each other: a device puts
    out its first bit when it is selected, and at each of its changing edges the bit whose turn it is by the bits that
    it has sampled. Where the host's sampling edge is the device's changing edge, each sees what was there before the
    edge, for the other's output changes some nanoseconds after it. So a host that changes its output at the first edge
    (CPHA 1) tells the device everything one bit late, and one that samples there (CPHA 0) reads everything one bit
    late, the first bit twice.
    """
    if understand(host_mode, device_mode):
        return device(tx)
    sent = [byte >> bit & 1 for byte in tx for bit in range(7, -1, -1)]
    changes_first = bool(host_mode & 1)  # at the leading edge of each bit, before the device's first look at it
    heard = [MOSI_IDLE, *sent[:-1]] if changes_first else sent
    answer = device(_bytes_of(heard))
    if changes_first:
        return answer
    driven = [byte >> bit & 1 for byte in answer for bit in range(7, -1, -1)]
    return _bytes_of([driven[0], *driven[:-1]])


def understand(host_mode: int, device_mode: int) -> bool:
    """Return whether two modes sample at the same edges, so that a difference changes nothing."""
    return _samples_rising(host_mode) == _samples_rising(device_mode)


def _samples_rising(mode: int) -> bool:
    return mode in {0, 3}


def _bytes_of(bits: Sequence[int]) -> bytes:
    number = 0
    for bit in bits:
        number = number << 1 | bit
    return number.to_bytes(len(bits) // 8, "big")


def _cut(length: int, chance: random.Random) -> int:
    return chance.randint(1, length - 1) if length > 1 else 0
