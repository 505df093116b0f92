"""Debian's kernel and what goes with it, unpacked into a folder keyed by its release: nothing here is installed.

.rig/6.1.0-56-amd64/{vmlinuz, initramfs, lib/modules/6.1.0-56-amd64, headers/*.deb}
"""

from __future__ import annotations

import contextlib
import lzma
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from hil.kernel.host import CACHE, Progress, RigError, run
from hil.kernel.packages import apt, update_lists

ROOT_MODULES: Final = ("virtio_pci", "9pnet_virtio", "9p", "overlay", "virtio_console")  # loaded before there is a root
MODULE_FOLDERS: Final = (  # of the 400 MB that a kernel package has, what the guests can use
    "arch",
    "crypto",
    "drivers/block",
    "drivers/bluetooth",
    "drivers/char",
    "drivers/hid/uhid",
    "drivers/md",
    "drivers/net/can",
    "drivers/spi",
    "drivers/tty",
    "drivers/usb",
    "drivers/virtio",
    "fs/9p",
    "fs/ext4",
    "fs/f2fs",
    "fs/fscache",
    "fs/jbd2",
    "fs/mbcache",
    "fs/netfs",
    "fs/overlayfs",
    "lib",
    "net/9p",
    "net/bluetooth",
    "net/can",
    "net/rfkill",
)
_MODULE: Final = re.compile(r"lib/modules/[^/]+/(?:(?P<index>modules\.[^/]+)|kernel/(?P<path>.+))")
FIRST_PROCESS: Final = Path(__file__).with_name("init")
DONE: Final = "complete"  # the file that says that a folder is whole, and what was taken into it
TAKEN: Final = "\n".join(MODULE_FOLDERS) + "\n"


class Image(NamedTuple):
    """A kernel that can boot."""

    release: str
    folder: Path

    @property
    def kernel(self) -> Path:
        """The kernel itself."""
        return self.folder / "vmlinuz"

    @property
    def initramfs(self) -> Path:
        """The first file system: finds the real one."""
        return self.folder / "initramfs"

    @property
    def modules(self) -> Path:
        """What a guest has as /lib/modules."""
        return self.folder / "lib" / "modules"

    @property
    def headers(self) -> Path:
        """The packages to build a module against."""
        return self.folder / "headers"


def prepare(progress: Progress) -> Image:
    """Return the kernel that Debian has now, fetched and unpacked if it was not. Raises: RigError."""
    release = _release()
    if release is None and os.geteuid() == 0:
        update_lists()
        release = _release()
    if release is None:
        raise RigError("apt knows no linux-image-amd64; the rig needs Debian on amd64, and: sudo apt-get update")
    image = Image(release, CACHE / release)
    if not is_whole(image):
        progress.say(f"fetching Debian's kernel {release}")
        _fetch(image)
    image.initramfs.write_bytes(archive(_first_files(image)))
    return image


def is_whole(image: Image) -> bool:
    """Whether everything that the guests use now was fetched, and not what an older rig used."""
    done = image.folder / DONE
    return done.exists() and done.read_text() == TAKEN


def _release() -> str | None:
    with contextlib.suppress(RigError):  # of a package that apt does not know
        return release_of(run(["apt-cache", "depends", "linux-image-amd64"]))
    return None


def release_of(depends: str) -> str | None:
    """Return the kernel release that `apt-cache depends linux-image-amd64` names, None if it names none."""
    found = re.search(r"Depends: linux-image-(\d\S*)", depends)
    return found[1] if found else None


def archive(files: Mapping[str, bytes]) -> bytes:
    """Return a cpio archive (newc, kernel's Documentation/driver-api/early-userspace/buffer-format.rst) of `files`.

    All are executable; the folders in their names and the mount points are made, folders before what is in them.
    """
    folders = {str(parent) for name in files for parent in Path(name).parents if str(parent) != "."}
    entries = [(name, 0o040755, b"") for name in sorted(folders)]
    entries += [(name, 0o100755, data) for name, data in files.items()]
    return b"".join(_entry(*entry) for entry in [*entries, ("TRAILER!!!", 0, b"")])


