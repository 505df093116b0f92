"""The Debian packages of the rig: which are missing, and getting them. Standard library only: it runs before pip."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from hil.kernel.host import Progress, RigError, run

PACKAGES: Final = (
    "qemu-system-x86",  # the guests
    "qemu-system-arm",  # the microcontroller
    "kmod",
    "udev",
    "iproute2",
    "can-utils",
    "dbus",
    "bluez",
    "e2fsprogs",  # the disks of guest flash
    "f2fs-tools",
    "dmsetup",
    "make",
    "gcc",
    "libc6-dev",
    "gcc-arm-none-eabi",
)
APT_LISTS: Final = Path("/var/lib/apt/lists")


def needed() -> tuple[str, ...]:
    """Return the packages that the rig needs with this Python: spidev comes as source and wants its headers."""
    header = Path(sysconfig.get_path("include")) / "Python.h"
    return PACKAGES if header.exists() else (*PACKAGES, "python3-dev")


def missing(wanted: Iterable[str], statuses: str) -> list[str]:
    """Return those of `wanted` that `statuses`, lines of `STATUS PACKAGE`, does not call installed."""
    installed = {line.split()[1] for line in statuses.splitlines() if line.startswith("installed ")}
    return [package for package in wanted if package not in installed]


def install_command(packages: Sequence[str]) -> list[str]:
    """Return the one command that installs `packages`."""
    return ["apt-get", "install", "--yes", "--no-install-recommends", *packages]


def advice(packages: Sequence[str]) -> str:
    """Return what somebody who is not root should type."""
    return f"sudo apt-get update && sudo {shlex.join(install_command(packages))}"


def ensure(progress: Progress) -> None:
    """Install what is missing when root. Raises: RigError that names the one command otherwise."""
    wanted = needed()
    absent = missing(wanted, _statuses())
    if not absent:
        return
    if os.geteuid() != 0:
        raise RigError(f"Debian packages are missing: {', '.join(absent)}; install them with\n  {advice(absent)}")
    progress.say(f"installing {' '.join(absent)}")
    if not has_lists(APT_LISTS):
        update_lists()
    try:
        apt(install_command(absent))
    except RigError:  # old lists name files that are gone
        update_lists()
        apt(install_command(absent))


def has_lists(folder: Path) -> bool:
    """Whether apt knows any package; in a fresh container it knows none."""
    return folder.is_dir() and any("_Packages" in entry.name for entry in folder.iterdir())


def _statuses() -> str:
    if shutil.which("dpkg-query") is None:
        raise RigError("this machine has no dpkg; the rig boots Debian's kernel, from Debian's packages")
    return run(["dpkg-query", "--show", "--showformat", "${db:Status-Status} ${Package}\\n"])


def update_lists() -> None:
    """Fetch what Debian has now. One repository of several that does not answer is no reason to stop."""
    with contextlib.suppress(RigError):
        apt(["apt-get", "update"])


def apt(command: Sequence[str], *, folder: Path | None = None) -> str:
    """Run apt-get without questions; return its output. Raises: RigError."""
    quiet = ["-qq", "-o", "Dpkg::Use-Pty=0"]
    return run([command[0], *quiet, *command[1:]], folder=folder, environment={"DEBIAN_FRONTEND": "noninteractive"})


if __name__ == "__main__":
    try:
        ensure(Progress())
    except RigError as error:
        sys.exit(f"rig: {error}")
