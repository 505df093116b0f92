"""Layer 6: from a site to its blueprint: which devices stand on which wires. Nothing is made or opened here.

Everything that the site asks for and that cannot be is told at once. Two blueprints are compared wire by wire when a
configuration is loaded again.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from gateway.config import DeviceConfig, DiscoverConfig, SecretConfig, SiteConfig, read_secret
from gateway.errors import ConfigError, Problem, ProfileError, UsageError
from gateway.profile.build import CompiledProfile
from gateway.profile.load import check_profile, find_profile, load_profile
from gateway.profile.model import LinkSpec, Profile
from gateway.profile.recorded import Adjust
from gateway.registry import transforms_of
from gateway.runtime.mailbox import check_policy

KEY_BY_REFERENCE: Final = "a key is never written here; give { file = 'path' } or { credential = 'name' }"

_Profiles = dict[tuple[str, str], CompiledProfile]


class Places(NamedTuple):
    """Where profiles are looked for, beside those that come with Tidegate."""

    folder: Path | None  # where relative paths start
    installed: Path | None

    def find(self, name: str) -> Path:
        """Return the file of a profile. Raises: UsageError."""
        return find_profile(name, self.folder, self.installed)


class DevicePlan(NamedTuple):
    """One `[device.NAME]`."""

    name: str
    profile: CompiledProfile
    adjust: Mapping[str, Adjust]
    label: str | None
    area: str | None

    def makes_what(self, other: DevicePlan) -> bool:
        """Return whether both make the same device, whatever it is called by people and wherever it stands."""
        return self.profile.profile == other.profile.profile and self.adjust == other.adjust


class DiscoveryPlan(NamedTuple):
    """One `[discover.NAME]`."""

    name: str
    profile: CompiledProfile
    limit: int
    named: frozenset[str]  # addresses that have a device of their own

    def makes_what(self, other: DiscoveryPlan) -> bool:
        """Return whether both make the same devices."""
        return self.profile.profile == other.profile.profile and self[2:] == other[2:]


class WirePlan(NamedTuple):
    """One port with everybody on it, as the site asks for it."""

    place: str  # tells wires apart
    name: str  # of [port.NAME], else the port text
    target: str
    link: LinkSpec
    devices: list[DevicePlan]
    discoveries: list[DiscoveryPlan]

    @property
    def profiles(self) -> list[CompiledProfile]:
        """Return the profile of everybody on this wire, devices first."""
        return [each.profile for each in self.devices] + [each.profile for each in self.discoveries]

    @property
    def widest(self) -> LinkSpec:
        """Return the link of the port: a shared adapter gives every advertisement if one profile wants them all."""
        wants_all = any(profile.profile.link.duplicates == "all" for profile in self.profiles)
        return msgspec.structs.replace(self.link, duplicates="all") if wants_all else self.link

    def is_same_port(self, other: WirePlan) -> bool:
        """Return whether one open port can serve both."""
        framings = [None if each.link.bus == "can" else each.profiles[0].profile.framing for each in (self, other)]
        mine, its = ((each.name, each.target, each.widest) for each in (self, other))
        return mine == its and framings[0] == framings[1]


def blueprint(
    site: SiteConfig, folder: Path | None, *, has_store: bool, installed: Path | None = None
) -> list[WirePlan]:
    """Return what stands where. Raises: ConfigError with keys and without file, ProfileError.

    `folder` is where relative profile paths start, `installed` where profiles lie that were installed; `has_store`:
    there will be a ledger for what finds no room in a mailbox.
    """
    problems: list[Problem] = []
    wires: dict[str, WirePlan] = {}
    profiles: _Profiles = {}
    places = Places(folder, installed)
    for name, config in site.devices.items():
        profile = _profile_for("device", name, config, places, known=profiles, problems=problems, has_store=has_store)
        if profile is None:
            continue
        problems += _adjust_problems(name, config, profile.profile)
        there = _wire_of("device", name, config, profile, site=site, wires=wires, problems=problems)
        if there is not None:
            adjust = {value: (each.scale, each.offset) for value, each in config.adjust.items()}
            there.devices.append(DevicePlan(name, profile, adjust, config.label, config.area))
    for name, found in site.discover.items():
        profile = _profile_for("discover", name, found, places, known=profiles, problems=problems, has_store=has_store)
        if profile is None or not _is_discoverable(name, profile, problems):
            continue
        there = _wire_of("discover", name, found, profile, site=site, wires=wires, problems=problems)
        if there is not None:
            there.discoveries.append(DiscoveryPlan(name, profile, found.limit, _named(site)))
    if not site.devices and not site.discover:
        problems.append(Problem("", 0, "device", "no device; write [device.NAME] with profile and port"))
    if problems:
        raise ConfigError(problems)
    return list(wires.values())


def _named(site: SiteConfig) -> frozenset[str]:
    targets = [_target_of(device.port, site) for device in site.devices.values()]
    return frozenset(target.partition("/")[2] for target in targets if "/" in target)


def _profile_for(
    kind: str,
    name: str,
    config: DeviceConfig | DiscoverConfig,
    places: Places,
    *,
    known: _Profiles,
    problems: list[Problem],
    has_store: bool,
) -> CompiledProfile | None:
    """Return the profile that an entry names; None, and problems, where there is none. Raises: ProfileError."""
    try:
        profile = _compiled(config, places, known)
        check_policy(profile.profile.queue.when_full, config.profile, has_store=has_store)
    except ConfigError as error:
        problems += [Problem("", 0, f"{kind}.{name}.profile", each.message) for each in error.problems]
    except UsageError as error:
        problems.append(Problem("", 0, f"{kind}.{name}.profile", str(error)))
    except ProfileError as error:
        given_wrong = _param_problems(kind, name, config, places, error)
        if not given_wrong:
            raise
        problems += given_wrong
    else:
        keys = [key for key, spec in profile.profile.params.items() if spec.type == "key" and key in config.params]
        written = [key for key in keys if not isinstance(config.params[key], SecretConfig)]
        problems += [Problem("", 0, f"{kind}.{name}.params.{key}", KEY_BY_REFERENCE) for key in written]
        return profile
    return None


def _is_discoverable(name: str, profile: CompiledProfile, problems: list[Problem]) -> bool:
    """Return whether devices of this profile make themselves known; a problem where they do not."""
    link = profile.profile.link
    if link.bus == "ble" and link.mode != "gatt":
        return True
    what = f"{profile.profile.profile.id} is no profile of advertisements"
    problems.append(Problem("", 0, f"discover.{name}.profile", f"{what}; name its devices with [device.NAME]"))
    return False


def _compiled(config: DeviceConfig | DiscoverConfig, places: Places, known: _Profiles) -> CompiledProfile:
    path = places.find(config.profile)
    key = (str(path), repr(sorted(config.params.items())))
    if key not in known:
        given = config.params.items()
        params = {
            name: read_secret(each, places.folder) if isinstance(each, SecretConfig) else each for name, each in given
        }
        profile = load_profile(path, params)
        known[key] = CompiledProfile(profile, transforms_of(profile))
    return known[key]


def _param_problems(
    kind: str, name: str, config: DeviceConfig | DiscoverConfig, places: Places, error: ProfileError
) -> list[Problem]:
    """Return what is wrong with the parameters that the site gives to a profile that is fine by itself."""
    own = check_profile(places.find(config.profile))
    given = [each for each in error.problems if each not in own]  # wrong only with these parameters
    return [
        Problem("", 0, f"{kind}.{name}.{each.key}", each.message)
        if each.key.startswith("params.")
        else Problem("", 0, f"{kind}.{name}.params", f"{each.key}: {each.message}")
        for each in given
    ]


def _adjust_problems(name: str, config: DeviceConfig, profile: Profile) -> list[Problem]:
    if not config.adjust:
        return []
    compiled = CompiledProfile(profile)
    known = {field for key in profile.message for field in compiled.messages[key].names}
    return [
        Problem("", 0, f"device.{name}.adjust.{field}", f"{profile.profile.id} has no value {field!r}")
        for field in config.adjust
        if field not in known
    ]


def _target_of(port: str, site: SiteConfig) -> str:
    named = site.ports.get(port)
    return port if named is None else named.path


def _wire_of(
    kind: str,
    name: str,
    config: DeviceConfig | DiscoverConfig,
    profile: CompiledProfile,
    *,
    site: SiteConfig,
    wires: dict[str, WirePlan],
    problems: list[Problem],
) -> WirePlan | None:
    """Return the port of an entry, which may be shared; None, and a problem, where it cannot be."""
    key = f"{kind}.{name}.port"
    link = profile.profile.link
    named = site.ports.get(config.port)
    if named is not None:
        if named.bus is not None and named.bus != link.bus:
            problems.append(Problem("", 0, key, f"[port.{config.port}] is a {named.bus}, the profile needs {link.bus}"))
            return None
        link = named.applied_to(link)
    # a connection is a wire of its own, however many share the adapter
    place = f"{config.port} {name}" if link.bus == "ble" and link.mode == "gatt" else config.port
    there = wires.setdefault(place, WirePlan(place, config.port, _target_of(config.port, site), link, [], []))
    others = [device.name for device in there.devices] + [each.name for each in there.discoveries]
    if others and (reason := _conflict(there, profile, link)):
        problems.append(Problem("", 0, key, f"cannot share {config.port} with {others[0]}: {reason}"))
        return None
    return there


def _conflict(there: WirePlan, profile: CompiledProfile, link: LinkSpec) -> str:
    first = there.profiles[0].profile
    if link.bus != first.link.bus:
        return f"one is on {first.link.bus}, the other on {link.bus}"
    if link.bus == "spi":
        return "a chip select has one device"
    if link.bus != "uart":
        return ""
    if profile.profile.framing != first.framing:
        return "their framings differ"
    if msgspec.structs.replace(link, match=None) != msgspec.structs.replace(there.link, match=None):
        return "their links differ; give both the same options in a [port.NAME]"
    return ""
