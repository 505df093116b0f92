"""Where bytes are counted: an ext4 on a loop device, as the device saw them; else what the process says it wrote."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

IMAGE_BYTES = 1 << 30  # sparse; below 512 MiB mkfs.ext4 would choose smaller blocks
IN_MEMORY = Path("/dev/shm")  # a loop device over it counts the same, and no other work of the machine slows it down
SECTOR_BYTES = 512


class Seen(NamedTuple):
    """What reached the medium so far."""

    bytes_written: int
    flushes: int | None  # None: this machine cannot tell


class Medium:
    """A folder, and what was written below it."""

    def __init__(self, folder: Path, device: str | None) -> None:
        self.folder = folder
        self._device = device

    @property
    def what(self) -> str:
        """Say what is counted."""
        if self._device is None:
            return "bytes that the process wrote; no loop device here"
        return "bytes that reached the block device: ext4 with 4 KiB blocks, noatime,lazytime,commit=60"

    def seen(self, *, settle: bool = True) -> Seen:
        """Return the counters; `settle` first brings everything that still waits in memory to the medium."""
        if settle:
            _run("sync", "--file-system", str(self.folder))
        if self._device is None:
            told = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
            return Seen(int(told["write_bytes"]), None)
        fields = Path(f"/sys/block/{self._device}/stat").read_text().split()
        return Seen(int(fields[6]) * SECTOR_BYTES, int(fields[15]))


@contextlib.contextmanager
def medium(folder: Path) -> Iterator[Medium]:
    """Give a medium that counts, as exactly as this machine lets us."""
    mount = folder / "medium"
    mount.mkdir()
    image = (IN_MEMORY if _has_room(IN_MEMORY) else folder) / f"tidegate-bench-{os.getpid()}.img"
    device = _attached(image) if os.geteuid() == 0 and shutil.which("mkfs.ext4") and shutil.which("losetup") else None
    if device is None:
        yield Medium(mount, None)
        shutil.rmtree(mount)
        return
    try:
        _run("mkfs.ext4", "-q", "-F", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0", device)
        _run("mount", "-o", "noatime,lazytime,commit=60", device, str(mount))
        try:
            yield Medium(mount, Path(device).name)
        finally:
            _run("umount", str(mount))
    finally:
        _run("losetup", "-d", device)
        image.unlink()
        mount.rmdir()


def _has_room(folder: Path) -> bool:
    return os.access(folder, os.W_OK) and shutil.disk_usage(folder).free >= IMAGE_BYTES


def _attached(image: Path) -> str | None:
    with image.open("wb") as file:
        file.truncate(IMAGE_BYTES)
    done = subprocess.run(["losetup", "-f", "--show", str(image)], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return done.stdout.strip()
    image.unlink()
    return None


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
