"""Layer 4: what the kernel says is plugged in, read from sysfs and /dev: no port is opened here.

Every function takes the root of the file system, `/` on a machine, a tree of files in a test.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from gateway.udev.identity import UsbIdentity

ROOT: Final = Path("/")
LINK_FOLDERS: Final = ("tidegate", "serial/by-id", "serial/by-path")  # the most telling name first
_ARPHRD_CAN: Final = "280"
_NO_UART: Final = "0"  # sysfs `type` of a 8250 port behind which there is no chip
_MAX_TEXT_BYTES: Final = 4096


class SerialNode(NamedTuple):
    """One serial port of the machine."""

    node: str  # "/dev/ttyUSB0"
    driver: str  # of the kernel, "" where it has none
    identity: UsbIdentity | None  # None: not on USB
    links: tuple[str, ...]  # its stable names, the most telling first


class CanNode(NamedTuple):
    """One CAN interface of the machine."""

    name: str  # "can0"
    driver: str
    identity: UsbIdentity | None
    is_up: bool
    is_fd: bool
    is_virtual: bool


class SpiNode(NamedTuple):
    """One SPI chip select that user space may use."""

    node: str  # "/dev/spidev0.0"
    driver: str
    modalias: str  # "spi:spidev"
    links: tuple[str, ...]


def serial_nodes(root: Path = ROOT) -> list[SerialNode]:
    """Return the serial ports that have hardware behind them, in order of names."""
    links = _links(root)
    found = []
    for entry in _entries(root / "sys/class/tty"):
        if not (entry / "device").exists() or text_of(entry / "type") == _NO_UART:
            continue
        node = f"/dev/{entry.name}"
        device = entry / "device"
        found.append(SerialNode(node, _driver_of(device), usb_identity(device), links.get(node, ())))
    return found


def can_interfaces(root: Path = ROOT) -> list[CanNode]:
    """Return the CAN interfaces, virtual ones too, in order of names."""
    found = []
    for entry in _entries(root / "sys/class/net"):
        if text_of(entry / "type") != _ARPHRD_CAN:
            continue
        device = entry / "device"
        flags, mtu = text_of(entry / "flags") or "0", text_of(entry / "mtu") or "16"
        is_up = bool(int(flags, 16) & 1) if _is_hex(flags) else False
        is_virtual = not device.exists()
        driver = "" if is_virtual else _driver_of(device)
        found.append(CanNode(entry.name, driver, usb_identity(device), is_up, mtu != "16", is_virtual))
    return found


def spi_nodes(root: Path = ROOT) -> list[SpiNode]:
    """Return the spidev nodes, in order of names."""
    links = _links(root)
    return [
        SpiNode(
            f"/dev/{entry.name}",
            _driver_of(entry / "device"),
            text_of(entry / "device" / "modalias") or "",
            links.get(f"/dev/{entry.name}", ()),
        )
        for entry in _entries(root / "sys/class/spidev")
    ]


def bluetooth_adapters(root: Path = ROOT) -> list[str]:
    """Return the Bluetooth adapters, hci0 first."""
    return [entry.name for entry in _entries(root / "sys/class/bluetooth") if ":" not in entry.name]


def usb_identity(device: Path) -> UsbIdentity | None:
    """Return the identity of the USB device that a sysfs device belongs to, None where it is on no USB."""
    try:
        real = device.resolve(strict=True)
    except OSError:
        return None
    for folder in (real, *real.parents):
        vid, pid = text_of(folder / "idVendor"), text_of(folder / "idProduct")
        if vid and pid and _is_hex(vid) and _is_hex(pid):
            return UsbIdentity(int(vid, 16), int(pid, 16), text_of(folder / "serial"), text_of(folder / "product"))
    return None


def tty_identity(node: str, root: Path = ROOT) -> UsbIdentity | None:
    """Return the USB identity behind a serial node such as /dev/ttyUSB0."""
    return usb_identity(root / "sys/class/tty" / os.path.basename(node) / "device")  # noqa: PTH119 - a name, no file


def text_of(path: Path) -> str | None:
    """Return what a small file says, without blanks around it; None where it cannot be read or says nothing."""
    try:
        with path.open("rb") as stream:
            return stream.read(_MAX_TEXT_BYTES).decode(errors="replace").strip("\0 \t\r\n") or None
    except (OSError, ValueError):  # the latter for a path with a NUL
        return None


def _entries(folder: Path) -> Iterator[Path]:
    try:
        names = sorted(os.listdir(folder), key=_natural)  # noqa: PTH208 - names are what is sorted
    except OSError:
        return iter(())
    return (folder / name for name in names)


def _natural(name: str) -> tuple[str, int]:
    """Sort ttyUSB2 before ttyUSB10."""
    stem = name.rstrip("0123456789")
    return stem, int(name[len(stem) :] or 0)


def _links(root: Path) -> dict[str, tuple[str, ...]]:
    """Return the stable names in /dev by the node they lead to."""
    found: dict[str, tuple[str, ...]] = {}
    for folder in LINK_FOLDERS:
        for link in _entries(root / "dev" / folder):
            node = f"/dev/{os.path.basename(os.path.realpath(link))}"  # noqa: PTH119 - a name, no file
            found[node] = (*found.get(node, ()), f"/dev/{folder}/{link.name}")
    return found


def _driver_of(device: Path) -> str:
    link = device / "driver"
    return os.path.basename(os.path.realpath(link)) if link.exists() else ""  # noqa: PTH119 - a name, no file


def _is_hex(text: str) -> bool:
    try:
        int(text, 16)
    except ValueError:
        return False
    return True
