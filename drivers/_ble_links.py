"""The links that one adapter holds: slots leased, one connect at a time, BlueZ's faults retried.

Everything here runs on the radio's loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from drivers._ble_bluez import AdapterWatch, BluetoothDeniedError, library_errors
from drivers._ble_faults import Fault, fault_of, words_of
from drivers._ble_scan import Scan
from drivers._ble_slots import NS_PER_S, Lease, Slots
from gateway.clock import Clock
from gateway.errors import (
    PortBusyError,
    PortError,
    PortLostError,
    PortRefusedError,
    PortTimeoutError,
)
from gateway.registry import require

SLOTS: Final = 5  # links that the controllers of Pi-class boards hold beside scanning
LEASE_NS: Final = 60 * NS_PER_S  # for a link that is being made
END_NS: Final = 12 * NS_PER_S  # for one that is being closed; bleak gives BlueZ ten
WAIT_S: Final = 8.0  # for a slot
ATTEMPT_S: Final = 10.0
CONNECT_S: Final = 20.0  # all attempts of one `open`
PAUSES_S: Final = {Fault.RETRY_NOW: 0.1, Fault.RETRY_LATER: 1.0}
DISCONNECT_S: Final = 11.0
_ADDRESS: Final = re.compile(r"(?:dev_)?[0-9A-F]{2}(?:[:_-][0-9A-F]{2}){5}")

log = logging.getLogger(__name__)


class _Discreet(logging.Filter):
    """Takes radio addresses out of what bleak logs above DEBUG."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record; let it pass."""
        if record.levelno > logging.DEBUG:
            record.msg, record.args = _ADDRESS.sub("(address)", record.getMessage()), ()
        return True


for _name in ("client", "manager"):
    logging.getLogger(f"bleak.backends.bluezdbus.{_name}").addFilter(_Discreet())


class SlotsTakenError(PortBusyError):
    """The adapter holds as many links as it can."""

    template = "{port} cannot connect now ({cause}); disconnect one, or use a second adapter"


@dataclass(slots=True, eq=False)
class Link:
    """One connection to a device."""

    client: Any
    address: str
    lease: Lease
    lost: Callable[[str], None]
    is_up: bool = False


