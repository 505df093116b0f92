"""What a guest is, and the command line that makes QEMU one. Pure."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from hil.kernel.host import ROOT, escaped
from hil.kernel.image import Image

ACCELERATOR: Final = "tcg,thread=multi"  # never kvm: it is not everywhere, and not sound wherever its device is
MEMORY_MB: Final = 1024
KERNEL_LINE: Final = "console=ttyS0 quiet panic=-1 mitigations=off nokaslr tsc=unstable random.trust_cpu=on"
WIRE_ENDS: Final = ("line-HIL0002", "wire")  # joined outside: an adapter's far end is a port of the same guest


class Guest(NamedTuple):
    """What makes one guest different from another."""

    name: str
    tests: tuple[str, ...]  # folders and files, from the repository's root
    limit_s: float  # from power-on to power-off
    modules: tuple[str, ...] = ()  # loaded before the tests
    has_usb: bool = False  # a controller with hands at its cables, systemd-udevd with the repository's rules
    disks: tuple[str, ...] = ()  # serial numbers of its virtio disks
    program: str = ""  # a module to run instead of the tests
    cuts: int = 0  # how often it is booted to run `writer`, and its power cut
    writer: str = ""

    @property
    def channels(self) -> tuple[str, ...]:
        """The names of what connects it with the rig."""
        return ("output", "monitor", "hands") if self.has_usb or self.disks else ("output", "monitor")

    @property
    def writing(self) -> Guest:
        """The same guest at what it does while its power is cut."""
        return self._replace(program=self.writer)


def setup(guest: Guest, options: Sequence[str], columns: int) -> str:
    """Return the shell words that tell a guest what to do; `options` go to pytest."""
    words = {
        "REPOSITORY": str(ROOT),
        "PYTHON": sys.executable,
        "MODULES": " ".join(guest.modules),
        "PROGRAM": guest.program,
        "RULES": "yes" if guest.has_usb else "",
        "TESTS": shlex.join(guest.tests),
        "OPTIONS": shlex.join(options),
        "COLUMNS": str(columns),
    }
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in words.items())


def command(
    guest: Guest, image: Image, share: Path, sockets: Mapping[str, int], disks: Mapping[str, Path] | None = None
) -> list[str]:
    """Return QEMU's command line.

    `sockets` are descriptors by channel, and of WIRE_ENDS for a guest with USB; `disks`: where each one's server is.
    """
    words = [
        *("qemu-system-x86_64", "-name", f"tidegate-{guest.name}", "-M", "q35", "-accel", ACCELERATOR, "-cpu", "max"),
        *("-smp", "2", "-m", str(MEMORY_MB), "-nodefaults", "-no-reboot", "-display", "none"),
        *("-kernel", str(image.kernel), "-initrd", str(image.initramfs), "-append", KERNEL_LINE),
        *("-chardev", f"file,id=console,path={escaped(share / 'console')}", "-serial", "chardev:console"),
        *_folder("host", Path("/"), "readonly=on,multidevs=remap"),
        *_folder("modules", image.modules, "readonly=on"),
        *_folder("share", share, "readonly=off"),
        *(word for name, number in sockets.items() for word in ("-chardev", f"socket,id={name},fd={number}")),
        *("-mon", "chardev=monitor,mode=control", "-device", "virtio-serial-pci", *_port("output")),
        *(word for channel in guest.channels if channel == "hands" for word in _port(channel)),
        *(word for name, place in (disks or {}).items() for word in _disk(name, place)),
    ]
    return [*words, "-device", "qemu-xhci,id=usb", *_port("wire")] if guest.has_usb else words


def _folder(tag: str, path: Path, options: str) -> tuple[str, ...]:
    place = f"local,id={tag},path={escaped(path)},security_model=none,{options}"
    return ("-fsdev", place, "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}")


def _port(channel: str) -> tuple[str, ...]:
    return ("-device", f"virtserialport,chardev={channel},name=tidegate.{channel}")


def _disk(name: str, place: Path) -> tuple[str, ...]:
    server = f"driver=nbd,node-name={name},server.type=unix,server.path={escaped(place)}"
    return ("-blockdev", server, "-device", f"virtio-blk-pci,drive={name},serial={name}")
