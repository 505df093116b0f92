"""Layer 8: the composition root: from a site to a running gateway. No logic of its own.

gateway = Gateway(load_site("site.toml"), data_dir=Path("/var/lib/tidegate"))
await gateway.run(stop)
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import platform
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from gateway.authority.keyfile import load_key, load_or_make_key
from gateway.authority.settings import grants_of
from gateway.clock import Clock, SystemClock
from gateway.config import SiteConfig
from gateway.envelope import Envelope
from gateway.errors import ConfigError, LedgerError, Problem, UsageError
from gateway.ledger import Ledger
from gateway.notation import duration_ns
from gateway.registry import driver_for, transforms_of
from gateway.route import Route, RoutePattern, Variant
from gateway.runtime.asks import Asks
from gateway.runtime.configuring import Configurer
from gateway.runtime.control import ControlServer
from gateway.runtime.device import Device
from gateway.runtime.difference import Configuration
from gateway.runtime.digest import digest_of
from gateway.runtime.discovery import Discovery
from gateway.runtime.dispatch import Dispatch
from gateway.runtime.doorway import Doorway
from gateway.runtime.durable import Durable
from gateway.runtime.evictor import Evictor
from gateway.runtime.looks import DeviceLooks, routes_in
from gateway.runtime.message import Message
from gateway.runtime.outlet import Outlet
from gateway.runtime.pipeline import COALESCE_S
from gateway.runtime.recorder import Recorder
from gateway.runtime.reloading import Reloader
from gateway.runtime.restoring import hand_over
from gateway.runtime.resuming import Resumer
from gateway.runtime.roster import Roster
from gateway.runtime.scheduler import Scheduler
from gateway.runtime.shadows import Twin
from gateway.runtime.supervisor import Keeper
from gateway.runtime.timekeeping import clock_quality, machine_boot
from gateway.runtime.warden import Warden
from gateway.runtime.watch import Watcher
from gateway.runtime.wiring import Fitter
from gateway.sinks.sinks import Sinks, unused_keys
from gateway.sinks.surroundings import Surroundings

_NS: Final = 1_000_000_000

log = logging.getLogger(__name__)


class Gateway:
    """One gateway: ports, devices, scheduler and socket."""

    def __init__(
        self,
        site: SiteConfig,
        data_dir: Path,
        clock: Clock | None = None,
        *,
        folder: Path | None = None,
        coalesce_s: float = COALESCE_S,
        file: Path | None = None,
    ) -> None:
        """Wire everything and open nothing. `folder` is where relative profile paths start.

        `coalesce_s`: how long a wake-up may wait for more, in seconds; 0 for the lowest latency. `file`: where the site
        was read, and is read again by a reload; None: it stays as it is, a reload reads its profiles again.
        Raises: ConfigError, ProfileError, DriverError, PortError.
        """
        self.name = site.gateway.name or platform.node() or "tidegate"
        self.boot = secrets.token_hex(8)  # tells this run of the process from every other
        self.data_dir = data_dir
        self._clock = clock or SystemClock()
        self._started_ns = self._clock.monotonic_ns()
        self._scheduler = Scheduler(self._clock)
        has_ledger = site.ledger.enabled
        self._configurer = Configurer(folder, file, has_store=has_ledger)
        configuration = self._configurer.read(site)
        fitter = Fitter(self._clock, driver_for, coalesce_s, bus=self._scheduler.bus, has_store=has_ledger)
        self._roster = Roster(configuration, fitter, self._scheduler)
        self._keepers = self._roster.keepers
        self._watchers: list[Watcher] = []
        self._transforms = transforms_of(*(device.profile.profile for device in self._devices()))
        self._recorder = self._make_recorder(site) if has_ledger else None
        self._kept_for = {} if self._recorder is None else self._recorder.keeps()
        self._looks = DeviceLooks(self._keepers, self._clock)
        self._dispatch = self._make_dispatch(site)
        self._evictor = Evictor(
            self._clock, self.boot, self._discoveries, self._recorder,
            twin_of=self._twin_of, attached=self._dispatch.twins.get,
        )  # fmt: skip
        self._looks.recall = self._evictor.recall
        self.reloader = Reloader(
            self._clock, configuration, read=lambda: self._configurer.read_again(site),
            apply=self._change, devices=self._devices, note=self._note,
        )  # fmt: skip
        self.asks = Asks(self._dispatch, self._looks, self.reloader)  # the one door for callers in this process too
        self._roster.on_entered, self._roster.on_left = self._entered, self._left
        around = Surroundings(
            name=self.name, boot=self.boot, clock=self._clock, does=self.asks, knows=self, commands=self._dispatch,
            devices=self._devices,
        )  # fmt: skip
        self.sinks = Sinks(site, self._configurer.folder, around, self._recorder, transforms=self._transforms)
        self.unused = unused_keys(site)

    async def run(
        self,
        stop: asyncio.Event | None = None,
        on_ready: Callable[[], None] | None = None,
        beside: Coroutine[Any, Any, None] | None = None,
    ) -> None:
        """Run until `stop` is set, or for ever. `on_ready` is called once the data folder is ours and can be asked.

        `beside` runs from then on, as long as the gateway does.

        Raises: UsageError where another gateway runs in the data folder.
        """
        doorway = Doorway(self.data_dir)
        try:
            self._believe()
            if on_ready is not None:
                on_ready()
            async with asyncio.TaskGroup() as group:
                working = [
                    group.create_task(ControlServer(doorway, self, self.asks).run(), name="socket"),
                    group.create_task(self._work(), name="work"),
                ]
                if beside is not None:
                    working.append(group.create_task(beside, name="beside"))
                await (stop or asyncio.Event()).wait()
                for task in working:
                    task.cancel()
        finally:
            self._dispatch.warden.tell_refusals()
            if self._recorder is not None:
                await self._recorder.stop()
            doorway.close()

    def _believe(self) -> None:
        """Take the key that tokens are signed with; one that must not be used leaves every token refused."""
        try:
            self._dispatch.warden.believe(load_key(self.data_dir))
        except UsageError as error:
            log.warning("no token counts: %s", error)

    async def _work(self) -> None:
        """Bring back what the ledger knows, before any port is opened; then keep ports open and record.

        The first command waits until what builds orders is loaded; ports do not wait for that.
        """
        commander = self._dispatch.commander
        async with asyncio.TaskGroup() as group:
            group.create_task(commander.run(), name="commander")
            await commander.is_ready.wait()
            warming = group.create_task(asyncio.to_thread(self._configurer.warm), name="warm")
            if self._recorder is not None:
                await self._recorder.start()
                group.create_task(self._recorder.run(), name="recorder")
            group.create_task(self._roster.supervisor.run(), name="supervisor")
            group.create_task(self.reloader.run(), name="reloader")
            group.create_task(self._evictor.run(), name="evictor")
            group.create_task(self.sinks.run(), name="sinks")
            await warming
            self._dispatch.is_known.set()

    def summary(self) -> str:
        """Return how things stand, in one line."""
        devices = self._devices()
        up = sum(device.is_up for device in devices)
        mode = "off" if self._recorder is None else self._recorder.committer.mode
        return f"{up} of {len(devices)} devices connected, ledger {mode}"

    def status(self) -> dict[str, Any]:
        """Return the object of `status --json`."""
        scheduler = self._scheduler.statistics()
        return {
            "name": self.name,
            "boot": self.boot,
            "version": version("tidegate"),
            "pid": os.getpid(),
            "uptime": (self._clock.monotonic_ns() - self._started_ns) / _NS,
            "data": str(self.data_dir),
            "devices": self._looks.statuses(),
            "ports": self._looks.ports(),
            "reload": self.reloader.last,
            "scheduler": {
                "turns": scheduler.turns,
                "longest_turn_ms": scheduler.longest_turn_ns / 1e6,
                "frames": scheduler.frames,
            },
            "ledger": {"mode": "off"} if self._recorder is None else self._recorder.status(),
            "sinks": self.sinks.status(),
        }

    def devices(self) -> list[dict[str, Any]]:
        """Return the list of `devices --json`: what each device is, and its state."""
        return self._looks.lifecycles()

    def latest(self) -> list[dict[str, Any]]:
        """Return one entry per device and message: values, units, streams, age, sequence, taints."""
        now_ns = self._clock.monotonic_ns()
        return [message.latest(now_ns) for device in self._devices() for message in device.all_messages()]

    def routes(self, pattern: RoutePattern) -> list[dict[str, Any]]:
        """Return every route that matches, with unit, last value and age (None: nothing came yet)."""
        return routes_in(self.latest(), pattern)

    async def routes_left(self, pattern: RoutePattern) -> list[dict[str, Any]]:
        """Return the same of a discovered device that has left, where the pattern names it in full."""
        found = await self._evictor.recall(pattern.text.partition("/")[0])
        now_ns = self._clock.monotonic_ns()
        return routes_in([] if found is None else [each.latest(now_ns) for each in found[0].all_messages()], pattern)

    def envelope(self, route: Route) -> Envelope | None:
        """Return the latest value of one route with where and when it comes from; None: nothing came yet, or no route.

        Only values are made by this version: other variants give None.
        """
        newest: tuple[Keeper, Message, int] | None = None
        for keeper in self._keepers:
            for message in (each for device in keeper.devices for each in device.all_messages()):
                is_meant = (message.device, message.family) == (route.owner, route.family) and message.row is not None
                if not is_meant or route.variant is not Variant.VALUE or route.stream not in message.streams:
                    continue
                if newest is None or message.received_ns > newest[1].received_ns:
                    newest = (keeper, message, message.streams.index(route.stream))
        return newest[1].envelope(newest[2], newest[0].name, self.boot) if newest else None

    def fields(self, pattern: RoutePattern) -> dict[str, dict[str, dict[str, list[str]]]]:
        """Return route and unit by device, message and field, for every route that matches."""
        found: dict[str, dict[str, dict[str, list[str]]]] = {}
        for device in self._devices():
            for message in device.all_messages():
                routed = {
                    name: [f"{device.name}/{message.family}/{stream}", unit]
                    for name, stream, unit in zip(message.plan.names, message.streams, message.plan.units, strict=True)
                    if pattern.matches(device.name, message.family, stream)
                }
                if routed:
                    found.setdefault(device.name, {})[message.name] = routed
        return found

    @contextlib.contextmanager
    def watcher(self, pattern: RoutePattern) -> Iterator[Watcher]:
        """Give a watcher that looks on as long as the context lasts."""
        watcher = Watcher(pattern, self._clock)
        self._watchers.append(watcher)
        for device in self._devices():
            if pattern.matches(device.name):
                device.watchers.append(watcher)
        try:
            yield watcher
        finally:
            self._watchers.remove(watcher)
            for device in self._devices():
                if watcher in device.watchers:
                    device.watchers.remove(watcher)

    async def watch(self, pattern: str = "*") -> AsyncIterator[dict[str, Any]]:
        """Give the objects that `watch --json` prints, for ever. Raises: RouteError for a pattern that is none."""
        with self.watcher(RoutePattern(pattern)) as watcher:
            async for record in watcher.records():
                yield record

    def _entered(self, device: Device) -> None:
        """Let those who look on see a device that was not there when the gateway started."""
        device.watchers += [watcher for watcher in self._watchers if watcher.pattern.matches(device.name)]
        if self._recorder is not None:
            self._recorder.attach(device)
        before = self._dispatch.twins.get(device.name)
        if before is not None:
            hand_over(before.device, device)
        self._dispatch.attach(self._twin_of(device))
        self._evictor.came(device)

    def _left(self, device: Device) -> None:
        """Let go of a device; one that enters again as another keeps its commands until then."""
        self._evictor.left(device)
        for watcher in device.watchers:
            watcher.forget(device.all_messages())
        if self._recorder is not None:
            self._recorder.detach(device)
        if device.name not in self._roster.returning:
            self._dispatch.detach(device.name)

    # ---- configuration

    async def _change(self, after: Configuration) -> list[str]:
        """Put another configuration into effect; return what waits for a restart all the same."""
        await self._roster.change(after)
        self._configurer.keep(after, [device.profile for device in self._devices()])
        self._dispatch.warden.grant(grants_of(after.site.grants))
        keeps = {} if self._recorder is None else self._recorder.keeps()
        late = {route for route, _ in keeps.items() ^ self._kept_for.items()}
        return [f"record.keep of {route}" for route in sorted(late)]

    async def _note(self, body: dict[str, Any]) -> None:
        with contextlib.suppress(LedgerError):
            await self._durable.append([("note", None, body, "audit", None)])

    def _make_dispatch(self, site: SiteConfig) -> Dispatch:
        """Return the door for who wants something done. Raises: ConfigError for setpoints that cannot work."""
        recorder = self._recorder
        self._durable = durable = Durable(None if recorder is None else recorder.committer)
        warden = Warden(
            self._clock,
            durable,
            grants=grants_of(site.grants),
            devices=lambda: [device.name for device in self._devices()],
            ports_of=self._ports_of,
            quality=clock_quality,
            signing_key=lambda: load_or_make_key(self.data_dir),
            boot=machine_boot(),
        )
        dispatch = Dispatch(self._clock, durable, warden, way_out=self._way_out)
        if recorder is not None:
            resumer = Resumer(dispatch)
            recorder.on_known = resumer.resume
        for device in self._devices():
            dispatch.attach(self._twin_of(device))
        return dispatch

    def _twin_of(self, device: Device) -> Twin:
        """Return a device's shadow; it can be written to where its profile has setpoints."""
        return Twin(device, self._configurer.setpoints_of(device.profile), self._clock)

    def _way_out(self, device: str) -> Outlet | None:
        found = self._looks.keeper_of(device)
        return None if found is None else found[0].outlet

    def _ports_of(self, device: str) -> set[str]:
        found = self._looks.keeper_of(device)
        return set() if found is None else {found[0].name, found[0].path}

    def _make_recorder(self, site: SiteConfig) -> Recorder:
        """Return what records the devices that are wired. Raises: ConfigError for sizes that make no ledger."""
        from gateway.ledger.opening import check_geometry

        boot = {"boot": self.boot, "version": version("tidegate"), "site": digest_of(site)}
        folder = self.data_dir / "ledger"
        recorder = Recorder(
            lambda: Ledger.open(folder, options=options, clock=self._clock),
            self._clock,
            boot=boot,
            reader=lambda: Ledger.open(folder, read_only=True),
            gather_s=duration_ns(site.ledger.gather) / _NS,
            transforms=self._transforms,
        )
        for device in self._devices():
            recorder.attach(device)
        options = site.ledger.options(recorder.keeps(), tells_early=site.mqtt is not None)
        try:
            check_geometry(options)
        except UsageError as error:
            raise ConfigError([Problem("", 0, "ledger.ring", str(error))]) from error
        return recorder

    def _discoveries(self) -> list[Discovery]:
        return [discovery for keeper in self._keepers for discovery in keeper.discoveries]

    def _devices(self) -> list[Device]:
        return self._roster.devices
