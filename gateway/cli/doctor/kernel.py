"""Layer 9: `doctor`: has the kernel what the buses need, and is a Raspberry Pi set up for them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Final

from gateway.cli.doctor.host import Finding, Host
from gateway.sysfs import can_interfaces, spi_nodes

NEEDED: Final = {
    "usb-serial": ("ftdi_sio", "cp210x", "ch341", "pl2303", "cdc_acm"),
    "can": ("can", "can_raw", "can_isotp", "vcan"),
    "spi": ("spidev",),
}
DRIVER_OF_VENDOR: Final = {"0403": "ftdi_sio", "10c4": "cp210x", "1a86": "ch341", "067b": "pl2303", "1d50": "gs_usb"}
CONFIGS: Final = ("boot/firmware/config.txt", "boot/config.txt")  # since Debian 12, before


def modules(host: Host) -> Iterator[Finding]:
    """Give for each kind of bus which kernel modules are neither loaded nor to be had."""
    loaded = {line.split()[0] for line in host.whole("proc/modules").splitlines() if line.split()}
    release = host.text("proc/sys/kernel/osrelease") or os.uname().release
    folder = f"lib/modules/{release}"
    listed = host.whole(f"{folder}/modules.dep") + host.whole(f"{folder}/modules.builtin")
    if not listed:
        yield Finding("modules", "skip", f"the modules of kernel {release} are not listed here, as in a container")
        return
    on_disk = {_module_name(match) for match in re.findall(r"([^/\s:]+)\.ko", listed)}
    for bus, wanted in NEEDED.items():
        missing = [name for name in wanted if name not in loaded | on_disk and not host.exists(f"sys/module/{name}")]
        if not missing:
            yield Finding("modules", "ok", f"{bus}: {', '.join(wanted)} are there")
        else:
            fix = "start the distribution's own kernel; Ubuntu: sudo apt install linux-modules-extra-$(uname -r)"
            yield Finding("modules", "warn", f"{bus}: this kernel has no {', '.join(missing)}", fix)


def _module_name(file: str) -> str:
    return file.replace("-", "_")


def adapters(host: Host) -> Iterator[Finding]:
    """Give USB adapters that are plugged in and that no driver took."""
    unserved = []
    for name in host.names("sys/bus/usb/devices"):
        vendor = host.text(f"sys/bus/usb/devices/{name}/idVendor")
        if vendor not in DRIVER_OF_VENDOR:
            continue
        interfaces = [each for each in host.names(f"sys/bus/usb/devices/{name}") if each.startswith(f"{name}:")]
        if interfaces and not any(host.exists(f"sys/bus/usb/devices/{name}/{each}/driver") for each in interfaces):
            unserved.append((name, vendor))
    for name, vendor in unserved:
        product = host.text(f"sys/bus/usb/devices/{name}/product") or f"adapter {vendor}"
        driver = DRIVER_OF_VENDOR[vendor]
        yield Finding("adapters", "fail", f"{product} is plugged in and has no driver", f"sudo modprobe {driver}")


def overlays(host: Host) -> Iterator[Finding]:
    """Give whether a Raspberry Pi's firmware enables the buses that its pins have."""
    if not host.is_raspberry:
        yield Finding("overlays", "skip", "not a Raspberry Pi")
        return
    place = next((place for place in CONFIGS if host.exists(place)), None)
    if place is None:
        yield Finding("overlays", "warn", "no config.txt of the firmware is mounted", "sudo mount /boot/firmware")
        return
    settings = config_settings(host.whole(place))
    anew = "then start the machine anew"
    if spi_nodes(host.root) or can_interfaces(host.root):
        yield Finding("overlays", "ok", "SPI is on")
    elif "dtparam=spi=on" in settings:
        yield Finding("overlays", "fail", "SPI is on in config.txt and not there", f"sudo modprobe spidev, {anew}")
    else:
        fix = f"sudo raspi-config nonint do_spi 0, {anew}"
        yield Finding("overlays", "warn", "SPI is off: the pins of SPI chips and CAN hats are dead", fix)
    hats = [each.split("=", 1)[1].split(",")[0] for each in settings if each.startswith("dtoverlay=mcp251")]
    interfaces = [each for each in can_interfaces(host.root) if not each.is_virtual]
    if hats and not interfaces:
        fix = f"compare oscillator and interrupt in /{place} with the hat; dmesg | grep -i mcp251"
        yield Finding("overlays", "fail", f"{', '.join(hats)} is in config.txt, and there is no CAN interface", fix)
    elif hats:
        yield Finding("overlays", "ok", f"{', '.join(hats)}: {', '.join(each.name for each in interfaces)} is there")
    yield from _uart(host, settings, anew)


def _uart(host: Host, settings: frozenset[str], anew: str) -> Iterator[Finding]:
    if not host.exists("dev/serial0"):
        if "enable_uart=1" not in settings:
            yield Finding(
                "overlays", "warn", "the UART on the pins is off", f"sudo raspi-config nonint do_serial_hw 0, {anew}"
            )
        return
    target = os.path.basename(os.path.realpath(host.path("dev/serial0")))  # noqa: PTH119 - a name, no file
    if target == "ttyS0":
        message = (
            "the UART on the pins is the small one (ttyS0): its rate follows the core's clock, and it has no parity"
        )
        fix = f"write dtoverlay=disable-bt into config.txt, sudo systemctl disable hciuart, {anew}"
        yield Finding("overlays", "warn", message, fix)
    else:
        yield Finding("overlays", "ok", f"the UART on the pins is {target}")


def config_settings(text: str) -> frozenset[str]:
    """Return the lines of a config.txt without comments and blanks; `dtparam=a=on,b=off` counts as two."""
    found: set[str] = set()
    for line in text.splitlines():
        setting = line.partition("#")[0].replace(" ", "").lower()
        if setting.startswith("dtparam="):
            found |= {f"dtparam={each}" for each in setting.removeprefix("dtparam=").split(",")}
        elif setting:
            found.add(setting)
    return frozenset(found)


CHECKS = (modules, adapters, overlays)
