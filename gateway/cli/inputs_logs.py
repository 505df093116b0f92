"""Layer 9: CAN logs of other programs (ASC, BLF, TRC), which the replay driver reads: loaded only for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

from gateway.cli.inputs import Item
from gateway.cli.inputs_lines import can_text
from gateway.clock import SystemClock
from gateway.errors import PortError, UsageError
from gateway.frame import CAN_ERROR, CAN_REMOTE, Batch, Garbage
from gateway.port import Port
from gateway.profile.model import LinkSpec
from gateway.registry import driver_for


def log_items(file: Path, form: str, before_read: Callable[[int], None]) -> Iterator[Item]:
    """Give one item per CAN frame of a log, at its own time where that counts from 1970.

    Raises: UsageError if the file cannot be read; DriverError without the `can` extra.
    """
    if file.suffix.lower() != f".{form}":
        raise UsageError(f"{file}: a log is read by its suffix; name it {file.stem}.{form}")
    target, link = f"replay:{file}?speed=0", LinkSpec(bus="can")
    port = driver_for(target, "can").make(target, link, SystemClock())
    total = 0
    with asyncio.Runner() as runner:
        try:
            runner.run(port.open())
        except PortError as error:
            raise UsageError(f"{file}: {error.cause}") from error
        while batch := runner.run(_next(port)):
            before_read(total)
            total += sum(map(len, batch.payloads))
            yield from _items(batch)


async def _next(port: Port) -> Batch | None:
    try:
        return await port.read()
    except EOFError:
        await port.close()
        return None


def _items(batch: Batch) -> Iterator[Item]:
    stamps: list[int] | list[None] = batch.stamps_ns or [None] * len(batch)
    for payload, address, stamp in zip(batch.payloads, batch.addresses or (), stamps, strict=True):
        assert isinstance(address, int)
        body: bytes | Garbage = payload
        if address & CAN_ERROR:
            body = Garbage(payload, "error frame")
        elif address & CAN_REMOTE:
            body = Garbage(b"", "remote")
        yield None if stamp is None else stamp / 1e9, can_text(address), address, body
