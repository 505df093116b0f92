"""Layer 9: the scan of each bus: what the kernel shows, what is heard there, and which profiles that fits."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from gateway.cli.claims import Claims, gateway_ports
from gateway.cli.scan_found import Fit, Found, better, fits, usb_facts
from gateway.cli.scan_listen import (
    cause_of,
    frames_of,
    identity_of,
    is_silent_line,
    settings_of,
    stream_of,
)
from gateway.errors import DriverError, PortError, ProfileError
from gateway.frame import CAN_ERROR, CAN_EXTENDED, CAN_ID_MASK, Element
from gateway.profile.build import CompiledProfile
from gateway.profile.guess import guess_framing
from gateway.profile.load import example_profile
from gateway.profile.model import LinkSpec
from gateway.profile.recognise import Evidence, Heard, identity_asks
from gateway.sysfs import (
    ROOT,
    CanNode,
    SerialNode,
    SpiNode,
    bluetooth_adapters,
    can_interfaces,
    serial_nodes,
    spi_nodes,
)

SURE: Final = 90  # heard so well that other rates need not be tried
IP_TIMEOUT_S: Final = 5.0


class Teller(Protocol):
    """Who is told what is being waited for."""

    def tell(self, text: str) -> None:
        """Show it."""
        ...

    def end(self) -> None:
        """Show nothing any more."""
        ...


class Scan:
    """One look at a machine."""

    def __init__(
        self,
        profiles: Mapping[str, str],
        data: str | None,
        *,
        progress: Teller,
        probe: bool = False,
        root: Path = ROOT,
    ) -> None:
        """Take profile files by name, the data folder of a gateway that may run, and the file system to look at."""
        self._files = profiles
        self._compiled: dict[str, CompiledProfile | None] = {}
        self._progress = progress
        self._probe = probe
        self._root = root
        self._data = data

    async def run(self, seconds: Mapping[str, float]) -> list[Found]:
        """Return everything found on the buses that `seconds` names, listening so long; 0: without opening anything."""
        claims = await asyncio.to_thread(lambda: Claims(self._root, gateway_ports(self._data)))
        looks: dict[str, Callable[[Claims, float], Awaitable[list[Found]]]] = {
            "uart": self._uart,
            "can": self._can,
            "ble": self._ble,
            "spi": self._spi,
        }
        found: list[Found] = []
        try:
            for bus, limit_s in seconds.items():
                found += await looks[bus](claims, limit_s)
        finally:
            self._progress.end()
        return found

    def _of(self, bus: str) -> list[tuple[str, CompiledProfile]]:
        """Return the profiles of a bus, compiled when first wanted: of a bus that is not there none is."""
        found = []
        for name, file in self._files.items():
            shelf = Path(file).parent.parent.name
            if shelf in {"uart", "can", "ble", "spi"} and shelf != bus:
                continue
            if name not in self._compiled:
                self._compiled[name] = _compiled(file)
            compiled = self._compiled[name]
            if compiled is not None and compiled.profile.link.bus == bus:
                found.append((name, compiled))
        return found

    def _path(self, node: str) -> str:
        return node if self._root == ROOT else str(self._root / node.lstrip("/"))

    async def _uart(self, claims: Claims, limit_s: float) -> list[Found]:
        nodes = serial_nodes(self._root)
        found = [self._serial(node, claims) for node in nodes]
        async with asyncio.TaskGroup() as group:
            for each, node in zip(found, nodes, strict=True):
                if not each.claimed and limit_s:
                    group.create_task(self._hear_line(each, node, limit_s), name=f"scan {node.node}")
        return found

    def _serial(self, node: SerialNode, claims: Claims) -> Found:
        return Found(
            bus="uart",
            port=node.links[0] if node.links else node.node,
            node=node.node,
            links=list(node.links),
            driver=node.driver or None,
            usb=usb_facts(node.identity),
            claimed=claims.holder(node.node, node.identity, node.links),
            profiles=fits(self._of("uart"), Evidence("uart", usb=node.identity)),
        )

    async def _hear_line(self, found: Found, node: SerialNode, limit_s: float) -> None:
        for setting, links in settings_of(each for _, each in self._of("uart")).items():
            self._progress.tell(f"listening on {found.port} at {setting} for {limit_s:g} s")
            try:
                stream = await stream_of(self._path(found.port), setting, limit_s)
            except (PortError, DriverError, TimeoutError) as error:
                found.note = cause_of(error)
                return
            if is_silent_line(stream):
                found.heard = found.heard or {}
                found.note = f"silent for {limit_s:g} s: a device that waits to be asked, or try --listen 15"
                return
            speakers = [(name, each) for name, each in self._of("uart") if each.profile.link in links]
            heard = fits(speakers, Evidence("uart", usb=node.identity, stream=stream))
            if found.heard is None or (
                heard and heard[0].score > max([fit.score for fit in found.profiles], default=0)
            ):
                found.heard = {"bytes": len(stream), "at": str(setting)}
                found.note = None if heard else _looks_like(stream, found.port)
            found.profiles = better(found.profiles, heard)
            if heard and heard[0].score >= SURE:
                return

    async def _can(self, claims: Claims, limit_s: float) -> list[Found]:
        found = []
        for node in can_interfaces(self._root):
            each = self._interface(node, claims)
            found.append(each)
            if not node.is_up:
                rate = "" if node.is_virtual else " type can bitrate 500000"
                each.note = f"down: sudo ip link set {node.name} up{rate}"
            elif limit_s and not each.claimed:
                await self._hear_bus(each, node, limit_s)
        return found

    def _interface(self, node: CanNode, claims: Claims) -> Found:
        state: dict[str, Any] = {"up": node.is_up, "fd": node.is_fd}
        state |= {"virtual": True} if node.is_virtual else {}
        if self._root == ROOT:
            state |= link_facts(node.name)
        return Found(
            bus="can",
            port=node.name,
            driver=node.driver or None,
            usb=usb_facts(node.identity),
            claimed=claims.holder(node.name, node.identity),
            state=state,
        )

    async def _hear_bus(self, found: Found, node: CanNode, limit_s: float) -> None:
        self._progress.tell(f"listening on {node.name} for {limit_s:g} s")
        try:
            frames = await frames_of(node.name, LinkSpec(bus="can", fd=node.is_fd), limit_s)
        except (PortError, DriverError, TimeoutError) as error:
            found.note = cause_of(error)
            return
        ids = sorted({frame.address for frame in frames if isinstance(frame.address, int)})
        plain = [can_id for can_id in ids if not can_id & CAN_ERROR]
        found.heard = {"frames": len(frames), "ids": [_id_text(can_id) for can_id in plain]} if frames else {}
        if len(plain) < len(ids):
            found.note = "error frames on the bus: look at bit rate, termination and wiring"
        found.profiles = fits(self._of("can"), Evidence("can", usb=node.identity, frames=tuple(frames)))

    async def _ble(self, claims: Claims, limit_s: float) -> list[Found]:
        found = []
        for adapter in bluetooth_adapters(self._root):
            each = Found(bus="ble", port=adapter, claimed=claims.holder(adapter))
            found.append(each)
            if not limit_s or each.claimed:
                continue
            self._progress.tell(f"listening on {adapter} for {limit_s:g} s")
            try:
                frames = await frames_of(adapter, LinkSpec(bus="ble", mode="advertisement"), limit_s)
            except (PortError, DriverError, TimeoutError) as error:
                each.note = cause_of(error)
                continue
            advertisers = self._advertisers(adapter, frames)
            each.heard = {"addresses": len(advertisers)} if advertisers else {}
            found += advertisers
        return found

    def _advertisers(self, adapter: str, frames: list[Heard]) -> list[Found]:
        """Return one entry for each address, the nearest first."""
        by_address: dict[str, list[Heard]] = {}
        for frame in frames:
            if isinstance(frame.address, Element):
                by_address.setdefault(frame.address.address, []).append(frame)
        found = [self._advertiser(adapter, address, heard) for address, heard in by_address.items()]
        return sorted(found, key=lambda each: -each.state.get("rssi_dbm", -200))

    def _advertiser(self, adapter: str, address: str, heard: list[Heard]) -> Found:
        elements = [frame.address for frame in heard if isinstance(frame.address, Element)]
        levels = [element.rssi for element in elements if element.rssi is not None]
        names = [element.name for element in elements if element.name]
        kinds = {_kind_text(element) for element in elements}
        state: dict[str, Any] = {"name": names[-1]} if names else {}
        state |= {"rssi_dbm": max(levels)} if levels else {}
        return Found(
            bus="ble",
            port=f"{adapter}/{address}",
            state=state,
            heard={"elements": sorted(kinds)},
            profiles=fits(self._of("ble"), Evidence("ble", frames=tuple(heard))),
        )

    async def _spi(self, claims: Claims, limit_s: float) -> list[Found]:
        del limit_s  # a chip says nothing by itself
        found = []
        for node in spi_nodes(self._root):
            each = _chip_select(node, claims)
            found.append(each)
            if self._probe and not each.claimed:
                await self._ask_chip(each, node)
            elif not self._probe:
                each.note = "a chip says nothing unasked: --probe reads its id registers"
        return found

    async def _ask_chip(self, found: Found, node: SpiNode) -> None:
        answered: list[Fit] = []
        for name, compiled in self._of("spi"):
            if not identity_asks(compiled.profile):
                continue
            self._progress.tell(f"asking {node.node} whether it is a {name}")
            try:
                answers = await identity_of(self._path(node.node), compiled)
            except (PortError, DriverError, TimeoutError, ValueError) as error:
                found.note = cause_of(error) if not isinstance(error, ValueError) else str(error)
                if isinstance(error, DriverError):
                    return
                continue
            answered = better(answered, fits([(name, compiled)], Evidence("spi", answers=answers)))
        found.profiles = answered


def _chip_select(node: SpiNode, claims: Claims) -> Found:
    return Found(
        bus="spi",
        port=node.links[0] if node.links else node.node,
        node=node.node,
        links=list(node.links),
        driver=node.driver or None,
        claimed=claims.holder(node.node, None, node.links),
        state={"modalias": node.modalias} if node.modalias else {},
    )


def link_facts(interface: str) -> dict[str, Any]:
    """Return what `ip` knows of a CAN interface: bit rates and the state of its controller; nothing without `ip`."""
    ip = shutil.which("ip", path="/usr/sbin:/usr/bin:/sbin:/bin")
    if ip is None:
        return {}
    try:
        done = subprocess.run(  # noqa: S603 - our own words
            [ip, "-json", "-details", "link", "show", interface],
            capture_output=True,
            timeout=IP_TIMEOUT_S,
            check=False,
        )
        return facts_told(json.loads(done.stdout))
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return {}


def facts_told(told: Any) -> dict[str, Any]:
    """Return the facts in an answer of `ip -json -details link show`."""
    try:
        info = told[0].get("linkinfo", {}).get("info_data", {})
        found = {
            "bitrate_bps": info.get("bittiming", {}).get("bitrate"),
            "data_bitrate_bps": info.get("data_bittiming", {}).get("bitrate"),
            "controller": str(info["state"]).lower() if "state" in info else None,
        }
    except (AttributeError, IndexError, KeyError, TypeError):
        return {}
    return {key: value for key, value in found.items() if value is not None}


def _compiled(file: str) -> CompiledProfile | None:
    try:
        return CompiledProfile(example_profile(file))
    except ProfileError:
        return None


def _looks_like(stream: bytes, port: str) -> str:
    proposals = guess_framing(stream)
    if not proposals:
        return "bytes that no profile explains, at this rate at least"
    return f"no profile, but {proposals[0].evidence}; tidegate monitor {port} shows it"


def _id_text(can_id: int) -> str:
    return f"{can_id & CAN_ID_MASK:0{8 if can_id & CAN_EXTENDED else 3}X}"


def _kind_text(element: Element) -> str:
    if element.manufacturer is not None:
        return f"manufacturer {element.manufacturer:#06x}"
    return f"service {element.service}"
