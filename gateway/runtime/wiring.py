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
from gateway.config import DeviceConfig, SiteConfig
from gateway.driver import Driver
from gateway.errors import ConfigError, DriverError, GatewayError, PortError, Problem, ProfileError, UsageError
from gateway.framing.build import CanJoiner, build_joiner
from gateway.framing.spec import Gap, ModbusRtu
from gateway.notation import duration_ns
from gateway.port import Port
from gateway.profile.build import CompiledProfile
from gateway.profile.load import check_profile, find_profile, load_profile
from gateway.profile.model import LinkSpec, Profile
from gateway.registry import transforms_of
from gateway.runtime.device import Device
from gateway.runtime.message import Adjust
from gateway.runtime.pipeline import COALESCE_S, Pipeline, PortCounts
from gateway.runtime.poller import Poller
from gateway.runtime.supervisor import Keeper
from gateway.taint import ORDER_REPLAYED

GAP_S: Final = 1.0  # a framing that knows its ends gives up pending bytes after so long a silence
MODBUS_GAP_LEAST_S: Final = 0.002
ADAPTER_GAP_S: Final = 0.05  # USB adapters hand over an answer in pieces, 16 ms apart; CRCs keep frames apart here
BITS_PER_CHARACTER: Final = 11  # Modbus over Serial Line V1.02, 2.5.1: start, 8 data, parity, stop

DriverFor = Callable[[str, str], Driver]
LockOf = Callable[[str], asyncio.Lock]


class _Wire(NamedTuple):
    """One port as the site asks for it."""

    name: str  # of [port.NAME], else the port text
    target: str
    link: LinkSpec
    devices: list[Device]


def wire(
    site: SiteConfig,
    folder: Path | None,
    clock: Clock,
    driver_for: DriverFor,
    coalesce_s: float = COALESCE_S,
    *,
    bus: LockOf | None = None,
) -> list[Keeper]:
    """Return one keeper per port. Raises: ConfigError with keys and without file, ProfileError, DriverError.

    `folder` is where relative profile paths start; `bus` gives the lock of one physical wire, a new one by default.
    DriverError and PortError only where no port at all can be made.
    """
    wires = _wires(site, folder, clock)
    keepers = [_keeper(each, clock, driver_for, partial(_pipeline, each, clock, coalesce_s, bus)) for each in wires]
    errors = [keeper.fault for keeper in keepers if keeper.fault is not None]
    if errors and len(errors) == len(keepers):
        raise errors[0]
    return keepers


def _wires(site: SiteConfig, folder: Path | None, clock: Clock) -> list[_Wire]:
    problems: list[Problem] = []
    wires: dict[str, _Wire] = {}
    profiles: dict[tuple[str, str], CompiledProfile] = {}
    for name, config in site.devices.items():
        try:
            profile = _compiled(config, folder, profiles)
        except (UsageError, ConfigError) as error:
            problems.append(Problem("", 0, f"device.{name}.profile", str(error)))
            continue
        except ProfileError as error:
            given_wrong = _param_problems(name, config, folder, error)
            if not given_wrong:
                raise
            problems += given_wrong
            continue
        problems += _adjust_problems(name, config, profile.profile)
        try:
            device = Device(name, profile, clock, adjust=_adjusts(config), label=config.label, area=config.area)
        except ConfigError as error:
            problems += [Problem("", 0, f"device.{name}.profile", each.message) for each in error.problems]
            continue
        _join(wires, device, config, site, problems)
    if not site.devices:
        problems.append(Problem("", 0, "device", "no device; write [device.NAME] with profile and port"))
    if problems:
        raise ConfigError(problems)
    return list(wires.values())


def _compiled(
    config: DeviceConfig, folder: Path | None, known: dict[tuple[str, str], CompiledProfile]
) -> CompiledProfile:
    path = find_profile(config.profile, folder)
    key = (str(path), repr(sorted(config.params.items())))
    if key not in known:
        profile = load_profile(path, dict(config.params))
        known[key] = CompiledProfile(profile, transforms_of(profile))
    return known[key]


