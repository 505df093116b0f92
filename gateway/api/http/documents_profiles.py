"""Layer 7: the documents of profiles at the HTTP door, as `documents` has the others."""

from __future__ import annotations

from typing import Any, Literal

from gateway.api.http.documents import Body, Choice, Document, ProblemRow, Seconds


class UseBody(Body, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another profile for a device; the previous one is back where the device is not within `return_after` [30s]."""

    profile: str
    return_after: Seconds | None = None


class ProfileRow(Document, frozen=True, kw_only=True):
    """One profile: where it is from, and who uses it."""

    id: str
    title: str
    url: str
    bus: str
    family: str | None
    digest: str | None  # SHA-256 of its text
    bytes: int | None
    messages: list[str]
    setpoints: list[str]
    params: list[str]
    source: Literal["shipped", "installed", "site"]
    used_by: list[str]


class Profiles(Document, frozen=True, kw_only=True):
    """Some profiles, and where to go on."""

    profiles: list[ProfileRow]
    next: str | None


class ProfileText(ProfileRow, frozen=True, kw_only=True):
    """One profile with its TOML."""

    text: str


class ProfileChange(Document, frozen=True, kw_only=True):
    """Something that another version of the profile does not say, or says otherwise."""

    what: str
    name: str
    change: Literal["added", "removed", "changed"]
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    text: str  # the same for people
    since: str | None  # the version it is held against


class ProfileDryRun(Document, frozen=True, kw_only=True):
    """What installing a profile would mean; nothing was done."""

    problems: list[ProblemRow]
    diff: list[ProfileChange]
    devices: list[str]  # that use another version of it now


class ProfileKept(Document, frozen=True, kw_only=True):
    """A profile that is there now."""

    profile: str
    outcome: Literal["installed", "same"]
    digest: str
    problems: list[ProblemRow]  # warnings
    devices: list[str]


class DeviceProfile(Document, frozen=True, kw_only=True):
    """Which profile a device uses, who says so, and what became of its last change."""

    device: str
    profile: str
    site: str  # what the site file says
    chosen: Choice | None
    change: dict[str, Any] | None


class ProfileUse(Document, frozen=True, kw_only=True):
    """What became of another profile for a device; `outcome` null while that is open."""

    device: str
    profile: str
    previous: str
    outcome: Literal["applied", "unchanged", "returned", "failed"] | None
    reason: str | None
    detail: str
