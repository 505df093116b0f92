"""Layer 9: `doctor SITE`: is every port of a site there, free and named well; are its profiles."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gateway.cli.claims import Claims
from gateway.cli.doctor.access import console
from gateway.cli.doctor.host import Finding, Host
from gateway.cli.doctor.rules import INSTALL
from gateway.config import SiteConfig, data_dir
from gateway.errors import GatewayError
from gateway.profile.load import INSTALLED, example_profile, find_profile
from gateway.sysfs import bluetooth_adapters, can_interfaces, serial_nodes
from gateway.udev.identity import parse_usb

_SWAPPING: Final = re.compile(r"/dev/tty(USB|ACM)\d+")


class Wire:
    """One port of a site, with what is known of it."""

    def __init__(self, name: str, target: str, bus: str, bitrate: int | None) -> None:
        self.name = name
        self.target = target
        self.bus = bus
        self.bitrate = bitrate


def wires(site: SiteConfig, folder: Path) -> tuple[list[Wire], list[Finding]]:
    """Return every port of a site once, and what is wrong with the profiles."""
    found: dict[str, Wire] = {}
    wrong: list[Finding] = []
    for kind, entries in (("device", site.devices), ("discover", site.discover)):
        for name, entry in entries.items():
            try:
                link = example_profile(find_profile(entry.profile, folder, data_dir(None, site) / INSTALLED)).link
            except (GatewayError, ValueError) as error:
                first = str(error).splitlines()[0]
                wrong.append(
                    Finding("profiles", "fail", f"{kind}.{name}: {first}", f"tidegate profile check {entry.profile}")
                )
                continue
            port = site.ports.get(entry.port)
            target = port.path if port is not None else entry.port
            link = port.applied_to(link) if port is not None else link
            found.setdefault(target, Wire(entry.port if port is not None else name, target, link.bus, link.bitrate))
    return list(found.values()), wrong


def site_ports(host: Host, ports: list[Wire], claims: Claims) -> Iterator[Finding]:
    """Give for each port of a site whether it is there and can be used."""
    for wire in ports:
        if "://" in wire.target or wire.target.startswith(("replay:", "virtual:")):
            continue
        match wire.bus:
            case "can":
                yield from _can(host, wire)
            case "ble":
                adapter = wire.target.partition("/")[0]
                if adapter not in bluetooth_adapters(host.root):
                    yield _missing(wire, "sudo systemctl start bluetooth, or name another adapter: tidegate scan ble")
            case _:
                yield from _node(host, wire, claims)


def _can(host: Host, wire: Wire) -> Iterator[Finding]:
    identity = parse_usb(wire.target)
    if identity is None and ":" in wire.target:
        return  # an adapter that python-can opens without the kernel
    interfaces = can_interfaces(host.root)
    meant = [
        each
        for each in interfaces
        if each.name == wire.target or (identity and each.identity and identity.is_served_by(each.identity))
    ]
    if not meant:
        yield _missing(wire, "plug it in, or correct `port`: tidegate scan can")
        return
    interface = meant[0]
    if not interface.is_up:
        rate = "" if interface.is_virtual else f" type can bitrate {wire.bitrate or 500_000}"
        fix = f"sudo ip link set {interface.name} up{rate}; {INSTALL} SITE does so at every plug"
        yield Finding("site", "fail", f"{wire.name}: {interface.name} is down", fix)
    else:
        yield Finding("site", "ok", f"{wire.name}: {interface.name} is up")


def _node(host: Host, wire: Wire, claims: Claims) -> Iterator[Finding]:
    identity = parse_usb(wire.target)
    nodes = serial_nodes(host.root)
    if identity is not None:
        fitting = [each for each in nodes if each.identity is not None and identity.is_served_by(each.identity)]
        if len(fitting) != 1:
            fix = "add the serial number: tidegate scan uart" if fitting else "plug it in, or correct `port`"
            what = f"{len(fitting)} adapters fit {wire.target}" if fitting else f"{wire.target} is not there"
            yield Finding("site", "fail", f"{wire.name}: {what}", fix)
            return
        node = fitting[0].node
    else:
        if not host.exists(wire.target):
            yield _missing(wire, f"plug it in, or correct `port`: tidegate scan {wire.bus}")
            return
        node = _resolved(host, wire.target)
    known = next((each for each in nodes if each.node == node), None)
    holder = claims.holder(node, known.identity if known else None, known.links if known else ())
    if holder == "the kernel's console":
        yield console(host, node)._replace(check="site", status="fail")
    elif holder == "the running gateway":
        yield Finding("site", "ok", f"{wire.name}: {node} is held by {holder}")
    elif holder:
        yield Finding("site", "warn", f"{wire.name}: {node} is held by {holder}", "stop that program first")
    elif not os.access(host.path(node), os.R_OK | os.W_OK):
        group = "spi" if wire.bus == "spi" and host.members("spi") else "dialout"
        yield Finding("site", "fail", f"{wire.name}: {node} may not be opened", f"sudo usermod -aG {group} {host.user}")
    elif _SWAPPING.fullmatch(wire.target):
        better = known.links[0] if known and known.links else str(known.identity) if known and known.identity else None
        message = f"{wire.name}: {wire.target} may be another device after the next plug"
        yield Finding("site", "warn", message, f'write port = "{better}"' if better else INSTALL)
    else:
        yield Finding("site", "ok", f"{wire.name}: {wire.target} is there and free")


def _missing(wire: Wire, fix: str) -> Finding:
    return Finding("site", "fail", f"{wire.name}: {wire.target} is not there", fix)


def _resolved(host: Host, target: str) -> str:
    real = os.path.realpath(host.path(target))
    root = os.path.realpath(host.root)
    return real if root == "/" else f"/{os.path.relpath(real, root)}"