def _param_problems(name: str, config: DeviceConfig, folder: Path | None, error: ProfileError) -> list[Problem]:
    """Return what is wrong with the parameters that the site gives to a profile that is fine by itself."""
    own = check_profile(find_profile(config.profile, folder))
    return [
        Problem("", 0, f"device.{name}.{each.key}", each.message)
        for each in error.problems
        if each.key.startswith("params.") and each not in own
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


def _join(
    wires: dict[str, _Wire], device: Device, config: DeviceConfig, site: SiteConfig, problems: list[Problem]
) -> None:
    """Put a device on its port, which may be shared."""
    key = f"device.{device.name}.port"
    link = device.profile.profile.link
    named = site.ports.get(config.port)
    if named is not None:
        if named.bus is not None and named.bus != link.bus:
            problems.append(Problem("", 0, key, f"[port.{config.port}] is a {named.bus}, the profile needs {link.bus}"))
            return
        link = named.applied_to(link)
    target = named.path if named is not None else config.port
    there = wires.setdefault(config.port, _Wire(config.port, target, link, []))
    if there.devices and (reason := _conflict(there, device, link)):
        problems.append(Problem("", 0, key, f"cannot share {config.port} with {there.devices[0].name}: {reason}"))
        return
    there.devices.append(device)


def _conflict(there: _Wire, device: Device, link: LinkSpec) -> str:
    first = there.devices[0].profile.profile
    if link.bus != first.link.bus:
        return f"one is on {first.link.bus}, the other on {link.bus}"
    if link.bus != "uart":
        return ""
    if device.profile.profile.framing != first.framing:
        return "their framings differ"
    if msgspec.structs.replace(link, match=None) != msgspec.structs.replace(there.link, match=None):
        return "their links differ; give both the same options in a [port.NAME]"
    return ""


def _keeper(each: _Wire, clock: Clock, driver_for: DriverFor, make: Callable[[Port, PortCounts], Pipeline]) -> Keeper:
    port: Port | GatewayError
    try:
        port = driver_for(each.target, each.link.bus).make(each.target, each.link, clock)
    except (DriverError, PortError) as error:
        port = error
    for device in each.devices:
        for message in device.messages.values():
            message.warm()  # before the loop runs, so that no answer and no first frame has to wait for it
    return Keeper(each.name, port, each.devices, make, clock)


def _pipeline(  # noqa: PLR0917 - the first four are bound once, by name of the wire they belong to
    each: _Wire,
    clock: Clock,
    coalesce_s: float,
    bus: LockOf | None,
    port: Port,
    counts: PortCounts,
) -> Pipeline:
    framing = each.devices[0].profile.profile.framing
    silence_s = GAP_S
    if isinstance(framing, Gap):
        silence_s, coalesce_s = duration_ns(framing.silence) / 1e9, 0.0
    elif isinstance(framing, ModbusRtu):
        silence_s, coalesce_s = max(MODBUS_GAP_LEAST_S, 3.5 * BITS_PER_CHARACTER / each.link.baud), 0.0
    is_replay = each.target.startswith("replay:")
    poller = None
    if port.is_stream and not is_replay and (isinstance(framing, ModbusRtu) or any(map(_asks, each.devices))):
        framer = each.devices[0].profile.framer()
        lock = asyncio.Lock() if bus is None else bus(each.target)
        poller = Poller(each.devices, framer, lock, clock, baud=each.link.baud, gap_s=silence_s)
        silence_s = max(silence_s, ADAPTER_GAP_S)
    return Pipeline(
        port,
        each.devices,
        clock,
        counts,
        poller=poller,
        framer=each.devices[0].profile.framer() if port.is_stream else None,
        joiners=[_joiner(device.profile.profile) for device in each.devices],
        gap_s=silence_s,
        coalesce_s=coalesce_s,
        taints=ORDER_REPLAYED if is_replay else 0,
    )


def _asks(device: Device) -> bool:
    """Return whether a device of a serial port has something to say on its own: questions or connect steps."""
    profile = device.profile.profile
    asked = [spec for spec in profile.message.values() if spec.ask is not None and spec.every != "never"]
    return bool(asked or profile.lifecycle.connect)


def _joiner(profile: Profile) -> CanJoiner | None:
    fast = {spec.when.pgn for spec in profile.message.values() if spec.when.fast and spec.when.pgn is not None}
    return build_joiner(profile.framing, fast)
