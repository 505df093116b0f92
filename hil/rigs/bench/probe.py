"""How one sees that a board is in a state: something is said to it, and something comes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from gateway.notation import hex_bytes
from hil.can_bits import CLASSIC_BYTES, STANDARD_MAX
from hil.rigs.base import RigError
from hil.rigs.bench.ble import BenchBle
from hil.rigs.bench.canbus import BenchCan
from hil.rigs.bench.spi import BenchSpi
from hil.rigs.bench.uart import BenchUart
from hil.rigs.model import StateSpec

MOST_SHOWN_BYTES: Final = 64
LOOK_S: Final = 0.1
SAYS: Final = ("send", "send_hex", "send_id", "expect", "expect_hex", "expect_id")

Fill = Callable[[str], str]


class Probe(Protocol):
    """One question."""

    def send(self) -> None:
        """Ask."""

    def hears(self, left_ns: int) -> bool:
        """Wait a moment; return whether the answer has come."""


def probe_of(how: StateSpec, handles: Mapping[str, object], fill: Fill) -> Probe | None:
    """Return what a state asks, None where it asks nothing. `fill` puts options into texts. Raises: RigError."""
    if all(getattr(how, key) is None for key in SAYS):
        return None
    handle = handles.get(how.on) if how.on is not None else next(iter(handles.values()), None)
    said = _bytes_of(how.send, how.send_hex, fill)
    if isinstance(handle, BenchUart):
        return _StreamProbe(handle, said, _pattern_of(how, fill))
    if isinstance(handle, BenchCan):
        return _CanProbe(handle, how.send_id, said or b"", how.expect_id, _pattern_of(how, fill))
    if isinstance(handle, BenchSpi):
        return _SpiProbe(handle, said or b"\0", _pattern_of(how, fill))
    if isinstance(handle, BenchBle):
        return _BleProbe(handle, _pattern_of(how, fill))
    raise RigError("a state asks, and the target has nobody to ask")


def _bytes_of(text: str | None, in_hex: str | None, fill: Fill) -> bytes | None:
    if text is not None:
        return fill(text).encode()
    return None if in_hex is None else hex_bytes(in_hex)


def _pattern_of(how: StateSpec, fill: Fill) -> re.Pattern[bytes] | None:
    if how.expect_hex is not None:
        return re.compile(re.escape(hex_bytes(how.expect_hex)))
    return None if how.expect is None else re.compile(fill(how.expect).encode(), re.DOTALL)


def _shown(data: bytes) -> str:
    return repr(data[-MOST_SHOWN_BYTES:])[1:] if data else "nothing"


class _StreamProbe:
    def __init__(self, uart: BenchUart, said: bytes | None, wanted: re.Pattern[bytes] | None) -> None:
        self._uart = uart
        self._said = said
        self._wanted = wanted
        self._came = b""

    def __str__(self) -> str:
        assert self._wanted is not None
        return f"expected {self._wanted.pattern!r}, got {_shown(self._came)}"

    def send(self) -> None:
        if self._said is not None:
            self._uart.write(self._said)

    def hears(self, left_ns: int) -> bool:
        if self._wanted is None:
            return True
        self._came += self._uart.read_some(min(LOOK_S, left_ns / 1e9))
        return self._wanted.search(self._came) is not None


class _CanProbe:
    def __init__(
        self, bus: BenchCan, send_id: int | None, said: bytes, wanted_id: int | None, wanted: re.Pattern[bytes] | None
    ) -> None:
        self._bus = bus
        self._send_id = send_id
        self._said = said
        self._wanted_id = wanted_id
        self._wanted = wanted
        self._came: set[int] = set()

    def __str__(self) -> str:
        heard = " ".join(f"{each:X}" for each in sorted(self._came)) or "nothing"
        wanted = "a frame" if self._wanted_id is None else f"a frame {self._wanted_id:X}"
        return f"expected {wanted}, heard {heard}"

    def send(self) -> None:
        if self._send_id is not None:
            is_fd = len(self._said) > CLASSIC_BYTES
            self._bus.send(self._send_id, self._said, self._send_id > STANDARD_MAX, is_fd)

    def hears(self, left_ns: int) -> bool:
        if self._wanted_id is None and self._wanted is None:
            return True
        frame = self._bus.recv(min(LOOK_S, left_ns / 1e9))
        if frame is None or frame.error:
            return False
        self._came.add(frame.id)
        is_it = self._wanted_id in {None, frame.id}
        return is_it and (self._wanted is None or self._wanted.search(frame.data) is not None)


class _SpiProbe:
    def __init__(self, spi: BenchSpi, said: bytes, wanted: re.Pattern[bytes] | None) -> None:
        self._spi = spi
        self._said = said
        self._wanted = wanted
        self._came = b""

    def __str__(self) -> str:
        assert self._wanted is not None
        return f"expected {self._wanted.pattern!r}, read {self._came.hex(' ') or 'nothing'}"

    def send(self) -> None:
        self._came = self._spi.transfer(self._said)

    def hears(self, left_ns: int) -> bool:
        del left_ns
        if self._wanted is None or self._wanted.search(self._came):
            return True
        self.send()
        return False


class _BleProbe:
    def __init__(self, ble: BenchBle, wanted: re.Pattern[bytes] | None) -> None:
        self._ble = ble
        self._wanted = wanted
        self._heard = 0

    def __str__(self) -> str:
        return f"expected an advertisement, heard {self._heard} others"

    def send(self) -> None:
        """Nothing is sent over the air."""

    def hears(self, left_ns: int) -> bool:
        advert: Any = self._ble.next(min(LOOK_S, left_ns / 1e9))
        if advert is None:
            return False
        self._heard += 1
        said = [(advert.name or "").encode(), *advert.manufacturer_data.values(), *advert.service_data.values()]
        return self._wanted is None or any(self._wanted.search(each) for each in said)
