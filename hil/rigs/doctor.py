"""Which backends of a rig work on this machine, and which resources of a rig file are there. Opens no port.

Each answer comes with why not, and what mends it.
"""

from __future__ import annotations

import errno
import os
import platform
import shutil
import socket
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

from gateway.sysfs import (
    ROOT,
    bluetooth_adapters,
    can_interfaces,
    serial_nodes,
    spi_nodes,
)

BUS_SOCKET: Final = "run/dbus/system_bus_socket"


class Finding(NamedTuple):
    """One backend."""

    name: str
    works: bool
    message: str
    fix: str = ""  # what mends it


class Machine:
    """What is asked of a machine; a test gives another root and other answers."""

    def __init__(
        self,
        root: Path = ROOT,
        *,
        has_module: Callable[[str], bool] | None = None,
        which: Callable[[str], str | None] = shutil.which,
        has_can: Callable[[], bool] | None = None,
        release: str | None = None,
    ) -> None:
        self.root = root
        self.has_module = has_module or (lambda name: find_spec(name) is not None)
        self.which = which
        self.has_can = has_can or _has_can
        self.release = release or platform.release()

    def path(self, place: str) -> Path:
        """Return where a path of the machine is."""
        return self.root / place.lstrip("/")

    def may_use(self, node: str) -> bool:
        """Return whether a node may be read and written."""
        return os.access(self.path(node), os.R_OK | os.W_OK)

    def has_driver(self, module: str) -> bool:
        """Return whether the kernel has a module, loaded or to be loaded."""
        if self.path(f"sys/module/{module}").exists():
            return True
        folder = self.path(f"lib/modules/{self.release}")
        for name in ("modules.builtin", "modules.dep"):
            try:
                text = (folder / name).read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue
            if f"/{module}.ko" in text:
                return True
        return False


def examine(machine: Machine) -> list[Finding]:
    """Return every backend, those that need nothing first."""
    checks = (_simulated, _pty, _serial, _virtual_can, _socket_can, _vcan, _spi, _bluez, _vhci, _hubs, _gpio, _kernel)
    return [finding for check in checks for finding in check(machine)]


def _has_can() -> bool:
    try:
        socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW).close()
    except (OSError, AttributeError) as error:
        return getattr(error, "errno", None) in {errno.EPERM, errno.EACCES}
    return True


def _lacking(machine: Machine, **modules: str) -> str:
    """Return the command that installs what is missing of some libraries; values are our extras."""
    extras = dict.fromkeys(extra for module, extra in modules.items() if not machine.has_module(module))
    return f"pip install 'tidegate[{','.join(extras)}]'" if extras else ""


def _simulated(machine: Machine) -> Iterator[Finding]:
    fix = _lacking(machine, pytest="hil")
    yield Finding("simulated", not fix, "pytest is missing" if fix else "needs nothing; tests run in virtual time", fix)


def _pty(machine: Machine) -> Iterator[Finding]:
    works = machine.may_use("dev/ptmx")
    yield Finding(
        "pty", works, "pseudo-terminals stand in for serial lines" if works else "/dev/ptmx may not be opened"
    )


def _serial(machine: Machine) -> Iterator[Finding]:
    if fix := _lacking(machine, serial="uart"):
        yield Finding("uart", False, "pyserial is missing", fix)
        return
    nodes = [port.node for port in serial_nodes(machine.root)]
    closed = [node for node in nodes if not machine.may_use(node)]
    if not nodes:
        yield Finding("uart", False, "no serial port is plugged in", "plug in an adapter; `tidegate scan` shows it")
    elif closed:
        yield Finding("uart", False, f"{', '.join(closed)} may not be opened", "sudo usermod -aG dialout $USER")
    else:
        yield Finding("uart", True, f"{', '.join(nodes)} may be opened")


def _virtual_can(machine: Machine) -> Iterator[Finding]:
    fix = _lacking(machine, can="can")
    message = "python-can is missing" if fix else "python-can's virtual bus and its adapters, for example virtual:demo"
    yield Finding("can", not fix, message, fix)


def _socket_can(machine: Machine) -> Iterator[Finding]:
    interfaces = can_interfaces(machine.root)
    down = [each.name for each in interfaces if not each.is_up]
    if not machine.has_can():
        fix = (
            "sudo modprobe can_raw"
            if machine.has_driver("can_raw")
            else "another kernel, or `make rig`, which boots one"
        )
        yield Finding("socketcan", False, "this kernel has no CAN sockets (AF_CAN)", fix)
    elif not interfaces:
        yield Finding("socketcan", False, "no CAN interface is here", "plug in an adapter, or make a vcan")
    elif down:
        yield Finding(
            "socketcan", False, f"{', '.join(down)} is down", f"sudo ip link set {down[0]} up type can bitrate 500000"
        )
    else:
        yield Finding("socketcan", True, f"{', '.join(each.name for each in interfaces)} is up")


