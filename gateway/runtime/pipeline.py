"""Layer 6: one open port: read, find frames, tell which message they are, hand them to the mailboxes of its devices.

Wake-ups are coalesced: after a read that brought little the pipeline waits up to `coalesce_s` and then takes all that
came meanwhile, for one wake costs as much as twenty frames. Decoding is the scheduler's turn, not done here.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import Final

from gateway.clock import Clock
from gateway.errors import MailboxFullError
from gateway.frame import CAN_ERROR, CAN_REMOTE, Address, Batch, Garbage
from gateway.framing.base import Framer
from gateway.framing.build import CanJoiner
from gateway.port import Port
from gateway.runtime.device import Device
from gateway.runtime.mailbox import Mailbox
from gateway.runtime.parcel import Parcel
from gateway.runtime.poller import Poller
from gateway.runtime.scheduler import TURN_NS

COALESCE_S: Final = 0.002
LITTLE_BYTES: Final = 2048  # half of what a tty holds: a read of more is followed by the next at once
LITTLE_FRAMES: Final = 64
SLICE_BYTES: Final = 8192  # framed at once: about a millisecond of the worst bytes
_NO_DATA: Final = CAN_REMOTE | CAN_ERROR


_Entry = tuple[Mailbox, Parcel, Device]  # frames counted as in, on their way into a mailbox


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
        joiners: Sequence[CanJoiner | None] = (),
        gap_s: float = 1.0,
        coalesce_s: float = COALESCE_S,
        taints: int = 0,
    ) -> None:
        """Take an open port and its devices; `framer` on a stream, `joiners` (one per device) where some join segments.

        `poller`: who asks on this wire; answers go to who asked, before any message is matched.

        `gap_s`: silence after which pending bytes are given up. `taints`: of every frame, for example replayed.
        """
        self._port = port
        self._devices = devices
        self._clock = clock
        self._counts = counts
        self._framer = framer
        self._poller = poller
        self._joiners = joiners or [None] * len(devices)
        self._alone = devices[0] if len(devices) == 1 and self._joiners[0] is None else None
        self._gap_s = gap_s
        self._coalesce_s = coalesce_s
        self._taints = taints
        self._garbage_seen = 0
        self._heard_s = 0.0
        self._gap_timer: asyncio.TimerHandle | None = None

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
            if len(self._devices) == 1:
                self._devices[0].lose(batch.dropped)
        size = sum(map(len, batch.payloads))
        counts.bytes_in += size
        await self._put_all(batch)
        return size < LITTLE_BYTES if self._framer else len(batch.payloads) < LITTLE_FRAMES

    async def _put_all(self, batch: Batch) -> None:
        """Put what a read holds, letting the rest of the loop run at least every turn."""
        turn_ends_ns = self._clock.monotonic_ns() + TURN_NS
        for entries in self._entries(batch):
            left = _put_what_fits(entries)
            if left:
                await _hand(left)
            elif self._clock.monotonic_ns() < turn_ends_ns:
                continue
            else:
                await asyncio.sleep(0)
            turn_ends_ns = self._clock.monotonic_ns() + TURN_NS

    def _entries(self, batch: Batch) -> Iterator[list[_Entry]]:
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

    def _found(self, found: list[bytes | Garbage], stamp: Parcel) -> list[_Entry]:
        """Return what a framer gave, ready for mailboxes; every run of frames behind garbage starts a new parcel."""
        framer = self._framer
        assert framer is not None
        if framer.garbage_count == self._garbage_seen:
            return self._sorted(found, None, stamp) if found else []  # type: ignore[arg-type] # all are frames, see base.py
        self._garbage_seen = framer.garbage_count
        ready: list[_Entry] = []
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

    def _sorted(self, bodies: list[bytes], addresses: list[Address] | None, stamp: Parcel) -> list[_Entry]:
        """Give every frame to who asked for it, else to the devices that match it; what nobody knows is counted."""
        self._counts.frames += len(bodies)
        if self._poller is None:
            return self._matched(bodies, addresses, stamp) if bodies else []
        ready: list[_Entry] = []
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

    def _matched(self, bodies: list[bytes], addresses: list[Address] | None, stamp: Parcel) -> list[_Entry]:
        """Match frames with every device; what no device knows is counted."""
        if self._alone is not None:
            names = list(map(self._alone.profile.match, bodies, repeat(None) if addresses is None else addresses))
            return self._for(self._alone, bodies, names, addresses, stamp)
        ready: list[_Entry] = []
        known: list[bool] | None = None if len(self._devices) == 1 else [False] * len(bodies)
        for device, joiner in zip(self._devices, self._joiners, strict=True):
            places: Sequence[int] = range(len(bodies))
            mine, from_whom, when = bodies, addresses, stamp
            if joiner is not None and addresses is not None:
                places, mine, from_whom, when = self._joined(joiner, bodies, addresses, stamp, known)
            names = list(map(device.profile.match, mine, repeat(None) if from_whom is None else from_whom))
            if known is not None:
                for place, name in zip(places, names, strict=True):
                    known[place] = known[place] or name is not None
            if names:
                ready += self._for(device, mine, names, from_whom, when)
        if known is not None:
            self._counts.unknown += known.count(False)
        return ready

    def _joined(
        self,
        joiner: CanJoiner,
        payloads: list[bytes],
        addresses: list[Address],
        stamp: Parcel,
        known: list[bool] | None,
    ) -> tuple[list[int], list[bytes], list[Address], Parcel]:
        """Return what one device's transport makes of the frames, with the place of the frame that completed each.

        A frame that only continues something counts as known.
        """
        places: list[int] = []
        bodies: list[bytes] = []
        found: list[Address] = []
        for place, (payload, address) in enumerate(zip(payloads, addresses, strict=True)):
            if not isinstance(address, int) or address & _NO_DATA:
                places.append(place)  # no message matches it: it will be counted as unknown
                bodies.append(payload)
                found.append(address)
                continue
            now_ns = stamp.received_ns if stamp.stamps_ns is None else stamp.stamps_ns[place]
            completed = joiner.feed(address, payload, now_ns)
            if known is not None and not completed:
                known[place] = True
            for piece in completed:
                if isinstance(piece, Garbage):
                    self._refuse(piece)
                    continue
                places.append(place)
                bodies.append(piece.payload)
                found.append(piece.can_id)
        return places, bodies, found, _restamped(stamp, places)

    def _for(
        self,
        device: Device,
        bodies: list[bytes],
        names: list[str | None],
        addresses: list[Address] | None,
        stamp: Parcel,
    ) -> list[_Entry]:
        """Return the frames that are this device's, counted as in."""
        if None in names:
            kept = [index for index, name in enumerate(names) if name is not None]
            if len(self._devices) == 1:
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
        return [(mailbox, parcel, device) for mailbox, parcel in device.parcels(bodies, matched, stamp)]

    def _refuse(self, garbage: Garbage) -> None:
        self._counts.refuse(garbage.reason)
        if len(self._devices) == 1:
            self._devices[0].refuse(1)

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
        if left_s > 0:
            self._gap_timer = loop.call_later(left_s, self._check_silence, now_s + left_s)
            return
        self._gap_timer = None
        self._silence()

    def _silence(self) -> None:
        if self._framer is None:
            left = [piece for joiner in self._joiners if joiner is not None for piece in joiner.gap()]
            for piece in left:
                if isinstance(piece, Garbage):
                    self._refuse(piece)
            return
        now_ns, wall_ns = self._clock.monotonic_ns(), self._clock.wall_ns()
        for entry in self._found(self._framer.gap(), self._stamp(now_ns, wall_ns)):
            _put(entry)


