"""The one scanner of an adapter: started while somebody listens, paused for connects, watched for silence."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from drivers._ble_bluez import AdapterWatch, bus_error, library_errors
from drivers._ble_faults import Fault, fault_of, words_of
from drivers._ble_radio import RADIO
from drivers._ble_watchdog import NS_PER_S, Step, Watchdog
from gateway.clock import Clock
from gateway.errors import PortBusyError
from gateway.registry import require

START_TIMEOUT_S: Final = 5.0
START_PAUSES_S: Final = (0.2, 1.0)  # between the attempts to start that an `open` waits for
MAX_BACKOFF_S: Final = 30.0
POWER_OFF_S: Final = 1.0

log = logging.getLogger(__name__)

Heard = Callable[[Any, Any], None]


class Scan:
    """All methods on the radio's loop. `heard` gets every advertisement; `links` says what a reset would cut."""

    def __init__(self, name: str, watch: AdapterWatch, clock: Clock, heard: Heard, links: Callable[[], int]) -> None:
        self._name = name
        self._watch = watch
        self._clock = clock
        self._heard = heard
        self._links = links
        self._lock = asyncio.Lock()  # of whoever starts or stops the scanner
        self._wake = asyncio.Event()
        self._scanner: Any = None
        self._is_wanted = False
        self._is_stale = False
        self._has_ended = False
        self._pauses = 0
        self._failures = 0
        self.watchdog = Watchdog()
        self.is_resetting = False
        self.steps: Counter[Step] = Counter()
        self.faults: Counter[Fault] = Counter()

    @property
    def is_running(self) -> bool:
        """Whether advertisements come."""
        return self._scanner is not None

    async def begin(self, port: str) -> None:
        """Scan from now on. Raises: PortNotFoundError, PortPermissionError, PortBusyError when it does not start."""
        if not self._is_wanted:
            self._is_wanted = True
            self.watchdog.began(self._clock.monotonic_ns())
        for pause_s in (*START_PAUSES_S, None):
            starting = asyncio.wrap_future(RADIO.start(self._start_locked()))
            try:
                await asyncio.shield(starting)  # BlueZ would go on scanning for a start that was cancelled half-way
            except library_errors() as error:
                fault = self._count(error)
                if fault not in {Fault.RETRY_NOW, Fault.RETRY_LATER}:
                    raise bus_error(port, error) from error
                if pause_s is None:
                    raise PortBusyError(port, f"BlueZ does not scan: {words_of(error)}") from error
                await asyncio.sleep(pause_s)
            else:
                self._wake.set()
                return

    def end(self) -> None:
        """Scan no more; the supervisor stops the scanner."""
        self._is_wanted = False
        self._wake.set()

    def look(self, *, is_lost: bool) -> None:
        """Have the supervisor look again: the adapter changed. A scanner from before it was lost hears nothing."""
        self._is_stale = self._is_stale or is_lost
        self._wake.set()

    async def stop(self) -> None:
        """Stop the scanner and the supervisor."""
        self._is_wanted = False
        self._has_ended = True
        self._wake.set()
        async with self._lock:
            await self._stop()

    @contextlib.asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Keep the scanner stopped: a controller that scans fails to connect."""
        self._pauses += 1
        try:
            async with self._lock:
                await self._stop()
            yield
        finally:
            self._pauses -= 1
            self._wake.set()

    async def supervise(self) -> None:
        """Keep the scanner as it should be, until `stop`."""
        while not self._has_ended:
            self._wake.clear()
            wait_s = await self._turn()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()

    async def _turn(self) -> float | None:
        """Do what is due; return for how long there is nothing to do, None until something changes."""
        async with self._lock:
            if not self._is_wanted or not self._watch.is_usable:
                await self._stop()
                return None
            if self._pauses:
                return None
            backoff_s = await self._start_again()
            now_ns = self._clock.monotonic_ns()
            step, due_ns = self.watchdog.next(now_ns, links=self._links())
            if step is not Step.REST:
                await self._climb(step)
            wait_s = max(due_ns - now_ns, 0) / NS_PER_S
            return wait_s if backoff_s is None else min(wait_s, backoff_s)

    async def _start_again(self) -> float | None:
        try:
            await self._start()
        except library_errors() as error:
            self._count(error)
            if not self._failures:
                log.info("scan does not start: adapter=%s reason=%s", self._name, words_of(error))
            self._failures += 1
            return min(2.0**self._failures, MAX_BACKOFF_S)
        self._failures = 0
        return None

    async def _climb(self, step: Step) -> None:
        """Take one rung of the ladder."""
        self.steps[step] += 1
        if step is Step.REPORT:
            log.warning("adapter %s hears nothing; scan, discovery and power were restarted in vain", self._name)
            return
        log.info("adapter %s hears nothing: step=%s", self._name, step.value)
        try:
            await self._stop()
            if step is Step.RESTART_DISCOVERY:
                await self._watch.until(lambda: not self._watch.is_discovering)
            elif step is Step.POWER_CYCLE:
                await self._cycle_power()
            await self._start()
        except library_errors() as error:
            self._count(error)
            log.info("adapter %s: step=%s failed: %s", self._name, step.value, words_of(error))

    async def _cycle_power(self) -> None:
        self.is_resetting = True
        try:
            await self._watch.set_powered(on=False)
            await asyncio.sleep(POWER_OFF_S)
            await self._watch.set_powered(on=True)
            await self._watch.until(lambda: self._watch.is_usable)
        finally:
            self.is_resetting = False
            self._watch.tell()

    async def _start_locked(self) -> None:
        async with self._lock:
            await self._start()

    async def _start(self) -> None:
        if self._is_stale:
            await self._stop()
        if self._scanner is not None or self._pauses or not self._is_wanted or not self._watch.is_usable:
            return
        bleak = require("bleak", "ble")
        options = {"adapter": self._name, "filters": {"DuplicateData": True}}  # see `drivers._ble_reports`
        scanner = bleak.BleakScanner(self._heard, bluez=options)
        async with asyncio.timeout(START_TIMEOUT_S):
            await scanner.start()
        self._scanner = scanner
        self.watchdog.began(self._clock.monotonic_ns())

    async def _stop(self) -> None:
        scanner, self._scanner = self._scanner, None
        self._is_stale = False
        if scanner is None:
            return
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await scanner.stop()
        except library_errors() as error:  # gone with its adapter, or stuck: the next start tells
            log.debug("scan did not stop: adapter=%s reason=%s", self._name, words_of(error))

    def _count(self, error: Exception) -> Fault:
        fault = fault_of(error)
        self.faults[fault] += 1
        return fault
