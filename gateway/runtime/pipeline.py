"""Layer 6: one open port: read, find frames, tell which message they are, hand them to the mailboxes of its devices.

Wake-ups are coalesced: after a read that brought little the pipeline waits up to `coalesce_s` and then takes all that
came meanwhile, for one wake costs as much as twenty frames. Decoding is the scheduler's turn, not done here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Sequence
from itertools import repeat
from typing import Final

from gateway.clock import Clock
from gateway.errors import PortOptionError, PortTimeoutError
from gateway.frame import Address, Batch, Garbage
from gateway.framing.base import Framer
from gateway.port import Port
from gateway.profile.build import CompiledProfile
from gateway.runtime.device import Device
from gateway.runtime.discovery import Discovery
from gateway.runtime.handing import Entry, hand, put, put_what_fits
from gateway.runtime.outlet import Outlet
from gateway.runtime.parcel import Parcel
from gateway.runtime.poller import Poller
from gateway.runtime.scheduler import TURN_NS
from gateway.runtime.transports import Transport

COALESCE_S: Final = 0.002
ROUNDING_S: Final = 1e-9  # of a loop's time, whose timers may be that early
LITTLE_BYTES: Final = 2048  # half of what a tty holds: a read of more is followed by the next at once
LITTLE_FRAMES: Final = 64
SLICE_BYTES: Final = 8192  # framed at once: about a millisecond of the worst bytes

Receiver = Device | Discovery  # who may know a frame


class PortCounts:
    """What came through one port since the gateway started."""

    __slots__ = ("bytes_in", "dropped", "frames", "garbage", "opened", "reads", "reasons", "unknown")

    def __init__(self) -> None:
        self.reads = self.bytes_in = self.frames = self.garbage = self.unknown = self.dropped = self.opened = 0
        self.reasons: dict[str, int] = {}  # garbage by reason: a few stable words

    def refuse(self, reason: str) -> None:
        """Count one piece of garbage."""
        self.garbage += 1
        self.reasons[reason] = self.reasons.get(reason, 0) + 1


class Pipeline:
    """One port, from open to lost. Made anew for every open."""

    def __init__(
        self,
        port: Port,
        devices: list[Device],
        clock: Clock,
        counts: PortCounts,
        *,
        framer: Framer | None = None,
        poller: Poller | None = None,
        outlet: Outlet | None = None,
        discoveries: Sequence[Discovery] = (),
        transports: Sequence[Transport | None] = (),
        gap_s: float = 1.0,
        coalesce_s: float = COALESCE_S,
        taints: int = 0,
    ) -> None:
        """Take an open port and its devices; `framer` on a stream, `transports` (one per device, then per discovery).

        `poller`: who asks on this wire; answers go to who asked, before any message is matched.

        `gap_s`: silence after which pending bytes are given up. `taints`: of every frame, for example replayed.
        """
        self._port = port
        self._devices = devices
        self._clock = clock
        self._counts = counts
        self.outlet = outlet  # the way out for commands; None: there is none
        self._framer = framer
        self._poller = poller
        self._receivers: list[Receiver] = [*devices, *discoveries]
        self._transports = list(transports) or [None] * len(self._receivers)
        self._single = devices[0] if len(devices) == 1 and not discoveries else None
        self._alone = self._single if self._transports[:1] == [None] else None
        self._gap_s = gap_s
        self._coalesce_s = coalesce_s
        self._taints = taints
        self._garbage_seen = 0
        self._heard_s = 0.0
        self._gap_timer: asyncio.TimerHandle | None = None

    @property
    def sets_up(self) -> Collection[Device]:
        """The devices that are connected only when their steps have succeeded; the poller says so."""
        return () if self._poller is None else self._poller.sets_up

    def lead(self, device: Device) -> None:
        """Take that a device is wanted, or is not any more: it is asked, and its frames are taken, accordingly."""
        if self._poller is not None:
            self._poller.lead(device)

    async def run(self) -> None:
        """Read, and ask where there is a poller, until the port fails, whose error comes out; pending frames first."""
        if self._poller is None:
            await self._read()
            return
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read(), name=f"{self._port.name}/read")
                group.create_task(self._poller.run(self._port), name=f"{self._port.name}/poll")
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None

    async def _read(self) -> None:
        try:
            while True:
                batch = await self._port.read()
                little = await self._take(batch)
                if little and self._coalesce_s:
                    await asyncio.sleep(self._coalesce_s)
        finally:
            if self._gap_timer is not None:
                self._gap_timer.cancel()
            self._silence()

    async def _take(self, batch: Batch) -> bool:
        """Bring one read to the mailboxes; return whether it was little."""
        counts = self._counts
        counts.reads += 1
        if batch.dropped:
            counts.dropped += batch.dropped
            if self._single is not None:
                self._single.lose(batch.dropped)
        size = sum(map(len, batch.payloads))
        counts.bytes_in += size
        await self._put_all(batch)
        for transport in self._transports:
            if transport is not None and transport.replies:
                await self._reply(transport.replies)
        return size < LITTLE_BYTES if self._framer else len(batch.payloads) < LITTLE_FRAMES

    async def _put_all(self, batch: Batch) -> None:
        """Put what a read holds, letting the rest of the loop run at least every turn."""
        turn_ends_ns = self._clock.monotonic_ns() + TURN_NS
        for entries in self._entries(batch):
            left = put_what_fits(entries)
            if left:
                await hand(left)
            elif self._clock.monotonic_ns() < turn_ends_ns:
                continue
            else:
                await asyncio.sleep(0)
            turn_ends_ns = self._clock.monotonic_ns() + TURN_NS

    def _entries(self, batch: Batch) -> Iterator[list[Entry]]:
        """Give what each chunk of a stream holds, or all frames of a packet port, ready for the mailboxes."""
        if self._framer is None:
            addresses: list[Address] = batch.addresses or [None] * len(batch.payloads)
            stamp = self._stamp(batch.received_ns, batch.wall_ns, batch.stamps_ns)
            yield self._sorted(batch.payloads, addresses, stamp)
            return
        self._watch_for_silence()
        for place, chunk in enumerate(batch.payloads):
            wall_ns = batch.wall_ns if batch.stamps_ns is None else batch.stamps_ns[place]
            for start in range(0, len(chunk), SLICE_BYTES):
                piece = chunk if len(chunk) <= SLICE_BYTES else chunk[start : start + SLICE_BYTES]
                yield self._found(self._framer.feed(piece), self._stamp(batch.received_ns, wall_ns))

    def _stamp(self, received_ns: int, wall_ns: int, stamps_ns: list[int] | None = None) -> Parcel:
        return Parcel([], None, received_ns, wall_ns, stamps_ns, self._port.name, 0, self._taints)

    def _found(self, found: list[bytes | Garbage], stamp: Parcel) -> list[Entry]:
        """Return what a framer gave, ready for mailboxes; every run of frames behind garbage starts a new parcel."""
        framer = self._framer
        assert framer is not None
        if framer.garbage_count == self._garbage_seen:
            return self._sorted(found, None, stamp) if found else []  # type: ignore[arg-type] # all are frames, see base.py
        self._garbage_seen = framer.garbage_count
        ready: list[Entry] = []
        run: list[bytes] = []
        for piece in found:
            if isinstance(piece, bytes):
                run.append(piece)
                continue
            if run:
                ready += self._sorted(run, None, stamp)
                run = []
            self._refuse(piece)
        if run:
            ready += self._sorted(run, None, stamp)
        return ready

    def _sorted(self, bodies: list[bytes], addresses: list[Address] | None, stamp: Parcel) -> list[Entry]:
        """Give every frame to who asked for it, else to the devices that match it; what nobody knows is counted."""
        self._counts.frames += len(bodies)
        if self._poller is None or addresses is not None:
            return self._matched(bodies, addresses, stamp) if bodies else []
        ready: list[Entry] = []
        for body in bodies:
            verdict = self._poller.hear(body, stamp.received_ns)
            if verdict is None:
                ready += self._matched([body], addresses, stamp)
            elif verdict.device is not None and verdict.message is not None:
                ready += self._for(verdict.device, [verdict.body], [verdict.message], None, stamp)
            elif verdict.device is not None:
                verdict.device.refuse(1, marks=False)
            else:
                self._counts.unknown += 1
        return ready

    def _matched(self, bodies: list[bytes], addresses: list[Address] | None, stamp: Parcel) -> list[Entry]:
        """Match frames with everybody on this port; what nobody knows is counted."""
        if self._alone is not None:
            names = list(map(self._alone.profile.match, bodies, repeat(None) if addresses is None else addresses))
            return self._for(self._alone, bodies, names, addresses, stamp)
        ready: list[Entry] = []
        known: list[bool] | None = None if self._single is not None else [False] * len(bodies)
        for receiver, transport in zip(self._receivers, self._transports, strict=True):
            places: Sequence[int]
            from_whom: list[Address] | None
            if transport is not None and addresses is not None:
                places, mine, from_whom, when, names = self._through(
                    transport, receiver.profile, bodies, addresses, stamp, known=known
                )
            else:
                places, mine, from_whom, when = range(len(bodies)), bodies, addresses, stamp
                names = list(map(receiver.profile.match, mine, repeat(None) if from_whom is None else from_whom))
            if known is not None:
                for place, name in zip(places, names, strict=True):
                    known[place] = known[place] or name is not None
            if not names:
                continue
            if isinstance(receiver, Device):
                ready += self._for(receiver, mine, names, from_whom, when)
            elif from_whom is not None:
                for device, kept in receiver.owners(from_whom, names, when.received_ns):
                    ready += self._for(device, *_picked(kept, mine, names, from_whom), _restamped(when, kept))
        if known is not None:
            self._counts.unknown += known.count(False)
        return ready

    def _through(
        self,
        transport: Transport,
        profile: CompiledProfile,
        payloads: list[bytes],
        addresses: list[Address],
        stamp: Parcel,
        *,
        known: list[bool] | None,
    ) -> tuple[Sequence[int], list[bytes], list[Address], Parcel, list[str | None]]:
        """Return what one transport makes of the frames, with the place of the frame that completed each.

        A frame that only continues something counts as known.
        """
        places: list[int] = []
        bodies: list[bytes] = []
        found: list[Address] = []
        names: list[str | None] = []
        for place, (payload, address) in enumerate(zip(payloads, addresses, strict=True)):
            now_ns = stamp.received_ns if stamp.stamps_ns is None else stamp.stamps_ns[place]
            completed = transport.feed(payload, address, now_ns)
            if known is not None and not completed:
                known[place] = True
            for piece in completed:
                if isinstance(piece, Garbage):
                    self._refuse(piece)
                    continue
                places.append(place)
                bodies.append(piece.payload)
                found.append(piece.address)
                names.append(piece.name or profile.match(piece.payload, piece.address))
        return places, bodies, found, _restamped(stamp, places), names

    async def _reply(self, replies: list[tuple[bytes, int]]) -> None:
        """Write what a transport owes the other side; where the wire takes it not, that transfer breaks off."""
        while replies:
            data, can_id = replies.pop(0)
            try:
                await self._port.write(data, can_id)
            except (PortTimeoutError, PortOptionError):
                self._counts.refuse("no flow control")

    def _for(
        self,
        device: Device,
        bodies: list[bytes],
        names: list[str | None],
        addresses: list[Address] | None,
        stamp: Parcel,
    ) -> list[Entry]:
        """Return the frames that are this device's, counted as in; one that is not wanted refuses them."""
        if not device.is_wanted:
            device.refuse(len(bodies), marks=False)
            return []
        if None in names:
            kept = [index for index, name in enumerate(names) if name is not None]
            if device is self._single:
                self._counts.unknown += len(names) - len(kept)
                device.refuse(len(names) - len(kept), marks=False)
            if not kept:
                return []
            stamp = _restamped(stamp, kept)
            bodies = [bodies[index] for index in kept]
            addresses = None if addresses is None else [addresses[index] for index in kept]
            names = [names[index] for index in kept]
        matched: list[str] = names  # type: ignore[assignment] # the Nones are gone
        if addresses is not None and device.profile.profile.link.bus == "ble":
            if device.profile.sees_company_id:
                bodies = list(map(device.profile.body_seen, matched, bodies, addresses))
            device.advertise(addresses, stamp)
        if self._poller is not None and addresses is not None:
            self._poller.saw(device, matched, bodies)
        return [(mailbox, parcel, device) for mailbox, parcel in device.parcels(bodies, matched, stamp)]

    def _refuse(self, garbage: Garbage) -> None:
        self._counts.refuse(garbage.reason)
        if self._single is not None:
            self._single.refuse(1)

    # ---- silence

    def _watch_for_silence(self) -> None:
        loop = asyncio.get_running_loop()
        self._heard_s = loop.time()
        if self._gap_timer is None:
            self._gap_timer = loop.call_later(self._gap_s, self._check_silence, self._heard_s + self._gap_s)

    def _check_silence(self, due_s: float) -> None:
        """Give up what is pending if nothing came for `gap_s`; a timer that is late itself proves no silence."""
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        left_s = self._heard_s + self._gap_s - now_s
        if left_s <= 0 and now_s - due_s > max(self._gap_s / 2, 0.005):
            left_s = self._gap_s
        if left_s > ROUNDING_S:
            self._gap_timer = loop.call_later(left_s, self._check_silence, now_s + left_s)
            return
        self._gap_timer = None
        self._silence()

    def _silence(self) -> None:
        if self._framer is None:
            for piece in [left for transport in self._transports if transport is not None for left in transport.gap()]:
                self._refuse(piece)
            return
        now_ns, wall_ns = self._clock.monotonic_ns(), self._clock.wall_ns()
        for entry in self._found(self._framer.gap(), self._stamp(now_ns, wall_ns)):
            put(entry)


def _restamped(stamp: Parcel, kept: list[int]) -> Parcel:
    if stamp.stamps_ns is None:
        return stamp
    stamps = [stamp.stamps_ns[index] for index in kept]
    return Parcel([], None, stamp.received_ns, stamp.wall_ns, stamps, stamp.producer, 0, stamp.taints)


def _picked(
    kept: list[int], bodies: list[bytes], names: list[str | None], addresses: list[Address]
) -> tuple[list[bytes], list[str | None], list[Address]]:
    return [bodies[at] for at in kept], [names[at] for at in kept], [addresses[at] for at in kept]
