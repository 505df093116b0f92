"""Layer 9: who holds a port. Told by the kernel and by a running gateway; no port is opened to find out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from gateway.errors import GatewayError
from gateway.sysfs import ROOT, text_of
from gateway.udev.identity import UsbIdentity, parse_usb

LOCK_FOLDERS: Final = ("run/lock", "var/lock")  # where programs of the old kind write LCK..ttyUSB0


class Claims:
    """Holders of device nodes as they were when this was made."""

    def __init__(self, root: Path = ROOT, gateway_ports: Iterable[str] = ()) -> None:
        """Look through /proc once. `gateway_ports`: port texts of gateways that run."""
        self._root = root
        self._ports = list(gateway_ports)
        self._open = _open_nodes(root)
        self._locked = _locked_inodes(root)
        self._consoles = (text_of(root / "sys/class/tty/console/active") or "").split()

    def holder(self, node: str, identity: UsbIdentity | None = None, names: Iterable[str] = ()) -> str | None:
        """Return in a few words who holds a node, None where nobody is seen to.

        `names` are other names of the node: a gateway is known by what its site says.
        """
        if any(self._is_meant(port, {node, *names}, identity) for port in self._ports):
            return "the running gateway"
        name = os.path.basename(node)  # noqa: PTH119 - a name, no file
        if name in self._consoles:
            return "the kernel's console"
        if node in self._open:
            return self._open[node]
        try:
            status = (self._root / node.lstrip("/")).stat()
        except OSError:
            return None
        place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
        if place in self._locked:
            return _named(self._root, self._locked[place])
        return self._lock_file(name)

    def _is_meant(self, port: str, names: set[str], identity: UsbIdentity | None) -> bool:
        wanted = parse_usb(port)
        if wanted is not None:
            return identity is not None and wanted.is_served_by(identity)
        path = port.partition("/")[0] if port.startswith("hci") else port
        return path in names or os.path.realpath(self._root / path.lstrip("/")) in {
            str(self._root / name.lstrip("/")) for name in names
        }

    def _lock_file(self, name: str) -> str | None:
        for folder in LOCK_FOLDERS:
            number = (text_of(self._root / folder / f"LCK..{name}") or "").split()[:1]
            if number and number[0].isdecimal() and (self._root / "proc" / number[0]).exists():
                return _named(self._root, int(number[0]))
        return None


def gateway_ports(data: str | None) -> list[str]:
    """Return the port texts of the gateway of a data folder, nothing where none answers."""
    from gateway.cli.client import ask
    from gateway.environment import token

    try:
        return [str(port["name"]) for port in ask(data, token(), "status")["ports"]]
    except (GatewayError, OSError, ValueError, KeyError, TypeError):  # no gateway, or one of another version
        return []


def _open_nodes(root: Path) -> dict[str, str]:
    """Return who has device nodes open, as far as we may look: of other users only root sees it."""
    found: dict[str, str] = {}
    for process in _processes(root):
        try:
            links = list((process / "fd").iterdir())
        except OSError:
            continue
        for link in links:
            try:
                target = os.readlink(link)  # noqa: PTH115 - text as the kernel says it
            except OSError:
                continue
            if target.startswith("/dev/"):
                found.setdefault(target, _named(root, int(process.name)))
    return found


def _processes(root: Path) -> Iterator[Path]:
    ours = str(os.getpid())
    try:
        entries = list((root / "proc").iterdir())
    except OSError:
        return
    yield from (entry for entry in entries if entry.name.isdecimal() and entry.name != ours)


def _locked_inodes(root: Path) -> dict[str, int]:
    """Return who holds a lock on a file, by `major:minor:inode`; every user may read this of all (proc(5), locks)."""
    found: dict[str, int] = {}
    try:
        text = (root / "proc/locks").read_text(errors="replace")
    except OSError:
        return found
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 6 and words[1] in {"FLOCK", "POSIX", "OFDLCK"} and words[4].lstrip("-").isdecimal():
            found[words[5]] = int(words[4])
    return found


def _named(root: Path, number: int) -> str:
    name = text_of(root / "proc" / str(number) / "comm")
    return f"{name} (process {number})" if name else f"process {number}"