class Links:
    """The links of one adapter. `taken` are the addresses that ports of this process use; a link frees its own."""

    def __init__(self, name: str, watch: AdapterWatch, clock: Clock, taken: set[str]) -> None:
        self._name = name
        self._watch = watch
        self._clock = clock
        self._taken = taken
        self._links: list[Link] = []
        self._connecting = asyncio.Lock()
        self._limit: asyncio.Timeout | None = None  # of the connect under way
        self._freed = asyncio.Event()
        self.slots = Slots(SLOTS)
        self.retries: Counter[Fault] = Counter()

    def __len__(self) -> int:
        """Return how many links there are."""
        return len(self._links)

    def lost(self, cause: str) -> None:
        """Take in that the adapter is gone, and with it every link and the connect under way."""
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(asyncio.get_running_loop().time())
        for link in tuple(self._links):
            link.lost(cause)

    async def connect(self, port: str, device: Any, scan: Scan, lost: Callable[[str], None]) -> Link:
        """Return a link to a device, made while the scan is paused. `lost` is called when it ends by itself.

        Raises: SlotsTakenError, PortNotFoundError, PortTimeoutError, PortRefusedError ...
        """
        lease = await self._lease(port)
        link = Link(None, device.address, lease, lost)
        try:
            await self._turn(port)
            try:
                async with scan.paused():
                    await self._attempts(port, device, link)
            finally:
                self._connecting.release()
            self._keep(port, lease)
        except BaseException:
            if link.is_up:
                await self.disconnect(link)
            self._give_back(lease)
            raise
        return link

    async def disconnect(self, link: Link) -> None:
        """End a link and free its slot, however long BlueZ takes (at most `DISCONNECT_S`)."""
        link.is_up = False
        self.slots.limit(link.lease, self._clock.monotonic_ns(), END_NS)
        try:
            async with asyncio.timeout(DISCONNECT_S):
                await link.client.disconnect()
        except library_errors() as error:
            log.debug("disconnect: adapter=%s reason=%s", self._name, words_of(error))
        finally:
            self._drop(link)

    async def _lease(self, port: str) -> Lease:
        until_ns = self._clock.monotonic_ns() + int(WAIT_S * NS_PER_S)
        while True:
            now_ns = self._clock.monotonic_ns()
            lease = self.slots.lease(port, now_ns, LEASE_NS)
            if lease is not None:
                return lease
            if now_ns >= until_ns:
                owners = ", ".join(f"{owner} for {held:.0f} s" for owner, held in self.slots.owners(now_ns).items())
                raise SlotsTakenError(port, f"all {self.slots.count} slots of {self._name} are taken: {owners}")
            self._freed.clear()
            wake_ns = min(until_ns, self.slots.next_end_ns() or until_ns)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(wake_ns - now_ns, 0) / NS_PER_S):
                    await self._freed.wait()

    def _keep(self, port: str, lease: Lease) -> None:
        if not self.slots.keep(lease):
            raise PortTimeoutError(port, "connecting took longer than its slot was leased for")

    def _give_back(self, lease: Lease) -> None:
        self.slots.give_back(lease)
        self._freed.set()

    async def _turn(self, port: str) -> None:
        try:
            async with asyncio.timeout(WAIT_S + CONNECT_S):
                await self._connecting.acquire()
        except TimeoutError as error:
            raise SlotsTakenError(port, f"{self._name} is still connecting to another device") from error

    async def _attempts(self, port: str, device: Any, link: Link) -> None:
        """Connect, again and again while that may help and the time allows it."""
        last = "BlueZ did not answer"
        try:
            async with asyncio.timeout(CONNECT_S) as self._limit:
                while True:
                    self._watch.require_usable(port)
                    try:
                        await self._attempt(device, link)
                    except library_errors() as error:
                        last = words_of(error)
                        await self._before_retry(port, error)
                    else:
                        return
        except TimeoutError as error:
            self._watch.require_usable(port)
            raise PortTimeoutError(port, f"no link in {CONNECT_S:g} s: {last}") from error
        finally:
            self._limit = None

    async def _attempt(self, device: Any, link: Link) -> None:
        bleak = require("bleak", "ble")

        def dropped(_client: Any) -> None:
            if link.is_up:
                self._drop(link)
                link.lost("the device disconnected")

        link.client = bleak.BleakClient(device, disconnected_callback=dropped, timeout=ATTEMPT_S)
        await link.client.connect()
        link.is_up = True
        self._links.append(link)
        if not link.client.is_connected:
            self._drop(link)
            raise bleak.exc.BleakError("not connected any more: abort-by-remote")

    async def _before_retry(self, port: str, error: Exception) -> None:
        """Wait before another attempt. Raises: the port's error when none can help."""
        self._watch.require_usable(port)
        fault = fault_of(error)
        self.retries[fault] += 1
        log.debug("connect failed: adapter=%s fault=%s reason=%s", self._name, fault.value, words_of(error))
        if fault not in PAUSES_S:
            raise link_error(port, "connect", error) from error
        await asyncio.sleep(PAUSES_S[fault])

    def _drop(self, link: Link) -> None:
        link.is_up = False
        if link in self._links:  # once: by now somebody else may have taken the device
            self._links.remove(link)
            self._taken.discard(link.address)
            self._give_back(link.lease)


def link_error(port: str, what: str, error: Exception) -> PortError:
    """Return the error of a port for one of bleak on a link."""
    if isinstance(error, PortError):
        return error
    words = f"{what}: {words_of(error)}"
    if "authentic" in words.lower() or "encrypt" in words.lower() or "authoriz" in words.lower():
        words += "; pair it first: bluetoothctl pair"
    match fault_of(error):
        case Fault.NOT_THERE:
            return PortLostError(port, words)
        case Fault.DENIED:
            return BluetoothDeniedError(port, words)
        case _:
            return PortRefusedError(port, words)
