"""Layer 9: `doctor`: can the data folder be written, does it last, and is there room."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gateway.cli.doctor.host import Finding, Host, Space

LITTLE_BYTES: Final = 500_000_000
TOO_LITTLE_BYTES: Final = 50_000_000
LITTLE_SHARE: Final = 0.05
VOLATILE: Final = ("tmpfs", "ramfs", "overlay")
UNSAFE: Final = ("vfat", "exfat", "ntfs", "ntfs3", "msdos")  # no journal, no owners: a power cut may take the ledger


def data_folder(host: Host, folder: Path) -> Iterator[Finding]:
    """Give what is wrong with a data folder, whether it exists yet or not. `folder` is a path of the machine."""
    there = _nearest(host, folder)
    if not os.access(there, os.W_OK | os.X_OK):
        fix = f"sudo install -d -o {host.user} {folder}"
        yield Finding("data", "fail", f"{folder} cannot be written by {host.user}", fix)
    mount = host.mount_of(folder)
    if mount is not None and "ro" in mount.options:
        yield Finding("data", "fail", f"{folder} is on {mount.place}, which is read-only", "name another with --data")
    elif mount is not None and mount.kind in VOLATILE and (mount.place != "/" or host.is_raspberry):
        message = f"{folder} is on {mount.kind}: nothing there survives a power cut"
        yield Finding("data", "warn", message, "name a folder on a disk or card with --data")
    elif mount is not None and mount.kind in UNSAFE:
        message = f"{folder} is on {mount.kind}, which loses files in a power cut"
        yield Finding("data", "warn", message, "name a folder on ext4 or f2fs with --data")
    space = host.space(there)
    yield from _room(folder, space) if space is not None else ()


def _room(folder: Path, space: Space) -> Iterator[Finding]:
    fix = "sudo apt clean; sudo journalctl --vacuum-size=100M; or name a larger place with --data"
    free = f"{space.free_bytes / 1e6:,.0f} MB of {space.size_bytes / 1e9:,.1f} GB"
    share = space.free_bytes / space.size_bytes if space.size_bytes else 1.0
    if space.free_bytes < TOO_LITTLE_BYTES:
        yield Finding("data", "fail", f"{free} are free at {folder}", fix)
    elif space.free_bytes < LITTLE_BYTES and share < LITTLE_SHARE * 4:
        yield Finding("data", "warn", f"{free} are free at {folder}", fix)
    elif space.inodes and space.free_inodes / space.inodes < LITTLE_SHARE:
        message = f"{space.free_inodes:,} of {space.inodes:,} inodes are free at {folder}"
        yield Finding("data", "warn", message, "remove small files that nobody needs: df -i, du --inodes")
    else:
        yield Finding("data", "ok", f"{free} are free at {folder}")


def _nearest(host: Host, folder: Path) -> Path:
    """Return the folder itself, or the nearest one above it that exists."""
    path = host.path(str(folder))
    while not path.exists() and path != path.parent:
        path = path.parent
    return path
