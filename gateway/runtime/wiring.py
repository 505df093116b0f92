"""Layer 6: from a site to ports and devices, ready to run. Nothing is opened here.

Everything that the site asks for and that cannot be is told at once; a port whose driver is missing or refuses the text
does not stop the others: its devices stand FAILED with the reason.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from gateway.clock import Clock
from gateway.config import DeviceConfig, DiscoverConfig, SecretConfig, SiteConfig, read_secret
from gateway.driver import Driver
from gateway.errors import ConfigError, DriverError, GatewayError, PortError, Problem, ProfileError, UsageError
from gateway.framing.spec import Gap, IsoTp, ModbusRtu
from gateway.notation import duration_ns
from gateway.port import FilteringPort, Port
from gateway.profile.build import CompiledProfile
from gateway.profile.load import check_profile, find_profile, load_profile
from gateway.profile.model import LinkSpec, Profile
from gateway.profile.recorded import Adjust
from gateway.registry import transforms_of
from gateway.runtime.device import Device
from gateway.runtime.discovery import Discovery
from gateway.runtime.isotp import IsoTpLink
from gateway.runtime.listening import wanted_by
from gateway.runtime.outlet import Outlet
from gateway.runtime.pipeline import COALESCE_S, Pipeline, PortCounts
from gateway.runtime.poller import Poller
from gateway.runtime.supervisor import Keeper
from gateway.runtime.transports import SpiTransport, transport_of
from gateway.taint import ORDER_REPLAYED

GAP_S: Final = 1.0  # a framing that knows its ends gives up pending bytes after so long a silence
MODBUS_GAP_LEAST_S: Final = 0.002
ADAPTER_GAP_S: Final = 0.05  # USB adapters hand over an answer in pieces, 16 ms apart; CRCs keep frames apart here
BITS_PER_CHARACTER: Final = 11  # Modbus over Serial Line V1.02, 2.5.1: start, 8 data, parity, stop

KEY_BY_REFERENCE: Final = "a key is never written here; give { file = 'path' } or { credential = 'name' }"

DriverFor = Callable[[str, str], Driver]
LockOf = Callable[[str], asyncio.Lock]


class _Wire(NamedTuple):
    """One port as the site asks for it."""

    name: str  # of [port.NAME], else the port text
    target: str
    link: LinkSpec
    devices: list[Device]
    discoveries: list[Discovery]

    def profiles(self) -> list[CompiledProfile]:
        """Return the profile of everybody on this wire, devices first."""
        return [device.profile for device in self.devices] + [each.profile for each in self.discoveries]


def wire(
    site: SiteConfig,
    folder: Path | None,
    clock: Clock,
    driver_for: DriverFor,
    coalesce_s: float = COALESCE_S,
    *,
    bus: LockOf | None = None,
    has_store: bool = False,
) -> list[Keeper]:
    """Return one keeper per port. Raises: ConfigError with keys and without file, ProfileError, DriverError.

    `folder` is where relative profile paths start; `bus` gives the lock of one physical wire, a new one by default;
    `has_store`: there will be a ledger for what finds no room in a mailbox.
    DriverError and PortError only where no port at all can be made.
    """
    wires = _wires(site, folder, clock, has_store=has_store)
    keepers = [_keeper(each, clock, driver_for, partial(_pipeline, each, clock, coalesce_s, bus)) for each in wires]
    errors = [keeper.fault for keeper in keepers if keeper.fault is not None]
    if errors and len(errors) == len(keepers):
        raise errors[0]
    return keepers


def _wires(site: SiteConfig, folder: Path | None, clock: Clock, *, has_store: bool) -> list[_Wire]:
    problems: list[Problem] = []
    wires: dict[str, _Wire] = {}
    profiles: dict[tuple[str, str], CompiledProfile] = {}
    for name, config in site.devices.items():
        profile = _profile_for("device", name, config, folder, known=profiles, problems=problems)
        if profile is None:
            continue
        problems += _adjust_problems(name, config, profile.profile)
        try:
            adjust = _adjusts(config)
            device = Device(
                name, profile, clock, adjust=adjust, label=config.label, area=config.area, has_store=has_store
            )
        except ConfigError as error:
            problems += [Problem("", 0, f"device.{name}.profile", each.message) for each in error.problems]
            continue
        if (there := _wire_of("device", name, config, profile, site=site, wires=wires, problems=problems)) is not None:
            there.devices.append(device)
    for name, found in site.discover.items():
        profile = _profile_for("discover", name, found, folder, known=profiles, problems=problems)
        if profile is None or not _is_discoverable(name, profile, problems):
            continue
        if (there := _wire_of("discover", name, found, profile, site=site, wires=wires, problems=problems)) is not None:
            there.discoveries.append(_discovery(name, found, profile, site, clock, has_store=has_store))
    if not site.devices and not site.discover:
        problems.append(Problem("", 0, "device", "no device; write [device.NAME] with profile and port"))
    if problems:
        raise ConfigError(problems)
    return list(wires.values())


def _profile_for(
    kind: str,
    name: str,
    config: DeviceConfig | DiscoverConfig,
    folder: Path | None,
    *,
    known: dict[tuple[str, str], CompiledProfile],
    problems: list[Problem],
) -> CompiledProfile | None:
    """Return the profile that an entry names; None, and problems, where there is none. Raises: ProfileError."""
    try:
        profile = _compiled(config, folder, known)
    except (UsageError, ConfigError) as error:
        problems.append(Problem("", 0, f"{kind}.{name}.profile", str(error)))
    except ProfileError as error:
        given_wrong = _param_problems(kind, name, config, folder, error)
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


def _discovery(
    name: str, config: DiscoverConfig, profile: CompiledProfile, site: SiteConfig, clock: Clock, *, has_store: bool
) -> Discovery:
    def make(device: str, address: str) -> Device:
        made = Device(device, profile, clock, label=address, has_store=has_store)
        for message in made.messages.values():
            message.warm()
        return made

    targets = [_target_of(device.port, site) for device in site.devices.values()]
    named = [target.partition("/")[2] for target in targets if "/" in target]
    return Discovery(name, profile, config.limit, make, named=named, taken=site.devices, clock=clock)


def _compiled(
    config: DeviceConfig | DiscoverConfig, folder: Path | None, known: dict[tuple[str, str], CompiledProfile]
) -> CompiledProfile:
    path = find_profile(config.profile, folder)
    key = (str(path), repr(sorted(config.params.items())))
    if key not in known:
        given = config.params.items()
        params = {name: read_secret(each, folder) if isinstance(each, SecretConfig) else each for name, each in given}
        profile = load_profile(path, params)
        known[key] = CompiledProfile(profile, transforms_of(profile))
    return known[key]


def _param_problems(
    kind: str, name: str, config: DeviceConfig | DiscoverConfig, folder: Path | None, error: ProfileError
) -> list[Problem]:
    """Return what is wrong with the parameters that the site gives to a profile that is fine by itself."""
    own = check_profile(find_profile(config.profile, folder))
    given = [each for each in error.problems if each not in own]  # wrong only with these parameters
    return [
        Problem("", 0, f"{kind}.{name}.{each.key}", each.message)
        if each.key.startswith("params.")
        else Problem("", 0, f"{kind}.{name}.params", f"{each.key}: {each.message}")
        for each in given
    ]


def _adjusts(config: DeviceConfig) -> dict[str, Adjust]:
    return {name: (each.scale, each.offset) for name, each in config.adjust.items()}


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
    wires: dict[str, _Wire],
    problems: list[Problem],
) -> _Wire | None:
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
    there = wires.setdefault(place, _Wire(config.port, _target_of(config.port, site), link, [], []))
    others = [device.name for device in there.devices] + [each.name for each in there.discoveries]
    if others and (reason := _conflict(there, profile, link)):
        problems.append(Problem("", 0, key, f"cannot share {config.port} with {others[0]}: {reason}"))
        return None
    return there


def _conflict(there: _Wire, profile: CompiledProfile, link: LinkSpec) -> str:
    first = there.profiles()[0].profile
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


def _keeper(each: _Wire, clock: Clock, driver_for: DriverFor, make: Callable[[Port, PortCounts], Pipeline]) -> Keeper:
    port: Port | GatewayError
    try:
        port = driver_for(each.target, each.link.bus).make(each.target, _widest(each), clock)
        if isinstance(port, FilteringPort):
            port.listen_for(wanted_by(profile.profile for profile in each.profiles()))
    except (DriverError, PortError) as error:
        port = error
    for device in each.devices:
        for message in device.messages.values():
            message.warm()  # before the loop runs, so that no answer and no first frame has to wait for it
    return Keeper(each.name, port, each.devices, make, clock, discoveries=each.discoveries)


def _widest(each: _Wire) -> LinkSpec:
    """Return the link of the port: on a shared adapter it gives every advertisement if one profile wants them all."""
    every = any(profile.profile.link.duplicates == "all" for profile in each.profiles())
    return msgspec.structs.replace(each.link, duplicates="all") if every else each.link


def _pipeline(  # noqa: PLR0917 - the first four are bound once, by name of the wire they belong to
    each: _Wire,
    clock: Clock,
    coalesce_s: float,
    bus: LockOf | None,
    port: Port,
    counts: PortCounts,
) -> Pipeline:
    framing = each.profiles()[0].profile.framing
    silence_s = GAP_S
    if isinstance(framing, Gap):
        silence_s, coalesce_s = duration_ns(framing.silence) / 1e9, 0.0
    elif isinstance(framing, ModbusRtu):
        silence_s, coalesce_s = max(MODBUS_GAP_LEAST_S, 3.5 * BITS_PER_CHARACTER / each.link.baud), 0.0
    is_replay = each.target.startswith("replay:")
    links = {} if is_replay else _isotp_links(each, clock)
    transports = [transport_of(device.profile, links.get(device.name)) for device in each.devices]
    transports += [transport_of(discovery.profile) for discovery in each.discoveries]
    poller = None
    place = f"{each.target} {each.devices[0].name}" if _is_gatt(each) else each.target
    lock = asyncio.Lock() if bus is None else bus(place)
    if not is_replay and (isinstance(framing, ModbusRtu) or any(map(_asks, each.devices))):
        poller = Poller(
            each.devices,
            each.devices[0].profile.framer(),
            lock,
            clock,
            baud=each.link.baud if port.is_stream else None,
            gap_s=silence_s,
            links=links,
            on_shown={
                device.name: transport.trust
                for device, transport in zip(each.devices, transports, strict=False)
                if isinstance(transport, SpiTransport)
            },
        )
        for device, transport in zip(each.devices, transports, strict=False):
            if isinstance(transport, SpiTransport):
                transport.doubt = partial(poller.doubt, device)
        silence_s = max(silence_s, ADAPTER_GAP_S)
    return Pipeline(
        port,
        each.devices,
        clock,
        counts,
        poller=poller,
        outlet=None if is_replay else Outlet(port, lock, poller=poller, links=links),
        framer=each.devices[0].profile.framer() if port.is_stream else None,
        discoveries=each.discoveries,
        transports=transports,
        gap_s=silence_s,
        coalesce_s=coalesce_s,
        taints=ORDER_REPLAYED if is_replay else 0,
    )


def _is_gatt(each: _Wire) -> bool:
    return each.link.bus == "ble" and each.link.mode == "gatt"


def _isotp_links(each: _Wire, clock: Clock) -> dict[str, IsoTpLink]:
    """Return our side of ISO-TP, by device."""
    framings = {device.name: device.profile.profile.framing for device in each.devices}
    fd = each.link.fd
    return {name: IsoTpLink(framing, clock, fd=fd) for name, framing in framings.items() if isinstance(framing, IsoTp)}


def _asks(device: Device) -> bool:
    """Return whether a device has something to be told: questions or connect steps."""
    profile = device.profile.profile
    asked = [spec for spec in profile.message.values() if spec.ask is not None and spec.every != "never"]
    return bool(asked or profile.lifecycle.connect)
