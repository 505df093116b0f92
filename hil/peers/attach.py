"""A simulated device on a simulated bus, from its profile: what `peer.simulate` gives."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from gateway.frame import CAN_EXTENDED, CAN_ID_MASK, Address, Element
from gateway.profile.build import CompiledProfile
from gateway.profile.load import find_profile, load_profile
from gateway.registry import transforms_of
from hil.durations import Duration, ns
from hil.peers.from_profile import Order, ProfilePeer
from hil.peers.sealing import Sealer
from hil.peers.surroundings import Board, Times
from hil.peers.wire import ANY_COMPANY, Said, element_of
from hil.rigs.agenda import Event
from hil.rigs.radio import address_of

CLASSIC_BYTES: Final = 8


class Wanted(NamedTuple):
    """What a test wants to have simulated."""

    profile: str | Path
    values: Mapping[str, Any] | None = None
    params: Mapping[str, object] | None = None
    period: Duration | None = None


class Simulated:
    """What a test holds of a simulated device: `set` its values, look at the `orders` it got, `stop` it."""

    def __init__(
        self,
        device: ProfilePeer,
        put: Callable[[Said], None],
        times: Times,
        board: Board,
        period_ns: int | None,
    ) -> None:
        self._device = device
        self._put = put
        self._times = times
        self._board = board
        self._coming: Event | None = None
        self._end: Callable[[], object] = _nothing
        self.begin(period_ns)

    def begin(self, period_ns: int | None) -> None:
        """Say everything from now on at this interval; None: only when asked."""
        self._period_ns = period_ns
        if period_ns is not None:
            self._say_all()

    @property
    def orders(self) -> list[Order]:
        """What it was ordered and obeyed: `setpoint value t_ns` of each, oldest first."""
        return list(self._device.orders)

    @property
    def values(self) -> dict[str, dict[str, Any]]:
        """What it says, by message and field."""
        return self._device.values

    @property
    def said(self) -> set[str]:
        """The messages that it has said so far, by itself or asked."""
        return set(self._device.said)

    @property
    def silent(self) -> dict[str, str]:
        """The messages of its profile that it never says, and why."""
        return dict(self._device.silent)

    def set(self, name: str, value: Any) -> None:
        """Let it say this from now on: `family/value`, `message.field` or `field`. Raises: ValueError."""
        self._device.set(name, value)

    def behave(self, **facts: Any) -> None:
        """Treat orders so from now on; `behave()`: obey again. Raises: ValueError.

        `ignores=True`, `refuses=True`, `lies=True` (says yes and does nothing), `clamp=(low, high)`. To refuse is to
        ignore where the profile has no ack in which a device could say no.
        """
        self._device.behave(**facts)

    def say(self, message: str) -> None:
        """Let it say a message now. Raises: ValueError for none that it has."""
        for said in self._device.say(message):
            self._put(said)

    def stop(self) -> None:
        """Take it off the bus."""
        self._period_ns = None
        if self._coming is not None:
            self._coming.cancel()
        self._end()

    def hear(self, data: bytes, address: Address = None) -> None:
        """Take what came over the bus."""
        if self._board.is_answering:
            for said in self._device.hear(data, address, self._times.now_ns):
                self._put(said)

    def exchange(self, tx: bytes) -> bytes:
        """Return what it puts out in a transfer."""
        return self._device.exchange(tx, self._times.now_ns)

    def until(self, end: Callable[[], object]) -> None:
        """Take what takes it off its bus."""
        self._end = end

    def _say_all(self) -> None:
        if self._board.is_answering:
            for said in self._device.unasked():
                self._put(said)
        if self._period_ns is not None:
            self._coming = self._times.at(self._times.now_ns + self._period_ns, self._say_all)


def profile_of(profile: str | Path, params: Mapping[str, object] | None = None) -> CompiledProfile:
    """Return a shipped profile, or that in a file. Raises: UsageError, ProfileError."""
    path = Path(profile)
    loaded = load_profile(path if path.is_file() else find_profile(str(profile)), params)
    return CompiledProfile(loaded, transforms_of(loaded))


def on_stream(peer: Any, times: Times, board: Board, wanted: Wanted) -> Simulated:
    """Simulate a device at the other end of a UART."""
    device = ProfilePeer(_on_bus(profile_of(wanted.profile, wanted.params), "uart"), wanted.values)
    simulated = Simulated(device, lambda said: peer.send(said.payload), times, board, _period_ns(wanted.period))
    simulated.until(peer.listen(simulated.hear))
    return simulated


def on_can(peer: Any, times: Times, board: Board, wanted: Wanted) -> Simulated:
    """Simulate a node of a CAN bus."""
    device = ProfilePeer(_on_bus(profile_of(wanted.profile, wanted.params), "can"), wanted.values)

    def put(said: Said) -> None:
        assert isinstance(said.address, int)
        is_extended, is_fd = bool(said.address & CAN_EXTENDED), len(said.payload) > CLASSIC_BYTES
        peer.send(said.address & CAN_ID_MASK, said.payload, extended=is_extended, fd=is_fd)

    def heard(frame: Any) -> None:
        if not frame.error and not frame.remote:
            simulated.hear(bytes(frame.data), frame.id | (CAN_EXTENDED if frame.extended else 0))

    simulated = Simulated(device, put, times, board, _period_ns(wanted.period))
    simulated.until(peer.listen(heard))
    return simulated


def on_transfers(peer: Any, times: Times, board: Board, wanted: Wanted) -> Simulated:
    """Simulate the device behind a chip select."""
    device = ProfilePeer(_on_bus(profile_of(wanted.profile, wanted.params), "spi"), wanted.values)
    simulated = Simulated(device, _unasked, times, board, None)
    rule = peer.on(re.compile(rb".*", re.DOTALL), lambda found: simulated.exchange(found[0]))
    simulated.until(lambda: peer.forget(rule))
    return simulated


def on_air(peer: Any, times: Times, board: Board, wanted: Wanted, address: str) -> Simulated:
    """Simulate a device that advertises, or one that can be connected to."""
    compiled = _on_bus(profile_of(wanted.profile, wanted.params), "ble")
    device = ProfilePeer(compiled, wanted.values)
    sealer = Sealer(device.link, address_of(address))
    if device.link.mode == "gatt":
        return _connectable(peer, times, board, device, _period_ns(wanted.period))
    usual = device.link.match.name if device.link.match else None

    def put(said: Said) -> None:
        element = said.address
        assert isinstance(element, Element)
        body, encrypted_from = sealer.seal(element, said.payload)
        if element.manufacturer is not None:
            company = element.manufacturer
            if company == ANY_COMPANY:
                company, body = int.from_bytes(body[:2], "little"), body[2:]
            data: dict[str, Any] = {"manufacturer_data": {company: body}}
        else:
            data = {"service_data": {element.service: body}}
        name = element.name or usual
        heard_name = None if name is None else name.replace("*", "1").replace("?", "1")
        peer.advertise(address, name=heard_name, encrypted_from=encrypted_from, **data)

    return Simulated(device, put, times, board, _period_ns(wanted.period))


def _connectable(peer: Any, times: Times, board: Board, device: ProfilePeer, period_ns: int | None) -> Simulated:
    def put(said: Said) -> None:
        assert isinstance(said.address, Element)
        if device.messages[by_uuid[said.address.characteristic]].ask is None:
            peer.notify(said.address.characteristic, said.payload)

    by_uuid = {element_of(spec).characteristic: name for name, spec in device.messages.items()}
    simulated = Simulated(device, put, times, board, None)
    for uuid, name in by_uuid.items():
        peer.characteristic(
            uuid,
            partial(_read, device, name),
            notify=device.messages[name].ask is None,
            on_write=partial(simulated.hear, address=Element("", characteristic=uuid)),
        )
    orders = {uuid for uuid in device.ordered_at if uuid not in by_uuid}
    for uuid in orders:
        peer.characteristic(
            uuid, readable=False, on_write=partial(simulated.hear, address=Element("", characteristic=uuid))
        )
    simulated.until(lambda: [peer.forget(uuid) for uuid in (*by_uuid, *orders)])
    simulated.begin(period_ns)
    return simulated


def _read(device: ProfilePeer, message: str) -> bytes:
    return device.say(message)[0].payload


def _unasked(_said: Said) -> None:
    """A device behind a chip select says nothing unasked."""


def _on_bus(profile: CompiledProfile, bus: str) -> CompiledProfile:
    """Return a profile. Raises: ValueError for one of another bus."""
    its = profile.profile.link.bus
    if its != bus:
        raise ValueError(f"{profile.profile.profile.id} is for {its}, and this is {bus}")
    return profile


def _period_ns(period: Duration | None) -> int | None:
    """Return the time between two rounds of what it says. Raises: ValueError for none at all."""
    if period is None:
        return None
    found = ns(period)
    if found == 0:
        raise ValueError("a period of 0 has no end")
    return found


def _nothing() -> None:
    """It is on no bus."""
