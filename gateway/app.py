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
from collections.abc import Callable, Coroutine
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gateway.api.api import Api
from gateway.api.feed import Feed
from gateway.api.follow.following import Following
from gateway.api.ledger import LedgerQueries
from gateway.api.queries import Queries
from gateway.api.settings import HttpConfig
from gateway.authority.keyfile import load_key, load_or_make_key
from gateway.authority.settings import grants_of
from gateway.clock import Clock, SystemClock
from gateway.config import SiteConfig
from gateway.errors import ConfigError, LedgerError, Problem, UsageError
from gateway.ledger import Ledger
from gateway.notation import duration_ns
from gateway.registry import transforms_of
from gateway.runtime.asks import Asks
from gateway.runtime.configuring import Configurer
from gateway.runtime.control import ControlServer
from gateway.runtime.crew import keep
from gateway.runtime.device import Device
from gateway.runtime.difference import Configuration
from gateway.runtime.digest import digest_of
from gateway.runtime.discovery import Discovery
from gateway.runtime.dispatch import Dispatch
from gateway.runtime.doorway import Doorway
from gateway.runtime.durable import Durable
from gateway.runtime.evictor import Evictor
from gateway.runtime.looks import DeviceLooks
from gateway.runtime.means import MACHINE, Means
from gateway.runtime.outlet import Outlet
from gateway.runtime.pipeline import COALESCE_S
from gateway.runtime.profiles import Profiles
from gateway.runtime.recorder import Recorder
from gateway.runtime.reloading import Reloader
from gateway.runtime.restoring import hand_over
from gateway.runtime.resuming import Resumer
from gateway.runtime.roster import Roster
from gateway.runtime.scheduler import Scheduler
from gateway.runtime.shadows import Twin
from gateway.runtime.timekeeping import machine_boot
from gateway.runtime.warden import Warden
from gateway.runtime.wiring import Fitter
from gateway.sinks.sinks import Sinks
from gateway.sinks.surroundings import Surroundings

