"""Layer 6: frames on their way into mailboxes, in order, as far as there is room. Used by the pipeline."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque

from gateway.errors import MailboxFullError
from gateway.runtime.device import Device
from gateway.runtime.mailbox import Mailbox
from gateway.runtime.parcel import Parcel

Entry = tuple[Mailbox, Parcel, Device]  # frames counted as in, on their way into a mailbox


def put(entry: Entry) -> None:
    """Put frames, room or not: the overflow policy decides."""
    mailbox, parcel, device = entry
    device.in_hand -= len(parcel.items)
    with contextlib.suppress(MailboxFullError):  # the mailbox has counted them as refused
        mailbox.put_nowait(parcel)


def put_what_fits(ready: list[Entry]) -> list[Entry]:
    """Put frames as long as there is room; return the others, in order."""
    for place, (mailbox, parcel, device) in enumerate(ready):
        size = len(parcel.items)
        if size > mailbox.room:
            return ready[place:]
        device.in_hand -= size
        mailbox.put_nowait(parcel)
    return []


async def hand(ready: list[Entry]) -> None:
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
                    put((mailbox, piece, device))
                await asyncio.sleep(0)
                if mailbox.room:
                    continue
                if mailbox.when_full == "block":
                    await _wait_for_room(waiting)
                    continue
            put(waiting.popleft())
    finally:
        for entry in waiting:
            put(entry)


async def _wait_for_room(waiting: deque[Entry]) -> None:
    mailbox, parcel, device = waiting.popleft()
    device.in_hand -= len(parcel.items)  # pending in the mailbox from here on
    await mailbox.put(parcel)
