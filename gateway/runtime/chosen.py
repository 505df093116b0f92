"""Layer 6: which devices use another profile than their site file says, because somebody chose it since.

The site file stays the operator's own: it is never written. A choice is kept in the data folder, beside the profiles
that were installed, and counts as long as the file says what it said then: who writes another profile there has decided
anew. It is kept once the device has come back with it, so that a gateway that ends before starts with what worked.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from gateway.config import SiteConfig
from gateway.folder import sync_names

FILE_NAME: Final = "chosen-profiles.json"
MAX_FILE_BYTES: Final = 4_000_000

log = logging.getLogger(__name__)


class Choice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One device's profile."""

    profile: str
    instead_of: str  # what the site file says
    by: str  # principal

    def as_json(self) -> dict[str, Any]:
        """Return it as `devices --json` tells it."""
        told: dict[str, Any] = msgspec.to_builtins(self)
        return told


Chosen = Mapping[str, Choice]
"""Choices by device; never changed in place."""


def holding(chosen: Chosen, site: SiteConfig) -> Chosen:
    """Return the choices that count for a site file."""
    return {
        name: choice
        for name, choice in chosen.items()
        if name in site.devices and site.devices[name].profile == choice.instead_of != choice.profile
    }


def put_into(chosen: Chosen, site: SiteConfig) -> SiteConfig:
    """Return the site as it is with the choices that count for it."""
    devices = {
        name: config if name not in chosen else msgspec.structs.replace(config, profile=chosen[name].profile)
        for name, config in site.devices.items()
    }
    return msgspec.structs.replace(site, devices=devices) if chosen else site


def written(chosen: Chosen, site: SiteConfig) -> SiteConfig:
    """Return a site without its choices: as its file says it."""
    undone = {
        name: msgspec.structs.replace(each, profile=each.instead_of, instead_of=each.profile)
        for name, each in chosen.items()
    }
    return put_into(undone, site)


class ChosenFile:
    """Where choices are kept."""

    def __init__(self, folder: Path) -> None:
        """Take the data folder."""
        self._path = folder / FILE_NAME
        self._kept: Chosen = {}

    def load(self) -> Chosen:
        """Return what is kept. A file that cannot be read is told of, and stands for no choice."""
        try:
            with self._path.open("rb") as stream:
                self._kept = msgspec.json.decode(stream.read(MAX_FILE_BYTES), type=dict[str, Choice])
        except FileNotFoundError:
            self._kept = {}
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            log.warning("%s cannot be read (%s): devices use the profiles of the site file", self._path, error)
            self._kept = {}
        return self._kept

    def keep(self, chosen: Chosen) -> None:
        """Keep these choices and no others, durable; not on the loop. Raises: OSError; the file is then as it was."""
        if chosen == self._kept:
            return
        text = msgspec.json.format(msgspec.json.encode(chosen), indent=2) + b"\n"
        write_durably(self._path, text)
        self._kept = chosen


def write_durably(path: Path, data: bytes) -> None:
    """Put a file in place, whole or not at all, on the medium when this returns. Raises: OSError."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".part")
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    sync_names(path.parent)
