"""The guest's disks: which is which, a fresh file system, and what reached the disk by its own counters."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

SECTOR_BYTES = 512
MOUNTS = Path("/run/tmp")
FILE_SYSTEMS = {
    "ext4": ("mkfs.ext4 -q -F -b 4096 -E lazy_itable_init=0,lazy_journal_init=0", "noatime,lazytime,commit=60"),
    "f2fs": ("mkfs.f2fs -q -f", "noatime,lazytime"),
}


class Counters(NamedTuple):
    """What a disk has been told to do. Source: Linux Documentation/admin-guide/iostats.rst, fields 7 and 16."""

    written_bytes: int
    flushes: int

    def since(self, before):
        return Counters(self.written_bytes - before.written_bytes, self.flushes - before.flushes)


def run(*command):
    """Run a command; its complaint is in the error."""
    environment = {**os.environ, "DM_DISABLE_UDEV": "1"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise AssertionError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return done.stdout


def disk(serial):
    """Return the device of a disk by its serial number."""
    for block in Path("/sys/block").glob("vd*"):
        if (block / "serial").read_text().strip() == serial:
            return Path("/dev", block.name)
    raise AssertionError(f"no disk {serial}; run `make rig`")


def counters(device):
    """Return what a disk counts now."""
    fields = Path("/sys/block", device.name, "stat").read_text().split()
    return Counters(int(fields[6]) * SECTOR_BYTES, int(fields[15]))


def make(kind, device):
    """Make an empty file system."""
    run(*FILE_SYSTEMS[kind][0].split(), str(device))


def mount(kind, device, name):
    """Return where a file system now is; one whose power was cut replays its journal here."""
    place = MOUNTS / name
    place.mkdir(parents=True, exist_ok=True)
    run("mount", "-t", kind, "-o", FILE_SYSTEMS[kind][1], str(device), str(place))
    return place


class Mapped:
    """A disk behind device-mapper, which can be told to fail, and to be well again."""

    def __init__(self, device):
        self._device = device
        self._sectors = int(run("blockdev", "--getsz", str(device)))
        self.path = Path("/dev/mapper/flash")

    def __enter__(self):
        run("dmsetup", "create", "flash", "--table", self._well(0, self._sectors))
        return self

    def __exit__(self, *_exception):
        run("dmsetup", "remove", "--retry", "flash")

    def fail(self, feature):
        """Do with every write what dm-flakey's `feature` says: error_writes, drop_writes."""
        self._load(f"0 {self._sectors} flakey {self._device} 0 0 3600 1 {feature}")

    def fail_at(self, file):
        """Fail reads and writes where a file lies; flakey would fail flushes of the whole disk, too."""
        spots = extents(file)
        table, at = [], 0
        for start, count in sorted(spots):
            table += [self._well(at, start - at), f"{start} {count} error"]
            at = start + count
        self._load("\n".join([*table, self._well(at, self._sectors - at)]))

    def heal(self):
        """Let every write succeed."""
        self._load(self._well(0, self._sectors))

    def _well(self, start, count):
        return f"{start} {count} linear {self._device} {start}"

    def _load(self, table):
        run("dmsetup", "suspend", "--nolockfs", "--noflush", "flash")
        run("dmsetup", "load", "flash", "--table", table)
        run("dmsetup", "resume", "flash")


def extents(file):
    """Return where a file lies on its disk: first sector and count of each piece."""
    rows = re.findall(
        r"^ *\d+: *\d+\.\. *\d+: *(\d+)\.\. *(\d+):", run("filefrag", "-v", "-b512", str(file)), re.MULTILINE
    )
    assert rows
    return [(int(first), int(last) - int(first) + 1) for first, last in rows]


@contextlib.contextmanager
def mounted(kind, device, name):
    """Give the place of a file system for as long."""
    place = mount(kind, device, name)
    try:
        yield place
    finally:
        run("umount", str(place))
