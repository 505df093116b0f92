"""Layer 2: rules for one site as text: a link for each USB adapter it names, its CAN interfaces brought up."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from gateway.udev.identity import UsbIdentity

SITE_FILE: Final = "61-tidegate-site.rules"
SHIPPED_FILE: Final = "60-tidegate.rules"
LINK_FOLDER: Final = "tidegate"  # under /dev
TX_QUEUE_FRAMES: Final = 1000  # the kernel's 10 fills in 1 ms of a 1 Mbit/s bus
RESTART_MS: Final = 100  # a controller that went bus-off tries again by itself
_SEAL: Final = re.compile(rb"# tidegate-seal: ([0-9a-f]{16})\n")


class SerialLink(NamedTuple):
    """A link `/dev/tidegate/NAME` for one USB serial adapter."""

    name: str
    identity: UsbIdentity


class CanInterface(NamedTuple):
    """A CAN interface to bring up."""

    name: str  # of the port or device in the site
    interface: str | UsbIdentity
    bitrate: int
    data_bitrate: int | None = None  # of an FD bus


def site_rules(site: str, links: Iterable[SerialLink], interfaces: Iterable[CanInterface]) -> str:
    """Return the rules file of a site; `site` names it in the first line."""
    lines = [f"# Made by `tidegate udev generate {_comment(site)}`; a change there wants it made anew."]
    for link in links:
        lines += ["", f"# {_comment(link.name)}: {_comment(str(link.identity))}", _link_rule(link)]
    for interface in interfaces:
        lines += ["", f"# {_comment(interface.name)}: {_comment(str(interface.interface))}", _can_rule(interface)]
    return "\n".join(lines) + "\n"


def _link_rule(link: SerialLink) -> str:
    return ", ".join(
        [
            'SUBSYSTEM=="tty"',
            *_identity_keys(link.identity),
            f'SYMLINK+="{LINK_FOLDER}/{link.name}"',
            'GROUP="dialout"',
            'MODE="0660"',
            'ENV{ID_MM_DEVICE_IGNORE}="1"',
            'TAG+="systemd"',
        ]
    )


def _can_rule(interface: CanInterface) -> str:
    where = (
        _identity_keys(interface.interface)
        if isinstance(interface.interface, UsbIdentity)
        else [f'KERNEL=="{_quoted(interface.interface)}"']
    )
    flexible = f" dbitrate {interface.data_bitrate} fd on" if interface.data_bitrate else ""
    rate = f"bitrate {interface.bitrate}{flexible} restart-ms {RESTART_MS}"
    command = f"/sbin/ip link set $name up txqueuelen {TX_QUEUE_FRAMES} type can {rate}"
    # ARPHRD_CAN is 280; a vcan has that type too and takes no bitrate
    return ", ".join(
        [
            'ACTION=="add"',
            'SUBSYSTEM=="net"',
            'ATTR{type}=="280"',
            'DEVPATH!="/devices/virtual/*"',
            *where,
            'TAG+="systemd"',
            f'RUN+="{command}"',
        ]
    )


def _identity_keys(identity: UsbIdentity) -> list[str]:
    found = [f'ATTRS{{idVendor}}=="{identity.vid:04x}"', f'ATTRS{{idProduct}}=="{identity.pid:04x}"']
    return [*found, f'ATTRS{{serial}}=="{_quoted(identity.serial)}"'] if identity.serial else found


def _quoted(text: str) -> str:
    """Return a text for a comparison: what udev would take as a pattern stands for itself."""
    return re.sub(r"([*?\[\]|\\])", r"[\1]", text).replace("[\\]", "?").replace('"', '\\"').replace("\n", "?")


def _comment(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def sealed(rules: str) -> bytes:
    """Return a file's bytes with a first line that tells later whether somebody edited it."""
    body = rules.encode()
    return b"# tidegate-seal: " + _digest(body).encode() + b"\n" + body


def seal_of(data: bytes) -> bool | None:
    """Return whether an installed file is as it was installed; None: it is none of ours."""
    found = _SEAL.match(data)
    return None if found is None else found[1].decode() == _digest(data[found.end() :])


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:16]
