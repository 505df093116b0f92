"""A machine as files: sysfs, /dev and /etc under a folder of a test."""

from __future__ import annotations

from pathlib import Path


class Machine:
    """Adds what a kernel would show; every path is under `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, path: str, text: str) -> Path:
        """Write a file and the folders above it."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def link(self, path: str, target: str) -> None:
        """Make a link at `path` to `target`, both under the root."""
        link = self.root / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(self.root / target)

    def usb(self, place: str, vid: str, pid: str, serial: str | None = None, product: str | None = None) -> str:
        """Plug in a USB device; return its sysfs folder."""
        folder = f"sys/devices/usb1/{place}"
        for name, text in (("idVendor", vid), ("idProduct", pid), ("serial", serial), ("product", product)):
            if text is not None:
                self.write(f"{folder}/{name}", f"{text}\n")
        return folder

    def tty(self, name: str, usb: str | None = None, *, driver: str = "ftdi_sio", uart: str | None = None) -> None:
        """Add a serial port, behind a USB device where one is given."""
        device = f"{usb or 'sys/devices/platform'}/{name}-device"
        self.write(f"{device}/uevent", "")
        self.write(f"sys/drivers/{driver}/x", "")
        self.link(f"{device}/driver", f"sys/drivers/{driver}")
        self.link(f"sys/class/tty/{name}/device", device)
        if uart is not None:
            self.write(f"sys/class/tty/{name}/type", uart)
        self.write(f"dev/{name}", "")

    def can(self, name: str, usb: str | None = None, *, flags: str = "0x40081", mtu: str = "16") -> None:
        """Add a CAN interface; without a USB device it is virtual."""
        self.write(f"sys/class/net/{name}/type", "280\n")
        self.write(f"sys/class/net/{name}/flags", f"{flags}\n")
        self.write(f"sys/class/net/{name}/mtu", f"{mtu}\n")
        if usb is not None:
            self.link(f"sys/class/net/{name}/device", usb)

    def spidev(self, name: str, modalias: str = "spi:spidev") -> None:
        """Add a SPI chip select."""
        self.write(f"sys/devices/spi/{name}/modalias", f"{modalias}\n")
        self.link(f"sys/class/spidev/{name}/device", f"sys/devices/spi/{name}")
        self.write(f"dev/{name}", "")