def _restamped(stamp: Parcel, kept: list[int]) -> Parcel:
    if stamp.stamps_ns is None:
        return stamp
    stamps = [stamp.stamps_ns[index] for index in kept]
    return Parcel([], None, stamp.received_ns, stamp.wall_ns, stamps, stamp.producer, 0, stamp.taints)


def _put(entry: _Entry) -> None:
    """Put frames, room or not: the overflow policy decides."""
    mailbox, parcel, device = entry
    device.in_hand -= len(parcel.items)
    with contextlib.suppress(MailboxFullError):  # the mailbox has counted them as refused
        mailbox.put_nowait(parcel)


def _put_what_fits(ready: list[_Entry]) -> list[_Entry]:
    """Put frames as long as there is room; return the others, in order."""
    for place, (mailbox, parcel, device) in enumerate(ready):
        size = len(parcel.items)
        if size > mailbox.room:
            return ready[place:]
        device.in_hand -= size
        mailbox.put_nowait(parcel)
    return []


async def _hand(ready: list[_Entry]) -> None:
    """Put frames in pieces as the scheduler makes room; where it makes none the overflow policy acts."""
    waiting = deque(ready)
    try:
        while waiting:
            mailbox, parcel, device = waiting[0]
            room = mailbox.room
            if room < len(parcel.items):
                if room:
                    piece, rest = parcel.split(room)
                    waiting[0] = (mailbox, rest, device)
                    _put((mailbox, piece, device))
                await asyncio.sleep(0)
                if mailbox.room:
                    continue
                if mailbox.when_full == "block":
                    await _wait_for_room(waiting)
                    continue
            _put(waiting.popleft())
    finally:
        for entry in waiting:
            _put(entry)


async def _wait_for_room(waiting: deque[_Entry]) -> None:
    mailbox, parcel, device = waiting.popleft()
    device.in_hand -= len(parcel.items)  # pending in the mailbox from here on
    await mailbox.put(parcel)
