"""Layer 9: `doctor`: are our udev rules in place, and are they those of this version and site."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gateway.cli.doctor.host import Finding, Host
from gateway.cli.udev_files import RULES_FOLDER, names_in, shipped_rules
from gateway.udev.check import check_rules
from gateway.udev.make import SHIPPED_FILE, SITE_FILE, seal_of, sealed

INSTALL: Final = "sudo $(command -v tidegate) udev install"  # sudo does not search the path of a venv


def udev(host: Host) -> Iterator[Finding]:
    """Give whether the shipped rules are installed, current and without mistakes."""
    if not host.exists("etc/udev") and not host.exists("usr/lib/udev"):
        yield Finding("udev", "skip", "no udev here")
        return
    yield compared(host, SHIPPED_FILE, sealed(shipped_rules().read_text()), INSTALL)


def compared(host: Host, name: str, wanted: bytes, fix: str) -> Finding:
    """Return whether a rules file is what it should be."""
    path = host.root / RULES_FOLDER / name
    try:
        there = path.read_bytes()
    except OSError:
        return Finding("udev", "warn", f"{name} is not installed: adapters have no names that last", fix)
    if there == wanted:
        return Finding("udev", "ok", f"{name} is installed and current")
    if seal_of(there) is True:
        return Finding("udev", "warn", f"{name} is of another version or site", fix)
    wrong = check_rules(str(path), there, names_in(host.root, "group")).problems
    if any(each.severity == "error" for each in wrong):
        return Finding("udev", "fail", f"{name} was edited and has mistakes", f"tidegate udev check {path}")
    return Finding("udev", "ok", f"{name} is installed, with changes of your own")


def rivals(host: Host) -> Iterator[Finding]:
    """Give whether programs are at work that open every serial port they see."""
    is_there = host.exists("usr/sbin/ModemManager") or host.exists("usr/bin/ModemManager")
    if not is_there:
        yield Finding("modem-manager", "skip", "no ModemManager here")
    elif host.exists(f"{RULES_FOLDER}/{SHIPPED_FILE}") or host.exists(f"{RULES_FOLDER}/{SITE_FILE}"):
        yield Finding("modem-manager", "ok", "ModemManager is kept off our ports by our rules")
    else:
        yield Finding("modem-manager", "warn", "ModemManager may talk to serial devices as if to modems", INSTALL)


CHECKS = (udev, rivals)
