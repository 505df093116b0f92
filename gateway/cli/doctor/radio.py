"""Layer 9: `doctor`: is Bluetooth switched on, and is a BlueZ there that can be talked to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from gateway.cli.doctor.host import Finding, Host
from gateway.sysfs import bluetooth_adapters

OLDEST: Final = (5, 55)  # what bleak asks for
BUS_SOCKETS: Final = ("run/dbus/system_bus_socket", "var/run/dbus/system_bus_socket")


def bluetooth(host: Host) -> Iterator[Finding]:
    """Give what hinders Bluetooth, from the adapter up to BlueZ."""
    adapters = bluetooth_adapters(host.root)
    if not adapters:
        yield Finding("bluetooth", "skip", "no Bluetooth adapter here")
        return
    blocked = list(_blocked(host))
    yield from blocked
    if not any(host.exists(place) for place in BUS_SOCKETS):
        yield Finding("bluetooth", "fail", "no D-Bus: BlueZ cannot be reached", "sudo apt install dbus bluez")
        return
    if not _is_running(host, "bluetoothd"):
        fix = "sudo systemctl enable --now bluetooth"
        yield Finding(
            "bluetooth", "fail", "BlueZ does not run", fix if _is_installed(host) else "sudo apt install bluez"
        )
        return
    version = version_told(host.run("bluetoothctl", "--version") or "")
    if version is not None and version < OLDEST:
        message = f"BlueZ {version[0]}.{version[1]} is older than {OLDEST[0]}.{OLDEST[1]}"
        yield Finding("bluetooth", "warn", message, "sudo apt install --only-upgrade bluez, or a newer system")
    powered = is_powered(host.run("bluetoothctl", "show") or "")
    if powered is False and not blocked:
        yield Finding("bluetooth", "warn", f"{adapters[0]} is switched off", "bluetoothctl power on")
    elif not blocked:
        told = f" {version[0]}.{version[1]}" if version else ""
        yield Finding("bluetooth", "ok", f"{', '.join(adapters)} with BlueZ{told}")


def _blocked(host: Host) -> Iterator[Finding]:
    for name in host.names("sys/class/rfkill"):
        folder = f"sys/class/rfkill/{name}"
        if host.text(f"{folder}/type") != "bluetooth":
            continue
        if host.text(f"{folder}/hard") == "1":
            yield Finding(
                "bluetooth", "fail", "Bluetooth is switched off by a switch of the device", "switch it on there"
            )
        elif host.text(f"{folder}/soft") == "1":
            yield Finding("bluetooth", "fail", "Bluetooth is blocked", "sudo rfkill unblock bluetooth")


def _is_running(host: Host, program: str) -> bool:
    return any(host.text(f"proc/{number}/comm") == program for number in host.names("proc") if number.isdecimal())


def _is_installed(host: Host) -> bool:
    return any(host.exists(f"{folder}/bluetoothd") for folder in ("usr/libexec/bluetooth", "usr/lib/bluetooth"))


def version_told(text: str) -> tuple[int, int] | None:
    """Return the version in `bluetoothctl: 5.66`."""
    match = re.search(r"(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else None


def is_powered(text: str) -> bool | None:
    """Return whether `bluetoothctl show` says that the adapter is on, None where it does not say."""
    match = re.search(r"Powered:\s*(yes|no)", text)
    return match[1] == "yes" if match else None


CHECKS = (bluetooth,)
