"""Layer 6: the profiles that a gateway can use by name: those that come with Tidegate, and those that were installed.

An installed profile is a file of its own in the data folder, `profiles/PUBLISHER/NAME@VERSION.toml`, on the medium
before anybody is told so, and never changed: another text is another version. Nothing here is for the loop.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from gateway.errors import NotKeptError, Problem, ProfileError, UnknownError, UsageError
from gateway.folder import sync_names
from gateway.profile.build import CompiledProfile
from gateway.profile.identity import ProfileId, profile_id
from gateway.profile.load import check_text, example_profile, file_text, find_known, installed_profiles, shipped_ids
from gateway.profile.model import Profile
from gateway.profile.setpoint import compile_setpoints
from gateway.registry import transforms
from gateway.runtime.chosen import write_durably

MAX_BYTES: Final = 1_048_576
MAX_INSTALLED: Final = 4_096

_LISTS: Final = {"messages": "message", "setpoints": "setpoint", "params": "params"}

Kept = Literal["installed", "same", "immutable"]


class Examined(NamedTuple):
    """What came of a text: the profile where nothing refuses it, and all that is to be said."""

    profile: Profile | None
    problems: list[Problem]


class Library:
    """The profiles of one data folder."""

    def __init__(self, folder: Path) -> None:
        """Take where installed profiles lie; made when the first one is."""
        self._folder = folder

    def all(self) -> dict[ProfileId, Path]:
        """Return every profile by id."""
        return installed_profiles(self._folder) | shipped_ids()  # which nobody can take the place of

    def path_of(self, known: ProfileId) -> Path:
        """Return where a profile lies. Raises: UnknownError."""
        path = self.all().get(known)
        if path is None:
            raise UnknownError("profile", f"no profile {str(known)!r}; `tidegate profile installed` names them")
        return path

    def id_of(self, name: str) -> ProfileId:
        """Return which profile a name means, `motor`, `example/motor@1`. A path names none. Raises: UnknownError."""
        path = find_known(name, self._folder)
        found = next((known for known, place in self.all().items() if place == path), None)
        if found is None:
            raise UnknownError(
                "profile", f"no profile {name[:80]!r}; give the id of one, such as 'example/motor@1.0.0'"
            )
        return found

    def is_installed(self, path: Path) -> bool:
        """Return whether a profile was installed here."""
        return path.parent.parent == self._folder

    def examine(self, known: ProfileId, data: bytes) -> Examined:
        """Return what a text is as this profile: checked as `profile check` does, and compiled."""
        name = str(known)
        if len(data) > MAX_BYTES:
            return Examined(None, [Problem(name, 0, "", f"{len(data):,} bytes are too many; at most {MAX_BYTES:,}")])
        profile, problems = check_text(name, data, transforms())
        if profile is None:
            return Examined(None, problems)
        if profile.profile.id != name:
            line = next((number for number, text in enumerate(data.split(b"\n"), 1) if b"id" in text.split(b"=")[0]), 1)
            told = f"the profile calls itself {profile.profile.id!r}, and is to be installed as {name!r}"
            return Examined(None, [*problems, Problem(name, line, "profile.id", told)])
        try:
            for setpoint in compile_setpoints(CompiledProfile(profile, transforms())).values():
                setpoint.warm()
        except ValueError as error:
            return Examined(None, [*problems, Problem(name, 1, "setpoint", str(error))])
        return Examined(profile, problems)

    def standing(self, known: ProfileId, data: bytes) -> Literal["new", "same", "immutable"]:
        """Return whether there is a profile of this id, and whether it is this text."""
        path = self.all().get(known)
        if path is None:
            return "new"
        return "same" if file_text(path) == data else "immutable"

    def install(self, known: ProfileId, data: bytes) -> Kept:
        """Put a text that was examined on the shelf. Raises: NotKeptError; UsageError where there is no room."""
        standing = self.standing(known, data)
        if standing != "new":
            return standing
        if len(installed_profiles(self._folder)) >= MAX_INSTALLED:
            raise UsageError(f"{MAX_INSTALLED:,} profiles are installed; remove files from {self._folder}")
        try:
            self._write(known, data)
        except OSError as error:
            raise NotKeptError(f"{known} cannot be kept: {error}") from error
        return "installed"

    def _write(self, known: ProfileId, data: bytes) -> None:
        place = self._folder / known.publisher
        for folder in (self._folder, place):
            if not folder.is_dir():
                folder.mkdir(mode=0o750)
                sync_names(folder.parent)
        for part in place.glob(".*.part"):  # of a run that was cut short
            part.unlink(missing_ok=True)
        write_durably(place / f"{known.name}@{known.version}.toml", data)

    def newest_of(self, lineage: str, used: Path | None) -> Profile | None:
        """Return the newest version of `publisher/name`, `used` by a device or known here; None where there is none."""
        paths = [path for known, path in self.all().items() if known.lineage == lineage]
        found: list[Profile] = []
        for path in [*paths, *([] if used is None else [used])]:
            try:
                found.append(example_profile(path))
            except ProfileError:  # of an earlier Tidegate, or changed by hand
                continue
        return max(found, key=lambda each: profile_id(each.profile.id).age, default=None)


def summary(written: Mapping[str, Any], text: bytes) -> dict[str, Any]:
    """Return what a profile is, in short, from its tables."""
    head, link = written["profile"], written["link"]
    return {
        "id": head["id"],
        "title": head.get("title") or head["id"],
        "url": head.get("url", ""),
        "bus": link["bus"],
        "family": head.get("family"),
        "digest": hashlib.sha256(text).hexdigest(),
        "bytes": len(text),
        **{key: list(written.get(table, ())) for key, table in _LISTS.items()},
    }
