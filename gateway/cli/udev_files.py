"""Layer 9: where udev rules are: those that come with Tidegate and those on a machine."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import gateway
from gateway.errors import UsageError
from gateway.udev.make import SHIPPED_FILE, SITE_FILE

RULES_FOLDER: Final = Path("etc/udev/rules.d")


def shipped_rules() -> Path:
    """Return the file that comes with Tidegate: in an installed wheel beside the code, else in the repository."""
    package = Path(gateway.__file__).parent
    for folder in (package / "udev" / "shipped", package.parent / "udev"):
        if (folder / SHIPPED_FILE).is_file():
            return folder / SHIPPED_FILE
    raise UsageError(f"{SHIPPED_FILE} is missing from this installation; install tidegate again")


def installed_rules(root: Path) -> list[Path]:
    """Return our files among the rules of the machine whose file system is `root`."""
    folder = root / RULES_FOLDER
    return [folder / name for name in (SHIPPED_FILE, SITE_FILE) if (folder / name).is_file()]


def names_in(root: Path, table: str) -> frozenset[str] | None:
    """Return the names in etc/group or etc/passwd under `root`, None where there is no such file to go by."""
    try:
        text = (root / "etc" / table).read_text(errors="replace")
    except OSError:
        return None
    return frozenset(line.partition(":")[0] for line in text.splitlines() if ":" in line)
