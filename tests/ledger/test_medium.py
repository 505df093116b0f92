"""What lies under a ledger, from what the kernel tells."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.ledger.medium import medium_of


def told(tmp_path: Path, line: str, target: str) -> tuple[Path, Path]:
    number = tmp_path.stat().st_dev
    device = f"{os.major(number)}:{os.minor(number)}"
    mounts, devices = tmp_path / "mountinfo", tmp_path / "block"
    mounts.write_text(f"21 1 0:5 / /dev rw - devtmpfs udev rw\n22 1 {device} / / {line}\n")
    (tmp_path / target).mkdir(parents=True)
    devices.mkdir()
    (devices / device).symlink_to(tmp_path / target)
    return mounts, devices


@pytest.mark.parametrize(
    ("target", "unit_bytes"),
    [("sys/platform/fe340000.mmc/mmc_host/mmc0/mmc0:aaaa/block/mmcblk0/mmcblk0p2", 16_384),
     ("sys/pci0000:00/nvme/nvme0n1", 4096)],
)  # fmt: skip
def test_the_commit_unit_follows_from_the_medium(tmp_path: Path, target: str, unit_bytes: int) -> None:
    mounts, devices = told(tmp_path, "rw,noatime shared:1 - ext4 /dev/root rw", target)
    assert medium_of(tmp_path, mounts, devices).unit_bytes == unit_bytes


@pytest.mark.parametrize(
    ("line", "advice"),
    [("rw,noatime - ext4 /dev/root rw", "lazytime,commit=60"), ("rw,lazytime - ext4 /dev/root rw,commit=60", ""),
     ("rw,lazytime - ext4 /dev/root rw,commit=5", "commit=60"), ("rw - f2fs /dev/root rw", "")],
)  # fmt: skip
def test_a_mount_that_wears_the_medium_is_advised_against(tmp_path: Path, line: str, advice: str) -> None:
    mounts, devices = told(tmp_path, line, "sys/vda")
    found = medium_of(tmp_path, mounts, devices).advice
    assert found == "" if not advice else f"with {advice}:" in found


def test_a_folder_that_is_still_to_be_made_lies_where_it_will_be(tmp_path: Path) -> None:
    assert medium_of(tmp_path / "a" / "b") == medium_of(tmp_path)


def test_a_system_that_tells_nothing_is_taken_for_a_disk(tmp_path: Path) -> None:
    found = medium_of(tmp_path, tmp_path / "nothing", tmp_path / "nothing")
    assert (found.unit_bytes, found.file_system, found.advice) == (4096, "", "")
