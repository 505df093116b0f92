"""Layer 6: what is asked for about profiles while the gateway runs: which there are, one more, another for a device.

Whether somebody may is decided before. A device takes up another profile as a reload does it: checked whole first, and
the previous one in effect again where the device does not come back.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from gateway.errors import Problem, ProfileError, UnknownError, UsageError
from gateway.profile.document import Document
from gateway.profile.identity import ProfileId, profile_id
from gateway.profile.load import file_text
from gateway.profile.model import Profile
from gateway.runtime.blueprint import Places
from gateway.runtime.chosen import written
from gateway.runtime.configuring import Configurer
from gateway.runtime.device import Device
from gateway.runtime.difference import Configuration
from gateway.runtime.examining import Job, look_at
from gateway.runtime.library import Library, summary
from gateway.runtime.reloading import Reloader
from gateway.spelling import did_you_mean

MOST_REMEMBERED: Final = 1_024  # summaries of files

Used = dict[str, tuple[Profile, list[str]]]
Note = Callable[[dict[str, Any]], Awaitable[None]]


class _Plan(NamedTuple):
    """What a device is to use."""

    device: str
    profile: str  # as it goes into the site
    previous: str


class Profiles:
    """One per gateway."""

    def __init__(
        self, configurer: Configurer, reloader: Reloader, devices: Callable[[], Sequence[Device]], note: Note
    ) -> None:
        """Take who reads configurations, who puts them into effect, and who is there; `note` puts things on record."""
        self._library = Library(configurer.installed)
        self._configurer = configurer
        self._reloader = reloader
        self._devices = devices
        self._note = note
        self._shelf = asyncio.Lock()  # one at a time puts something there
        self._changes: dict[str, dict[str, Any]] = {}  # device -> what became of its newest change
        self._summaries: dict[tuple[Path, int], dict[str, Any]] = {}  # by file and when it was written

    # ---- what there is

    async def listing(self) -> list[dict[str, Any]]:
        """Return a row for each profile that can be named, in order of ids."""
        return await asyncio.to_thread(self._rows, self._used())

    async def one(self, name: str) -> dict[str, Any]:
        """Return one with its text. Raises: UnknownError."""
        try:
            known = profile_id(name)
        except UsageError as error:
            raise UnknownError("profile", str(error)) from error
        return await asyncio.to_thread(self._one, known, self._used())

    def of_device(self, device: str) -> dict[str, Any]:
        """Return which profile a device uses, who says so, and what became of its last change. Raises: UnknownError."""
        self._check_device(device)
        current = self._reloader.current
        choice = current.chosen.get(device)
        return {
            "device": device,
            "profile": current.places()[device][1].profile.profile.profile.id,
            "site": written(current.chosen, current.site).devices[device].profile,
            "chosen": None if choice is None else choice.as_json(),
            "change": self._changes.get(device),
        }

    # ---- one more

    async def install(self, by: str, name: str, text: str, *, is_dry_run: bool) -> dict[str, Any]:
        """Check a profile and, where it is no dry run, install it; return what came of it.

        Raises: NotKeptError, UsageError.
        `outcome`: `installed`, `same` (the same text was there), `immutable` (another was), `refused`, `dry_run`.
        """
        known = profile_id(name)
        data = text.encode("utf-8", "surrogatepass")
        async with self._shelf:
            told = await asyncio.to_thread(self._installed, known, data, self._used(), is_dry_run=is_dry_run)
        if told["outcome"] == "installed":
            body = {"what": "profile_installed", "by": by, "profile": name, "digest": told["digest"]}
            await self._note(body)
        return told

    # ---- another for a device

    async def restarting(self, device: str, profile: str) -> list[str]:
        """Return which devices would be begun anew. Raises: UnknownError, UnderWayError."""
        plan = await self._plan(device, profile)
        done = self._reloader.change(
            "", partial(self._chosen, plan, ""), {}, awaited=device, within_s=0.0, is_dry_run=True
        )  # fmt: skip
        restarts: list[str] = (await asyncio.shield(done))["restarts"]
        return restarts

    async def use(self, by: str, device: str, profile: str, *, within_s: float, wait_s: float) -> dict[str, Any]:
        """Let a device use another profile; return what became of it within `wait_s`, outcome None while it is open.

        Raises: UnknownError, UnderWayError.
        """
        plan = await self._plan(device, profile)
        about = {"what": "profile", "device": device, "profile": plan.profile, "previous": plan.previous}
        done = self._reloader.change(by, partial(self._chosen, plan, by), about, awaited=device, within_s=within_s)
        told = {key: about[key] for key in ("device", "profile", "previous")}
        self._changes[device] = told | {"outcome": None, "reason": None, "detail": "under way"}
        done.add_done_callback(partial(self._ended, device, told))
        await asyncio.wait([done], timeout=wait_s)
        return self._changes[device]

    def _ended(self, device: str, told: dict[str, Any], done: asyncio.Future[dict[str, Any]]) -> None:
        if not done.cancelled():
            self._changes[device] = told | done.result()

    async def _plan(self, device: str, profile: str) -> _Plan:
        self._check_device(device)
        current = self._reloader.current
        previous = current.places()[device][1].profile.profile.profile.id
        site = written(current.chosen, current.site).devices[device].profile
        if profile == site:
            return _Plan(device, site, previous)
        known, of_site = await asyncio.to_thread(self._both, profile, site)
        return _Plan(device, site if known == of_site else str(known), previous)

    def _both(self, profile: str, site: str) -> tuple[ProfileId, ProfileId | None]:
        """Return what is asked for and what the site file means, None where that is a file of its own."""
        known = self._library.id_of(profile)
        path = Places(self._configurer.folder, self._configurer.installed).find(site)
        return known, next((each for each, place in self._library.all().items() if place == path), None)

    def _chosen(self, plan: _Plan, by: str, before: Configuration) -> Configuration:
        return self._configurer.choose(before, plan.device, plan.profile, by)

    def _check_device(self, device: str) -> None:
        """Raises: UnknownError; UsageError for one that was discovered."""
        names = self._reloader.current.site.devices
        if device in names:
            return
        if device in {each.name for each in self._devices()}:
            raise UsageError(f"{device} was discovered; its profile is that of its [discover.NAME] in the site file")
        raise UnknownError("device", f"no device {device[:80]!r}{did_you_mean(device, names)}")

    def _used(self) -> Used:
        """Return each profile that is used now, by its id, with the devices that use it."""
        found: Used = {}
        for device in self._devices():
            profile = device.profile.profile
            found.setdefault(profile.profile.id, (profile, []))[1].append(device.name)
        return found

    # ---- not on the loop

    def _rows(self, used: Used) -> list[dict[str, Any]]:
        rows: dict[str, dict[str, Any]] = {}
        for known, path in self._library.all().items():
            if (told := self._summary(path)) is not None:
                rows[str(known)] = told | self._standing(path, str(known), used)
        for name, (profile, devices) in used.items():
            unread = {"digest": None, "bytes": None, "source": "site", "used_by": devices}
            rows.setdefault(name, summary(msgspec.to_builtins(profile), b"") | unread)
        return [rows[name] for name in sorted(rows)]

    def _standing(self, path: Path, name: str, used: Used) -> dict[str, Any]:
        source = "installed" if self._library.is_installed(path) else "shipped"
        return {"source": source, "used_by": used[name][1] if name in used else []}

    def _summary(self, path: Path) -> dict[str, Any] | None:
        """Return what a file says of itself; None where it is no profile any more."""
        try:
            key = (path, path.stat().st_mtime_ns)
            if key not in self._summaries:
                if len(self._summaries) >= MOST_REMEMBERED:
                    self._summaries.clear()
                text = file_text(path)
                self._summaries[key] = summary(Document(str(path), text).raw, text)
        except (OSError, ProfileError, KeyError, TypeError, AttributeError):  # changed by hand
            return None
        return self._summaries[key]

    def _one(self, known: ProfileId, used: Used) -> dict[str, Any]:
        path = self._library.path_of(known)
        told = self._summary(path)
        if told is None:
            raise UnknownError("profile", f"{known} is there, and no profile that this version reads")
        return told | self._standing(path, str(known), used) | {"text": file_text(path).decode("utf-8", "replace")}

    def _installed(self, known: ProfileId, data: bytes, used: Used, *, is_dry_run: bool) -> dict[str, Any]:
        devices = _users_of(known, used)
        path = self._path_of(devices[0]) if devices else None
        seen = look_at(Job(
            folder=str(self._configurer.installed), profile=str(known), text=data.decode("utf-8", "surrogatepass"),
            used=None if path is None else str(path), wants_diff=is_dry_run,
        ))  # fmt: skip
        standing, problems = self._library.standing(known, data), seen.problems
        if standing == "immutable":
            wrong = "there is another text of this version, and a version never changes; give this one another number"
            problems = [*problems, Problem(str(known), 1, "profile.id", wrong)]
        told: dict[str, Any] = {
            "profile": str(known), "problems": [_problem(each) for each in problems], "devices": devices,
        }  # fmt: skip
        if is_dry_run:
            return told | {"outcome": "dry_run", "diff": seen.diff}
        if standing == "immutable":
            return told | {"outcome": "immutable"}
        if not seen.is_good:
            return told | {"outcome": "refused"}
        kept = self._library.install(known, data)
        return told | {"outcome": kept, "digest": hashlib.sha256(data).hexdigest()}

    def _path_of(self, device: str) -> Path | None:
        """Return the file of the profile that a device uses, where it is there still."""
        try:
            site = self._reloader.current.site
            return Places(self._configurer.folder, self._configurer.installed).find(site.devices[device].profile)
        except UsageError:
            return None


def _users_of(known: ProfileId, used: Used) -> list[str]:
    """Return the devices that use any version of a profile."""
    names = [each for name, (_, names) in used.items() if profile_id(name).lineage == known.lineage for each in names]
    return sorted(names)


def _problem(problem: Problem) -> dict[str, Any]:
    return {key: value for key, value in problem._asdict().items() if key != "file"}
