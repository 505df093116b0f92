"""Layer 6: from a blueprint to ports and devices, ready to run. Nothing is opened here.

A port whose driver is missing or refuses the text does not stop the others: its devices stand FAILED with the reason.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

from gateway.clock import Clock
from gateway.driver import Driver
from gateway.errors import DriverError, GatewayError, PortError
from gateway.framing.spec import Gap, IsoTp, ModbusRtu
from gateway.notation import duration_ns
from gateway.port import FilteringPort, Port
from gateway.runtime.blueprint import DevicePlan, DiscoveryPlan, WirePlan
from gateway.runtime.device import Device
from gateway.runtime.discovery import Discovery
from gateway.runtime.isotp import IsoTpLink
from gateway.runtime.listening import Wanted, wanted_by
from gateway.runtime.outlet import Outlet
from gateway.runtime.pipeline import COALESCE_S, Pipeline, PortCounts
from gateway.runtime.poller import Poller
from gateway.runtime.stubs import Stubs
from gateway.runtime.supervisor import Keeper
from gateway.runtime.transports import SpiTransport, transport_of
from gateway.taint import ORDER_REPLAYED

GAP_S: Final = 1.0  # a framing that knows its ends gives up pending bytes after so long a silence
MODBUS_GAP_LEAST_S: Final = 0.002
ADAPTER_GAP_S: Final = 0.05  # USB adapters hand over an answer in pieces, 16 ms apart; CRCs keep frames apart here
BITS_PER_CHARACTER: Final = 11  # Modbus over Serial Line V1.02, 2.5.1: start, 8 data, parity, stop

DriverFor = Callable[[str, str], Driver]
LockOf = Callable[[str], asyncio.Lock]


class Wire(NamedTuple):
    """One port with the devices that the site names on it, and with what finds others."""

    plan: WirePlan
    devices: list[Device]
    discoveries: list[Discovery]

    @property
    def wanted(self) -> list[Wanted]:
        """Return what its port shall give; [] for everything."""
        return wanted_by(profile.profile for profile in self.plan.profiles)


class Fitter:
    """Makes of plans what they mean."""

    def __init__(
        self,
        clock: Clock,
        driver_for: DriverFor,
        coalesce_s: float = COALESCE_S,
        *,
        bus: LockOf | None = None,
        has_store: bool = False,
        rand: Callable[[], float] = random.random,
    ) -> None:
        """Take where drivers come from; `bus` gives the lock of one physical wire, a new one by default."""
        self._rand = rand
        self._clock = clock
        self._driver_for = driver_for
        self._coalesce_s = coalesce_s
        self._bus = bus
        self._has_store = has_store

    def wire(
        self,
        plan: WirePlan,
        taken: Collection[str],
        devices: Mapping[str, Device] | None = None,
        discoveries: Mapping[str, Discovery] | None = None,
        stubs: Mapping[str, Stubs] | None = None,
    ) -> Wire:
        """Return one wire with its devices; those given are taken over. `taken`: names that discovery must not give.

        `stubs`: what each discovery remembers, where its predecessor had the same profile.
        """
        there, looking, left = devices or {}, discoveries or {}, stubs or {}
        return Wire(
            plan,
            [there.get(each.name) or self._device(each) for each in plan.devices],
            [looking.get(each.name) or self._discovery(each, taken, left.get(each.name)) for each in plan.discoveries],
        )

    def keeper(self, wire: Wire) -> Keeper:
        """Return who keeps the port of a wire open."""
        plan = wire.plan
        port: Port | GatewayError
        try:
            port = self._driver_for(plan.target, plan.link.bus).make(plan.target, plan.widest, self._clock)
            if isinstance(port, FilteringPort):
                port.listen_for(wire.wanted)
        except (DriverError, PortError) as error:
            port = error
        make = partial(self.pipeline, wire)
        return Keeper(
            plan.name, port, list(wire.devices), make, self._clock, discoveries=wire.discoveries, rand=self._rand
        )

    def pipeline(self, wire: Wire, port: Port, counts: PortCounts) -> Pipeline:
        """Return what reads an open port."""
        return _pipeline(wire, self._clock, self._coalesce_s, self._bus, port, counts, rand=self._rand)

    def _device(self, plan: DevicePlan) -> Device:
        made = Device(
            plan.name, plan.profile, self._clock, adjust=dict(plan.adjust), label=plan.label, area=plan.area,
            has_store=self._has_store,
        )  # fmt: skip
        return _warm(made)

    def _discovery(self, plan: DiscoveryPlan, taken: Collection[str], stubs: Stubs | None) -> Discovery:
        def make(device: str, address: str) -> Device:
            return _warm(Device(device, plan.profile, self._clock, label=address, has_store=self._has_store))

        return Discovery(
            plan.name, plan.profile, plan.limit, make, named=plan.named, taken=taken, clock=self._clock, stubs=stubs
        )


def wire(plans: Sequence[WirePlan], fitter: Fitter) -> list[tuple[Wire, Keeper]]:
    """Return every wire with its keeper. Raises: DriverError and PortError, only where no port at all can be made."""
    taken = names_in(plans)
    wires = [fitter.wire(plan, taken) for plan in plans]
    found = [(each, fitter.keeper(each)) for each in wires]
    errors = [keeper.fault for _, keeper in found if keeper.fault is not None]
    if errors and len(errors) == len(found):
        raise errors[0]
    return found


def names_in(plans: Sequence[WirePlan]) -> frozenset[str]:
    """Return the names of all devices that the site names."""
    return frozenset(device.name for plan in plans for device in plan.devices)


def _warm(device: Device) -> Device:
    """Return a device that has compiled what it needs, so that no answer and no first frame has to wait for it."""
    for message in device.messages.values():
        message.warm()
    return device


def _pipeline(  # noqa: PLR0917 - the first four are bound once, by name of the wire they belong to
    each: Wire,
    clock: Clock,
    coalesce_s: float,
    bus: LockOf | None,
    port: Port,
    counts: PortCounts,
    *,
    rand: Callable[[], float],
) -> Pipeline:
    framing = each.plan.profiles[0].profile.framing
    silence_s = GAP_S
    if isinstance(framing, Gap):
        silence_s, coalesce_s = duration_ns(framing.silence) / 1e9, 0.0
    elif isinstance(framing, ModbusRtu):
        silence_s, coalesce_s = max(MODBUS_GAP_LEAST_S, 3.5 * BITS_PER_CHARACTER / each.plan.link.baud), 0.0
    is_replay = each.plan.target.startswith("replay:")
    links = {} if is_replay else _isotp_links(each, clock)
    transports = [transport_of(device.profile, links.get(device.name)) for device in each.devices]
    transports += [transport_of(discovery.profile) for discovery in each.discoveries]
    poller = None
    place = f"{each.plan.target} {each.devices[0].name}" if _is_gatt(each) else each.plan.target
    lock = asyncio.Lock() if bus is None else bus(place)
    if not is_replay and (isinstance(framing, ModbusRtu) or any(map(_asks, each.devices))):
        poller = Poller(
            each.devices,
            each.devices[0].profile.framer(),
            lock,
            clock,
            baud=each.plan.link.baud if port.is_stream else None,
            gap_s=silence_s,
            links=links,
            rand=rand,
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


def _is_gatt(each: Wire) -> bool:
    return each.plan.link.bus == "ble" and each.plan.link.mode == "gatt"


def _isotp_links(each: Wire, clock: Clock) -> dict[str, IsoTpLink]:
    """Return our side of ISO-TP, by device."""
    framings = {device.name: device.profile.profile.framing for device in each.devices}
    fd = each.plan.link.fd
    return {name: IsoTpLink(framing, clock, fd=fd) for name, framing in framings.items() if isinstance(framing, IsoTp)}


def _asks(device: Device) -> bool:
    """Return whether a device has something to be told: questions or connect steps."""
    profile = device.profile.profile
    asked = [spec for spec in profile.message.values() if spec.ask is not None and spec.every != "never"]
    return bool(asked or profile.lifecycle.connect)
