"""Layer 9: the machine as the checks of `doctor` see it: files under a root, answers of programs, the user's groups."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal, NamedTuple

from gateway.sysfs import ROOT, text_of

RUN_TIMEOUT_S: Final = 5.0
MAX_FILE_BYTES: Final = 4_000_000
_PATHS: Final = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/bin"

Status = Literal["ok", "warn", "fail", "skip"]


class Finding(NamedTuple):
    """What one check says."""

    check: str  # stable, for programs: "groups", "udev" ...
    status: Status  # skip: it does not apply to this machine
    message: str  # one sentence
    fix: str | None = None  # a command, or what to do


class Space(NamedTuple):
    """What is free where a folder is."""

    free_bytes: int
    size_bytes: int
    free_inodes: int
    inodes: int  # 0: the file system has none to count


class Mount(NamedTuple):
    """One line of /proc/mounts."""

    device: str
    place: str
    kind: str
    options: tuple[str, ...]


def run_command(words: list[str]) -> str | None:
    """Return what a program of the system prints, None where it is not there, fails or hangs."""
    program = shutil.which(words[0], path=_PATHS)
    if program is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603 - our own words
            [program, *words[1:]],
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=RUN_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


class Host:
    """Facts about one machine. Under another root than `/` no program is run and nothing of this process counts."""

    def __init__(
        self,
        root: Path = ROOT,
        *,
        run: Callable[[list[str]], str | None] | None = None,
        user: str | None = None,
        session_groups: Iterable[int] | None = None,
        has_module: Callable[[str], bool] | None = None,
        space: Callable[[Path], Space | None] | None = None,
    ) -> None:
        """Take what a test gives in place of the machine's own."""
        self.root = root
        self.is_ours = root == ROOT
        self._run = run or (run_command if self.is_ours else lambda _words: None)
        self.user = user or _user_name()
        self.session_groups = frozenset(os.getgroups() if session_groups is None else session_groups)
        self.has_module = has_module or (lambda name: find_spec(name) is not None)
        self._space = space or _space_of

    def run(self, *words: str) -> str | None:
        """Return what a program prints, None where there is no answer."""
        return self._run(list(words))

    def path(self, place: str) -> Path:
        """Return where a path of the machine is."""
        return self.root / place.lstrip("/")

    def text(self, place: str) -> str | None:
        """Return what a small file says, without blanks around it; None for nothing."""
        return text_of(self.path(place))

    def whole(self, place: str) -> str:
        """Return what a file of any usual size says, "" where it cannot be read."""
        try:
            with self.path(place).open("rb") as stream:
                return stream.read(MAX_FILE_BYTES).decode(errors="replace")
        except (OSError, ValueError):  # the latter for a path with a NUL
            return ""

    def exists(self, place: str) -> bool:
        """Return whether something is there; a link that leads nowhere is not."""
        return self.path(place).exists()

    def names(self, place: str) -> list[str]:
        """Return what is in a folder, in order; nothing where there is none."""
        try:
            return sorted(entry.name for entry in self.path(place).iterdir())
        except OSError:
            return []

    def members(self, group: str) -> tuple[int, frozenset[str]] | None:
        """Return number and members of a group, None where there is no such group."""
        for line in self.whole("etc/group").splitlines():
            words = line.split(":")
            if len(words) >= 4 and words[0] == group and words[2].isdecimal():
                return int(words[2]), frozenset(filter(None, words[3].split(",")))
        return None

    def primary_group(self) -> int | None:
        """Return the number of the user's own group."""
        for line in self.whole("etc/passwd").splitlines():
            words = line.split(":")
            if len(words) >= 4 and words[0] == self.user and words[3].isdecimal():
                return int(words[3])
        return None

    def mount_of(self, place: Path) -> Mount | None:
        """Return the mount that a path of the machine is on, the innermost."""
        found: Mount | None = None
        for mount in self.mounts():
            inside = mount.place == "/" or place == Path(mount.place) or Path(mount.place) in place.parents
            if inside and (found is None or len(mount.place) >= len(found.place)):
                found = mount
        return found

    def mounts(self) -> list[Mount]:
        """Return what is mounted, in order."""
        rows = [line.split() for line in self.whole("proc/mounts").splitlines()]
        return [Mount(row[0], row[1], row[2], tuple(row[3].split(","))) for row in rows if len(row) >= 4]

    def space(self, folder: Path) -> Space | None:
        """Return what is free where a folder is or would be, None where that is not to be had."""
        return self._space(folder)

    @property
    def model(self) -> str:
        """The board's name, "" where it has none."""
        return self.text("proc/device-tree/model") or self.text("sys/firmware/devicetree/base/model") or ""

    @property
    def is_raspberry(self) -> bool:
        """Whether this is a Raspberry Pi."""
        return self.model.startswith("Raspberry Pi")


def _user_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _space_of(folder: Path) -> Space | None:
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return Space(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize, found.f_favail, found.f_files)
