"""Layer 9: `doctor`: may this user open what is there, and is anybody else on it."""

from __future__ import annotations

import os
from collections.abc import Iterator

from gateway.cli.claims import Claims
from gateway.cli.doctor.host import Finding, Host
from gateway.cli.doctor.rules import INSTALL
from gateway.sysfs import bluetooth_adapters, serial_nodes, spi_nodes


def groups(host: Host) -> Iterator[Finding]:
    """Give whether the user is in the groups that own what is there."""
    if host.user == "root":
        yield Finding("groups", "ok", "root may open everything; a service had better run as a user of its own")
        return
    wanted = {
        "dialout": bool(serial_nodes(host.root)),
        "spi": bool(spi_nodes(host.root)),
        "gpio": any(name.startswith("gpiochip") for name in host.names("dev")),
        "bluetooth": bool(bluetooth_adapters(host.root)),
        "netdev": bool(bluetooth_adapters(host.root)) and host.exists("dev/rfkill"),
    }
    known = [group for group, is_wanted in wanted.items() if is_wanted and host.members(group) is not None]
    if not known:
        yield Finding("groups", "skip", "nothing here that a group would open")
    for group in known:
        yield _membership(host, group)


def _membership(host: Host, group: str) -> Finding:
    entry = host.members(group)
    assert entry is not None
    number, members = entry
    if host.user not in members and host.primary_group() != number:
        return Finding(
            "groups", "fail", f"{host.user} is not in group {group}", f"sudo usermod -aG {group} {host.user}"
        )
    if number not in host.session_groups:
        return Finding(
            "groups", "warn", f"{host.user} is in group {group} since the last login", "log out and in again"
        )
    return Finding("groups", "ok", f"{host.user} is in group {group}")


def ports(host: Host) -> Iterator[Finding]:
    """Give for each serial port whether it can be opened, is free, and has a name that lasts."""
    nodes = serial_nodes(host.root)
    if not nodes:
        yield Finding("ports", "skip", "no serial port here")
        return
    claims = Claims(host.root)
    for node in nodes:
        holder = claims.holder(node.node, node.identity, node.links)
        if holder == "the kernel's console" or _getty_of(host, node.node):
            yield console(host, node.node)
        elif holder:
            yield Finding("ports", "ok", f"{node.node} is held by {holder}")
        elif not os.access(host.path(node.node), os.R_OK | os.W_OK):
            yield Finding("ports", "fail", f"{node.node} may not be opened", f"sudo usermod -aG dialout {host.user}")
        elif node.identity is not None and not node.links:
            message = f"{node.node} has no name that survives the next plug"
            yield Finding("ports", "warn", message, INSTALL)
        else:
            better = f"; name it {node.links[0]}" if node.links else ""
            yield Finding("ports", "ok", f"{node.node} is free{better}")


def console(host: Host, node: str) -> Finding:
    """Return what a login or the kernel's messages on a serial port mean: on a Pi that port is for devices."""
    getty = _getty_of(host, node)
    if host.is_raspberry:
        fix = "sudo raspi-config nonint do_serial_cons 1, then start the machine anew"
        return Finding("ports", "warn", f"{node} is a login console; a device there would be typed at", fix)
    what = "a login console" if getty else "the kernel's console"
    return Finding("ports", "ok", f"{node} is {what}: not for devices")


def _getty_of(host: Host, node: str) -> bool:
    name = os.path.basename(node)  # noqa: PTH119 - a name, no file
    return host.exists(f"etc/systemd/system/getty.target.wants/serial-getty@{name}.service")


CHECKS = (groups, ports)