def _vcan(machine: Machine) -> Iterator[Finding]:
    up = [each.name for each in can_interfaces(machine.root) if each.is_virtual and each.is_up]
    if up:
        yield Finding("vcan", True, f"{', '.join(up)} is up")
    elif machine.has_driver("vcan"):
        fix = "sudo modprobe vcan && sudo ip link add vcan0 type vcan && sudo ip link set vcan0 up"
        yield Finding("vcan", False, "no virtual CAN interface is up", fix)
    else:
        yield Finding("vcan", False, "this kernel has no vcan", "python-can's virtual:NAME, or `make rig`")


def _spi(machine: Machine) -> Iterator[Finding]:
    nodes = [port.node for port in spi_nodes(machine.root)]
    closed = [node for node in nodes if not machine.may_use(node)]
    if not nodes:
        fix = "on a Raspberry Pi dtparam=spi=on in /boot/firmware/config.txt, elsewhere bind the device to spidev"
        yield Finding("spi", False, "no spidev node is here", fix)
    elif closed:
        yield Finding("spi", False, f"{', '.join(closed)} may not be opened", "sudo usermod -aG spi $USER")
    elif fix := _lacking(machine, spidev="spi"):
        yield Finding("spi", False, "py-spidev is missing", fix)
    else:
        yield Finding("spi", True, f"{', '.join(nodes)} may be opened")


def _bluez(machine: Machine) -> Iterator[Finding]:
    adapters = bluetooth_adapters(machine.root)
    if fix := _lacking(machine, bleak="ble"):
        yield Finding("ble", False, "bleak is missing", fix)
    elif not adapters:
        yield Finding("ble", False, "no Bluetooth adapter is here", "plug one in, or look at: rfkill list bluetooth")
    elif not machine.path(BUS_SOCKET).exists():
        yield Finding("ble", False, "no D-Bus is running here, so no BlueZ", "sudo apt install bluez dbus")
    else:
        yield Finding("ble", True, f"{', '.join(adapters)} by BlueZ")


def _vhci(machine: Machine) -> Iterator[Finding]:
    if machine.may_use("dev/vhci"):
        yield Finding("vhci", True, "virtual Bluetooth controllers can be made")
    elif machine.path("dev/vhci").exists():
        yield Finding("vhci", False, "/dev/vhci may not be opened", "run as root, or sudo chmod o+rw /dev/vhci")
    elif machine.has_driver("hci_vhci"):
        yield Finding("vhci", False, "no /dev/vhci", "sudo modprobe hci_vhci")
    else:
        yield Finding("vhci", False, "this kernel has no hci_vhci", "`make rig`, which boots one that has")


def _hubs(machine: Machine) -> Iterator[Finding]:
    switches = sorted(machine.path("sys/bus/usb/devices").glob("*/*-port*/disable"))
    if switches:
        ports = ", ".join(switch.parent.name for switch in switches[:8])
        works = any(os.access(switch, os.W_OK) for switch in switches)
        yield Finding("usb hub", works, f"the kernel switches {ports}", "" if works else "run as root, or a udev rule")
    elif machine.which("uhubctl"):
        yield Finding("usb hub", True, "uhubctl switches those hubs that can")
    else:
        yield Finding(
            "usb hub", False, "nothing here switches USB ports", "sudo apt install uhubctl, and a hub that can"
        )


def _gpio(machine: Machine) -> Iterator[Finding]:
    chips = sorted(path.name for path in machine.path("dev").glob("gpiochip*"))
    closed = [chip for chip in chips if not machine.may_use(f"dev/{chip}")]
    if not chips:
        yield Finding("gpio", False, "no GPIO chip is here", "switch power by hand, hub or command_on")
    elif closed:
        yield Finding("gpio", False, f"{', '.join(closed)} may not be opened", "sudo usermod -aG gpio $USER")
    else:
        yield Finding("gpio", True, f"{', '.join(chips)} may be opened")


def _kernel(machine: Machine) -> Iterator[Finding]:
    missing = [name for name in ("qemu-system-x86_64", "qemu-system-arm") if machine.which(name) is None]
    if missing:
        fix = "sudo apt install qemu-system-x86 qemu-system-arm (`make rig` does)"
        yield Finding("kernel rig", False, f"{' and '.join(missing)} missing", fix)
    else:
        is_fast = machine.may_use("dev/kvm")
        speed = "with KVM" if is_fast else "without KVM, which takes minutes"
        yield Finding("kernel rig", True, f"`make rig` can boot its guests, {speed}")
