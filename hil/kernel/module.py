"""`hilspi.ko`, the SPI controller whose devices are programs: built against the kernel that the guests boot."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import Final

from hil.kernel.host import ROOT, Progress, RigError, run
from hil.kernel.image import Image

SOURCES: Final = ROOT / "hil" / "kernel" / "spi"


def build(image: Image, progress: Progress) -> Path:
    """Return the module, built if its sources or the kernel are new. Raises: RigError."""
    sources = {path.name: path.read_bytes() for path in sorted(SOURCES.glob("*")) if path.is_file()}
    if not {"hilspi.c", "Makefile"} <= sources.keys():
        raise RigError(f"{SOURCES} has no hilspi.c and Makefile")
    digest = hashlib.sha256(repr(sources).encode()).hexdigest()[:12]
    built = image.folder / f"hilspi-{digest}.ko"
    if not built.exists():
        progress.say(f"building hilspi.ko for {image.release}")
        _build(image, sources, built)
    return built


def _build(image: Image, sources: dict[str, bytes], built: Path) -> None:
    """Build in a folder of its own: kbuild takes no spaces in paths, and the headers name theirs absolutely."""
    with tempfile.TemporaryDirectory(prefix="tidegate-", dir=plain_folder(tempfile.gettempdir())) as name:
        folder = Path(name).resolve()
        for package in image.headers.glob("*.deb"):
            run(["dpkg-deb", "--extract", package, folder / "headers"])
        headers = folder / "headers" / "usr" / "src" / f"linux-headers-{image.release}"
        makefile = headers / "Makefile"
        makefile.write_text(makefile.read_text().replace("/usr/src/", f"{headers.parent}/"))
        module = folder / "module"
        module.mkdir()
        for file, data in sources.items():
            (module / file).write_bytes(data)
        run(["make", "-C", headers, f"M={module}", "modules"])
        shutil.copyfile(module / "hilspi.ko", built.with_suffix(".new"))
        built.with_suffix(".new").rename(built)


def plain_folder(temporary: str) -> str:
    """Return the folder for temporary files, or one whose name make can read."""
    return temporary if not set(temporary) & set(" \t:#$'\"") else "/var/tmp"  # noqa: S108 - ours is made below it