def _entry(name: str, mode: int, data: bytes) -> bytes:
    text = name.encode() + b"\0"
    facts = (0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(text), 0)
    header = b"070701" + b"".join(b"%08x" % fact for fact in facts)
    return _padded(header + text) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _first_files(image: Image) -> dict[str, bytes]:
    """Return the files of the initramfs: the first process, its shell, and the modules in the order of loading."""
    modules = _in_order(image)
    files = {f"modules/{path.name.removesuffix('.xz')}": _unpacked(path) for path in modules}
    order = "".join(f"{name.removeprefix('modules/')}\n" for name in files)
    return {
        "init": FIRST_PROCESS.read_bytes(),
        "bin/busybox": (image.folder / "busybox").read_bytes(),
        "modules/order": order.encode(),
        **files,
    }


def _in_order(image: Image) -> list[Path]:
    shown = [
        run(["modprobe", "-d", image.folder, "-S", image.release, "--show-depends", module]) for module in ROOT_MODULES
    ]
    lines = [line.split(maxsplit=1) for text in shown for line in text.splitlines()]
    return list(dict.fromkeys(Path(words[1].strip()) for words in lines if words[0] == "insmod"))


def _unpacked(path: Path) -> bytes:
    data = path.read_bytes()
    return lzma.decompress(data) if path.suffix == ".xz" else data


def _fetch(image: Image) -> None:
    """Fetch into a folder beside, then give it its name: a fetch that was cut short leaves nothing half done."""
    CACHE.mkdir(exist_ok=True)
    release = image.release
    with tempfile.TemporaryDirectory(prefix=f"{release}.", dir=CACHE) as name:
        folder = Path(name)
        download(folder, [f"linux-image-{release}", "busybox-static"])
        unpack(_package(folder, "linux-image-"), folder, image_place)
        unpack(_package(folder, "busybox-static"), folder, image_place)
        for package in folder.glob("*.deb"):
            package.unlink()
        run(["depmod", "--basedir", folder, release])
        headers = folder / "headers"
        headers.mkdir()
        download(headers, header_packages(run(["apt-cache", "depends", f"linux-headers-{release}"]), release))
        (folder / DONE).write_text(TAKEN)
        shutil.rmtree(image.folder, ignore_errors=True)
        Path(name).rename(image.folder)
        Path(name).mkdir()  # for the context to remove


def image_place(name: str) -> str | None:
    """Return where in the image a file of Debian's packages goes, None for nowhere.

    Debian 12 has `lib/modules` and `bin/busybox`, 13 has both under `usr`.
    """
    name = name.removeprefix("./").removeprefix("usr/")
    if name.startswith("boot/vmlinuz"):
        return "vmlinuz"
    if name == "bin/busybox":
        return "busybox"
    match = _MODULE.fullmatch(name)
    if match and (match["index"] or match["path"].startswith(MODULE_FOLDERS)):
        return name
    return None


def header_packages(depends: str, release: str) -> list[str]:
    """Return what a module is built against: the headers, those of all flavours, and kbuild's tools."""
    named = re.findall(r"Depends: (linux-(?:headers|kbuild)-\S+)", depends)
    return [f"linux-headers-{release}", *named]


def download(folder: Path, packages: Iterable[str]) -> None:
    """Fetch packages into `folder`. Raises: RigError."""
    command = ["apt-get", "download", *packages]
    try:
        apt(command, folder=folder)
    except RigError:
        if os.geteuid() != 0:
            raise
        update_lists()  # old lists name files that are gone
        apt(command, folder=folder)


def unpack(package: Path, folder: Path, place: Callable[[str], str | None]) -> None:
    """Write those files of a Debian package for which `place` gives a path in `folder`."""
    with (
        subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as packed,  # noqa: S603, S607
        tarfile.open(fileobj=packed.stdout, mode="r|") as files,
    ):
        for member in files:
            where = place(member.name) if member.isfile() else None
            data = files.extractfile(member) if where else None
            if where and data:
                target = folder / where
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("wb") as file:
                    shutil.copyfileobj(data, file)


def _package(folder: Path, prefix: str) -> Path:
    return next(folder.glob(f"{prefix}*.deb"))
