"""Layer 5: what lies under a ledger: a card or a disk, and how its file system is mounted.

The commit unit follows from it: NAND pages of SD cards and eMMC are 16 KiB, and one that was acknowledged is never
written again; everywhere else 4 KiB is one block of the file system.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, NamedTuple

UNIT_BYTES: Final = 4096
CARD_UNIT_BYTES: Final = 16_384
_MOUNTS: Final = Path("/proc/self/mountinfo")
_DEVICES: Final = Path("/sys/dev/block")
_SAVING: Final = ("lazytime", "commit=60")  # without them ext4 writes an inode every 5 s: as much again as a reading


class Medium(NamedTuple):
    """The file system below a folder."""

    file_system: str  # "" where the system does not tell
    options: frozenset[str]
    is_card: bool

    @property
    def unit_bytes(self) -> int:
        """Return what a commit is padded to here."""
        return CARD_UNIT_BYTES if self.is_card else UNIT_BYTES

    @property
    def advice(self) -> str:
        """Return what would spare the medium; "" where nothing would."""
        missing = [option for option in _SAVING if option not in self.options]
        if self.file_system != "ext4" or not missing:
            return ""
        return f"mount the data's file system with {','.join(missing)}: it halves what an idle gateway writes"


def medium_of(folder: Path, mounts: Path = _MOUNTS, devices: Path = _DEVICES) -> Medium:
    """Return what lies under a folder, or under the nearest one above it that exists."""
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    number = place.stat().st_dev
    device = f"{os.major(number)}:{os.minor(number)}"
    try:
        lines = mounts.read_text().splitlines()
        is_card = "mmc" in str((devices / device).resolve())
    except OSError:
        return Medium("", frozenset(), is_card=False)
    for line in reversed(lines):
        head, _, tail = line.partition(" - ")
        fields, rest = head.split(), tail.split()
        if len(fields) > 5 and len(rest) > 2 and fields[2] == device:
            return Medium(rest[0], frozenset(fields[5].split(",") + rest[2].split(",")), is_card)
    return Medium("", frozenset(), is_card)
