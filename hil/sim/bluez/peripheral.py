"""What a simulated Bluetooth device is: what it advertises, and its GATT table."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from hil.sim.bluez.reply import Later, Reply

RECEIVED_VALUES = 65536  # what a device keeps of what was written to it


@dataclass(eq=False)
class Characteristic:
    """One characteristic. Reads give `value`; what is written is in `received`; `answer` refuses or answers instead."""

    uuid: str  # 128 bits, lower case
    flags: tuple[str, ...] = ("read", "write", "notify")
    value: bytes = b""
    received: deque[bytes] = field(default_factory=lambda: deque(maxlen=RECEIVED_VALUES))
    error: tuple[str, str] | None = None  # D-Bus error name and text that every access gets
    is_mute: bool = False  # never answers
    on_write: Callable[[bytes], None] | None = None

    def read(self) -> bytes:
        """Return what a read gives."""
        return self.value

    def write(self, value: bytes) -> Reply | Later:
        """Take what was written; return how that ends. Raises: Failed."""
        if self.on_write is not None:
            self.on_write(value)
        return Reply()


@dataclass(eq=False)
class Peripheral:
    """One device. `services`: service UUID to its characteristics."""

    address: str
    name: str | None = None
    rssi_dbm: int = -60
    manufacturer: dict[int, bytes] = field(default_factory=dict)
    service_data: dict[str, bytes] = field(default_factory=dict)
    service_uuids: tuple[str, ...] = ()
    services: dict[str, list[Characteristic]] = field(default_factory=dict)
    period_s: float | None = 0.05  # of its advertisements; None: silent
    connect_errors: deque[tuple[str, str]] = field(default_factory=deque)  # for the next attempts, one each
    never_connects: bool = False  # Connect is not answered
    disconnect_s: float = 0.0  # how long BlueZ takes to disconnect it

    @property
    def characteristics(self) -> list[Characteristic]:
        """All characteristics, in the order of the table."""
        return [characteristic for table in self.services.values() for characteristic in table]

    def path(self, adapter_path: str) -> str:
        """Return its object's path."""
        return f"{adapter_path}/dev_{self.address.replace(':', '_')}"
