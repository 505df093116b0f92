"""Layer 6: keeps every port open. One keeper per port; when one fails, the others do not notice.

A port that is not there is looked for every half second to two seconds; one that is there but refuses is tried again
with the profile's `reconnect` backoff, jittered, at least every 10 s. A fault of our own stops no other device and
stays visible.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from gateway.clock import Clock
from gateway.errors import DriverError, GatewayError, PortError, PortLostError, PortNotFoundError, PortOptionError
from gateway.lifecycle import Event, State, Target
from gateway.port import FilteringPort, PluggablePort, Port, ReportingPort
from gateway.runtime.backoff import Backoff, bounds_s
from gateway.runtime.device import Device
from gateway.runtime.discovery import Discovery
from gateway.runtime.intensity import Intensity
from gateway.runtime.listening import Wanted
from gateway.runtime.outlet import Outlet
from gateway.runtime.pipeline import Pipeline, PortCounts
from gateway.runtime.restarts import Restarts
from gateway.runtime.scheduler import Scheduler
from gateway.runtime.turns import Stop

SEEK_FIRST_S: Final = 0.5
SEEK_MOST_S: Final = 2.0  # a port that returns is open again within 15 s, whatever happens on the way
REFUSED_MOST_S: Final = 10.0  # asking a port of this machine costs nothing, and who waits for it is a person
FAILED_MOST_S: Final = 60.0
HEALTHY_S: Final = 5.0  # a connection that lasted so long starts its backoff anew
CLOSE_S: Final = 1.0
QUIET_S: Final = 2.0  # how long a change waits for a write that is under way
AIMS: Final = {
    "connect": (Target.CONNECTED, Event.RESUME),
    "quiesce": (Target.QUIESCED, Event.QUIESCE),
    "detach": (Target.DETACHED, Event.CLOSED),
}

log = logging.getLogger(__name__)

MakePipeline = Callable[[Port, PortCounts], Pipeline]


class _Refit(NamedTuple):
    """A change that waits until nothing is read or written."""

    change: Callable[[], None]
    make_pipeline: MakePipeline
    wanted: Sequence[Wanted] | None  # of the port; None: what was wanted before
    done: asyncio.Future[None]


class Keeper:
    """One port, kept open for its devices."""

    def __init__(
        self,
        name: str,
        port: Port | GatewayError,
        devices: list[Device],
        make_pipeline: MakePipeline,
        clock: Clock,
        *,
        discoveries: Sequence[Discovery] = (),
        rand: Callable[[], float] = random.random,
    ) -> None:
        """Take an unopened port, or the error that says why there can be none."""
        self.fault = port if isinstance(port, Exception) else None
        self.name = name
        self.devices = devices  # the discovered ones too
        self.discoveries = discoveries
        self.on_appeared: Callable[[Device], None] | None = None  # called with each device that is discovered
        self.on_left: Callable[[Device], None] | None = None  # and with each that had to make room
        self.counts = PortCounts()
        self.error: str | None = None  # of the last attempt; None while open
        self.outlet: Outlet | None = None  # the way out for commands, while the port is open
        self.next_attempt_ns: int | None = None  # monotonic; None: under way, or open
        self._pipeline: Pipeline | None = None  # while the port is open
        self._lease: asyncio.Timeout | None = None  # of the open port: over when nobody wants it any more
        self._led = asyncio.Event()  # somebody has aimed a device elsewhere
        self.port = port
        self._make_pipeline = make_pipeline
        self._refit: _Refit | None = None  # what waits to be changed
        self._scheduler: Scheduler | None = None
        self._stops: dict[str, list[Stop]] = {}  # of each device
        self._clock = clock
        self._rand = rand
        profile = (devices[0] if devices else discoveries[0]).profile.profile
        self._connect_timeout_s = bounds_s(profile.lifecycle.connect_timeout)[0]
        self._seeking = Backoff(SEEK_FIRST_S, SEEK_MOST_S, rand)
        first_s, most_s = bounds_s(profile.lifecycle.reconnect)
        self._refused = Backoff(first_s, min(most_s, max(first_s, REFUSED_MOST_S)), rand)
        self._broken = Backoff(1.0, FAILED_MOST_S, rand)
        self._faults = Intensity(rand)

    @property
    def bus(self) -> str:
        """The kind of link."""
        return (self.devices[0] if self.devices else self.discoveries[0]).profile.profile.link.bus

    @property
    def path(self) -> str:
        """The port as its driver knows it; of one without driver what the site calls it."""
        return self.name if isinstance(self.port, Exception) else self.port.name

    def lead(self, device: Device, verb: str) -> None:
        """Let one device be connected, left alone where it is, or let go. A port that nobody wants is closed."""
        target, event = AIMS[verb]
        device.aim(target)
        if device.lifecycle.state is State.QUIESCED or target is not Target.CONNECTED:
            device.tell(event, self.name, f"by command: {verb}")
        if self._pipeline is not None:
            self._pipeline.lead(device)
            if target is Target.CONNECTED and device not in self._pipeline.sets_up:
                device.tell(Event.ATTEMPT, self.name)
                device.tell(Event.OPENED, self.name)
        if self._lease is not None and not self._is_wanted:
            self._lease.reschedule(asyncio.get_running_loop().time())
        self._led.set()

    def led_on(self, device: Device) -> bool:
        """Let a device be asked, or not, as its lifecycle says; False: the port is closed, or the device is gone."""
        if self._pipeline is None or device not in self.devices:
            return False
        self._pipeline.lead(device)
        return True

    def sets_up(self, device: Device) -> bool:
        """Return whether the device is connected only when its steps have succeeded, which the pipeline tells."""
        return self._pipeline is not None and device in self._pipeline.sets_up

    def health(self) -> dict[str, Any]:
        """Return what the port knows of its wire beyond frames; empty where it knows nothing."""
        return self.port.health() if isinstance(self.port, ReportingPort) else {}

    def attach(self, scheduler: Scheduler) -> None:
        """Let `scheduler` serve the mailboxes of the devices, and of those that will be discovered."""
        self._scheduler = scheduler
        for device in self.devices:
            self._serve(device)
        self.look_for(self.discoveries)

    def look_for(self, discoveries: Sequence[Discovery]) -> None:
        """Take the devices that these discover, and no others."""
        self.discoveries = discoveries
        for discovery in discoveries:
            discovery.on_appeared, discovery.on_evicted = self._appeared, self._evicted

    def enter(self, device: Device) -> None:
        """Take one more device; it is connected when the port is, and by the next pipeline."""
        self.devices.append(device)
        self._serve(device)

    def leave(self, device: Device) -> None:
        """Let a device go; what waits in its mailboxes is served first."""
        self.devices.remove(device)
        assert self._scheduler is not None
        for stop in self._stops.pop(device.name):
            self._scheduler.detach(stop)
            self._scheduler.drain(stop)

    def _serve(self, device: Device) -> None:
        assert self._scheduler is not None
        guarded = Restarts(device, self._clock, self, rand=self._rand)
        self._stops[device.name] = [self._scheduler.attach(box, guarded.serve) for box in device.mailboxes.values()]

    def _appeared(self, device: Device) -> None:
        self.enter(device)
        if self.on_appeared is not None:
            self.on_appeared(device)
        device.tell(Event.OPENED, self.name)

    def _evicted(self, device: Device) -> None:
        self.leave(device)
        if self.on_left is not None:
            self.on_left(device)

    @property
    def is_open(self) -> bool:
        """Return whether the port is open and read."""
        return self._lease is not None

    async def refit(
        self, change: Callable[[], None], make_pipeline: MakePipeline, *, wanted: Sequence[Wanted] | None
    ) -> None:
        """Let `change` change who is on this open port, when no write is under way and nothing is read.

        Devices that stay notice nothing, except where the port must be opened again to give what is `wanted` (None: as
        before).
        """
        assert self._lease is not None
        async with contextlib.AsyncExitStack() as quiet:
            if self.outlet is not None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(QUIET_S):
                        await quiet.enter_async_context(self.outlet.quiet())
            loop = asyncio.get_running_loop()
            self._refit = _Refit(change, make_pipeline, wanted, loop.create_future())
            done = self._refit.done
            if not self.is_open:  # it was lost meanwhile, so nothing is read
                self._change(self._usable_port())
            else:
                self._lease.reschedule(loop.time())
            await done

    async def run(self) -> None:
        """Open, read, and open again, until cancelled; returns when a recording has ended."""
        while True:
            await self._until_wanted()
            self._tell(Event.ATTEMPT)
            delay_s = await self._attempt()
            if delay_s is None:
                return
            self.next_attempt_ns = self._clock.monotonic_ns() + int(delay_s * 1e9)
            await self._pause(delay_s)
            self.next_attempt_ns = None

    async def _pause(self, delay_s: float) -> None:
        """Wait before the next attempt; not longer than until something is plugged in that the port may be."""
        if not isinstance(self.port, PluggablePort):
            await asyncio.sleep(delay_s)
            return
        try:
            async with asyncio.timeout(delay_s):
                await self.port.plugged()
        except TimeoutError:
            pass

    async def _attempt(self) -> float | None:
        """Open the port and stay with it; return how long to wait before the next attempt, None for never."""
        opened_ns: int | None = None
        try:
            port = self._usable_port()
            try:
                async with asyncio.timeout(self._connect_timeout_s):
                    await port.open()
                opened_ns = self._clock.monotonic_ns()
                self.counts.opened += 1
                self.error = None
                while await self._work(port):
                    pass
            finally:
                await self._close(port)
                if self._refit is not None:  # the port was lost meanwhile
                    self._change(port)
        except EOFError as ended:
            self._tell(Event.CLOSED, str(ended) or "the recording has ended")
            return None
        except Exception as error:  # noqa: BLE001 - supervisor: whatever failed here must not stop the other devices
            return self._failed_with(error, opened_ns)
        return SEEK_FIRST_S

    async def _work(self, port: Port) -> bool:
        """Read an open port for its devices; return whether to go on, for others, after a change."""
        pipeline = self._make_pipeline(port, self.counts)
        self.outlet = pipeline.outlet
        self._pipeline = pipeline
        for device in self.devices:
            is_new = device.is_wanted and device.lifecycle.state is not State.CONNECTED
            if is_new and device not in pipeline.sets_up:
                device.tell(Event.OPENED, self.name)
        try:
            await self._while_wanted(pipeline)
        finally:
            self.outlet = self._pipeline = None
        return self._refit is not None and self._change(port)

    def _change(self, port: Port) -> bool:
        """Do what waits to be changed; return whether the port may stay open."""
        refit, self._refit = self._refit, None
        assert refit is not None
        try:
            refit.change()
            self._make_pipeline = refit.make_pipeline
            stays = refit.wanted is None or not isinstance(port, FilteringPort) or port.listen_for(refit.wanted)
            if not stays:
                self._tell(Event.CLOSED, "opened again, for another choice of frames")
        except Exception as error:  # it is theirs who wanted the change
            refit.done.set_exception(error)
            raise
        refit.done.set_result(None)
        return stays and self._is_wanted

    @property
    def _is_wanted(self) -> bool:
        return bool(self.discoveries) or any(device.is_wanted for device in self.devices)

    async def _until_wanted(self) -> None:
        while not self._is_wanted:
            self._led.clear()
            await self._led.wait()

    async def _while_wanted(self, pipeline: Pipeline) -> None:
        """Run an open port until it fails, whose error comes out, or until nobody wants it any more."""
        try:
            async with asyncio.timeout(None) as self._lease:
                await pipeline.run()
        except TimeoutError:
            if self._lease is None or not self._lease.expired():
                raise
        finally:
            self._lease = None

    def _usable_port(self) -> Port:
        if isinstance(self.port, Exception):
            raise self.port
        return self.port

    def _failed_with(self, error: Exception, opened_ns: int | None) -> float:
        """Tell the devices what happened and return the delay before the next attempt."""
        now_ns = self._clock.monotonic_ns()
        if opened_ns is not None and now_ns - opened_ns > HEALTHY_S * 1e9:
            for backoff in (self._seeking, self._refused, self._broken):
                backoff.reset()
        if opened_ns is not None:
            self._faults.tried(opened_ns)
        self.error = str(error)
        match error:
            case PortNotFoundError():
                self._refused.reset()  # what comes back is asked anew
                self._tell(Event.MISSING, str(error))
                return self._seeking.delay_s()
            case PortLostError():
                self._tell(Event.LOST, str(error))
                return self._seeking.delay_s()
            case PortOptionError() | DriverError():
                self._tell(Event.BROKEN, str(error))
                return self._broken.delay_s()
            case PortError() | TimeoutError():
                reason = str(error) or f"{self.name} did not open in {self._connect_timeout_s:g} s"
                self.error = reason
                self._tell(Event.REFUSED, reason)
                return self._refused.delay_s()
            case _:
                self.error = f"{type(error).__name__}: {error}"
                if self._faults.fault(type(error).__name__, now_ns).is_new:
                    log.error("fault: port=%s", self.name, exc_info=error)
                for device in self.devices:
                    device.health.faults += device.is_wanted
                self._tell(Event.BROKEN, self.error)
                return self._faults.delay_s(now_ns)

    async def _close(self, port: Port) -> None:
        with contextlib.suppress(PortError, TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await port.close()

    def _tell(self, event: Event, reason: str = "") -> None:
        for device in self.devices:
            if device.is_wanted:
                device.tell(event, self.name, reason)


class Supervisor:
    """One per gateway: runs the scheduler and every keeper until cancelled."""

    def __init__(self, scheduler: Scheduler, keepers: list[Keeper]) -> None:
        """Attach every device's mailboxes to the scheduler."""
        self._scheduler = scheduler
        self._keepers = keepers
        self._group: asyncio.TaskGroup | None = None
        self._tasks: dict[Keeper, asyncio.Task[None]] = {}
        for keeper in keepers:
            keeper.attach(scheduler)

    async def run(self) -> None:
        """Run until cancelled, also when every recording has ended: what is known can still be asked for."""
        async with asyncio.TaskGroup() as self._group:
            self._group.create_task(self._scheduler.run(), name="scheduler")
            for keeper in self._keepers:
                self._begin(keeper)

    def add(self, keeper: Keeper) -> None:
        """Keep one more port open."""
        self._keepers.append(keeper)
        keeper.attach(self._scheduler)
        if self._group is not None:
            self._begin(keeper)

    async def remove(self, keeper: Keeper) -> None:
        """Close a port and keep it no longer; its devices have still to leave."""
        task = self._tasks.pop(keeper, None)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        self._keepers.remove(keeper)

    def _begin(self, keeper: Keeper) -> None:
        assert self._group is not None
        self._tasks[keeper] = self._group.create_task(keeper.run(), name=f"{keeper.name}/keep")