if TYPE_CHECKING:
    from gateway.api.http.door import HttpDoor

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
        means: Means = MACHINE,
    ) -> None:
        """Wire everything and open nothing. `folder` is where relative profile paths start.

        `coalesce_s`: how long a wake-up may wait for more, in seconds; 0 for the lowest latency. `file`: where the site
        was read, and is read again by a reload; None: it stays as it is, a reload reads its profiles again. `means`:
        what it has of its machine; others where a gateway runs in simulated time.
        Raises: ConfigError, ProfileError, DriverError, PortError.
        """
        self.name = site.gateway.name or platform.node() or "tidegate"
        self.version = version("tidegate")  # looked up once: it parses the metadata of the package
        self.boot = secrets.token_hex(8)  # tells this run of the process from every other
        self.data_dir = data_dir
        self._clock = clock or SystemClock()
        self._means = means
        self._started_ns = self._clock.monotonic_ns()
        self._scheduler = Scheduler(self._clock)
        has_ledger = site.ledger.enabled
        self._configurer = Configurer(folder, file, data_dir, has_store=has_ledger)
        configuration = self._configurer.read_first(site)
        fitter = Fitter(
            self._clock, means.driver_for, coalesce_s, bus=self._scheduler.bus, has_store=has_ledger, rand=means.rand
        )
        self._roster = Roster(configuration, fitter, self._scheduler)
        self._keepers = self._roster.keepers
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
        self.queries = Queries(
            keepers=self._keepers, looks=self._looks, twins=lambda: self._dispatch.twins, status=self.status,
            clock=self._clock, boot=self.boot,
        )  # fmt: skip
        self.reloader = Reloader(
            self._clock, configuration, read=lambda before: self._configurer.read_again(site, before.chosen),
            apply=self._change, devices=self._devices, note=self._note, settle=self._configurer.settle,
        )  # fmt: skip
        self._looks.chosen = lambda: self.reloader.current.chosen
        profiles = Profiles(self._configurer, self.reloader, self._devices, self._note)
        self.asks = Asks(self._dispatch, self._looks, self.reloader, profiles)  # the one door, in this process too
        self._roster.on_entered, self._roster.on_left = self._entered, self._left
        self.following = self._follow(site)
        self.sinks = self._make_sinks(site)
        self.api = self._make_api()
        self.http = self._make_http(site)

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
            self._configurer.settle(self.reloader.current)
            if on_ready is not None:
                on_ready()
            async with asyncio.TaskGroup() as group:
                working = [
                    group.create_task(ControlServer(doorway, self.queries, self.asks).run(), name="socket"),
                    group.create_task(self._work(), name="work"),
                ]
                if beside is not None:
                    working.append(group.create_task(beside, name="beside"))
                await (stop or asyncio.Event()).wait()
                for task in working:
                    task.cancel()
        finally:
            self._dispatch.warden.tell_refusals()
            if self.api.ledger is not None:
                self.api.ledger.close()
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
            if self.following is not None:
                group.create_task(keep("stream", self.following.stream.run), name="stream")
            group.create_task(self._evictor.run(), name="evictor")
            group.create_task(self.sinks.run(), name="sinks")
            if self.http is not None:
                group.create_task(keep("http", self.http.run), name="http")
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
            "version": self.version,
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
            "http": None if self.http is None else self.http.status(),
            "sinks": self.sinks.status(),
        }

    def _entered(self, device: Device) -> None:
        """Take in a device that was not there when the gateway started."""
        self.queries.entered(device)
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
            quality=self._means.quality,
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

    def _follow(self, site: SiteConfig) -> Following | None:
        """Return who follows the ledger, where anybody could want to hear of it."""
        if self._recorder is None or (site.mqtt is None and site.http is None):
            return None
        return Following(
            self._recorder, self._clock, devices=self._devices, twins=lambda: self._dispatch.twins,
            transforms=self._transforms, is_always=site.mqtt is not None,
        )  # fmt: skip

    def _make_sinks(self, site: SiteConfig) -> Sinks:
        around = Surroundings(
            name=self.name, boot=self.boot, clock=self._clock, does=self.asks, knows=self.queries,
            commands=self._dispatch, devices=self._devices, discoveries=self._discoveries,
        )  # fmt: skip
        return Sinks(site, self._configurer.folder, around, self._recorder, self.following)

    def _make_api(self) -> Api:
        return Api(
            name=self.name, data_dir=self.data_dir, clock=self._clock, queries=self.queries, asks=self.asks,
            warden=self._dispatch.warden,
            ledger=None if self._recorder is None else LedgerQueries(self.data_dir / "ledger"),
            feed=Feed(self.following), is_ready=self._is_ready,
        )  # fmt: skip

    def _make_http(self, site: SiteConfig) -> HttpDoor | None:
        """Return the HTTP door where the site has one. Raises: ConfigError, UsageError where its library is missing."""
        listen = None if site.metrics is None else site.metrics.listen
        config = site.http or (None if listen is None else HttpConfig(listen=listen))
        if config is None:
            return None
        if not config.is_loopback and load_key(self.data_dir) is None:
            message = f"{config.listen} is beyond this machine: issue a token first (`tidegate token issue`)"
            raise ConfigError([Problem("", 0, "http.listen", message)])
        try:
            from gateway.api.http.door import HttpDoor
        except ModuleNotFoundError as error:
            raise UsageError(f"[http] needs the `http` extra ({error}): pip install 'tidegate[http]'") from error
        return HttpDoor(self.api, config, self._configurer.folder, metrics=site.metrics, is_whole=site.http is not None)

    def _is_ready(self) -> bool:
        """Return whether the ledger is open, shadows are back and every port was tried."""
        recorder = self._recorder
        is_open = recorder is None or recorder.committer.openings > 0
        return is_open and self._dispatch.is_known.is_set() and self._looks.were_tried()

    def _make_recorder(self, site: SiteConfig) -> Recorder:
        """Return what records the devices that are wired. Raises: ConfigError for sizes that make no ledger."""
        from gateway.ledger.opening import check_geometry

        boot = {"boot": self.boot, "version": self.version, "site": digest_of(site)}
        folder = self.data_dir / "ledger"
        recorder = Recorder(
            lambda: self._means.open_ledger(folder, options, self._clock),
            self._clock,
            boot=boot,
            committer=self._means.committer,
            reader=lambda: Ledger.open(folder, read_only=True),
            gather_s=duration_ns(site.ledger.gather) / _NS,
            quality=self._means.quality,
            transforms=self._transforms,
        )
        for device in self._devices():
            recorder.attach(device)
        options = site.ledger.options(recorder.keeps(), tells_early=site.mqtt is not None or site.http is not None)
        try:
            check_geometry(options)
        except UsageError as error:
            raise ConfigError([Problem("", 0, "ledger.ring", str(error))]) from error
        return recorder

    def _discoveries(self) -> list[Discovery]:
        return [discovery for keeper in self._keepers for discovery in keeper.discoveries]

    def _devices(self) -> list[Device]:
        return self._roster.devices
