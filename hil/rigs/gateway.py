"""The fixture `gateway` of every rig: a whole gateway in this process, on the rig's ports.

What it is asked and told is the same everywhere; how its loop runs, in the rig's time or beside the test, is the
subclass's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from gateway.app import Gateway
from gateway.authority.decision import Caller
from gateway.authority.settings import GrantConfig
from gateway.config import DeviceConfig, GatewayConfig, SecretConfig, SiteConfig
from gateway.errors import UsageError
from gateway.ledger.settings import LedgerConfig
from gateway.profile.load import INSTALLED, example_profile, find_profile
from gateway.route import RoutePattern, Variant, parse_route
from gateway.spelling import did_you_mean
from hil.durations import Timeout, timeout_ns
from hil.facts import Facts
from hil.rigs.coverage import Coverage
from hil.rigs.toml import toml_text
from hil.rigs.waiting import NotCameError, explained

__tracebackhide__ = True  # pytest shows the line of the test instead

STANDARD_TIMEOUT: Final = "10s"
PRINCIPAL: Final = "service:hil"
CALLER: Final = Caller(principal=PRINCIPAL)
MOST_WAIT_S: Final = 60.0  # of one call of the command path
EVERYTHING: Final = RoutePattern("*")
_NS: Final = 1_000_000_000

Params = Mapping[str, int | str | SecretConfig]
T = TypeVar("T")


class RigGateway(ABC):
    """`add` devices, `wait` for their values, `get` and `set` them."""

    def __init__(self, rig: Any) -> None:
        self.folder: Path | None = None  # where relative profile paths start, before the working folder
        self.data_dir: Path = rig.disk.folder.parent / "gateway"
        self._rig = rig
        self._world = rig.world
        self._site = SiteConfig(
            gateway=GatewayConfig(name="hil"),
            ledger=LedgerConfig(footprint="small"),
            grants={"hil": GrantConfig(principal=PRINCIPAL, routes="**", verbs=["read", "write", "admin"])},
        )
        self._gateway: Gateway | None = None
        self._given: dict[str, int] = {}  # number of what `wait` returned last, by route
        self._coverage = Coverage()

    # ---- what a test does

    def add(self, name: str, profile: str | Path = "", port: str = "", params: Params | None = None) -> None:
        """Add a device: a profile's name or file, and the resource that it is on.

        The gateway opens the port at once. A key among `params` may be given as hex digits: it goes into a file, as a
        site keeps it. Raises: ValueError for what cannot be, naming the nearest that can.
        """
        if not profile or not port:
            raise ValueError(f"device {name!r}: give profile= and port=, for example port='uart0'")
        if name in self._site.devices:
            raise ValueError(f"there is a device {name!r} already")
        path = self._profile(str(profile))
        config = DeviceConfig(profile=str(path), port=self._port_text(port), params=self._given_to(name, path, params))
        before = self._site
        self._site = msgspec.structs.replace(before, devices={**before.devices, name: config})
        try:
            if self._gateway is None:
                self._begin()
            else:
                self._reload()
        except BaseException:
            self._site = before
            raise

    def wait(
        self, route: str, timeout: Timeout = STANDARD_TIMEOUT, *, until: Callable[[Any], bool] | None = None
    ) -> Facts:
        """Return a route's next value: one that no `wait` for it returned before; with `until`, one that it accepts.

        Facts: `value units t_ns age_s stale taints seq`. Raises: NotCameError (an AssertionError and a TimeoutError)
        saying what is known instead; ValueError for no route of a device.
        """
        self._known_route(route)
        limit_ns = timeout_ns(timeout)
        world, wanted = self._world, RoutePattern(route)
        rejected: list[Any] = []

        def look() -> Facts | None:
            found = self._look(wanted)
            if found is None or found.value is None or found.stale or self._given.get(route) == found.seq:
                return None
            if until is not None and not until(found.value):
                rejected[:] = [found.value]
                return None
            return found

        found: Facts | None = self._wait_for(look, world.now_ns + limit_ns)
        self._check_alive()
        if found is None:
            raise NotCameError(
                explained(route, limit_ns, self._do(lambda: self._look(wanted)), self.status(), rejected)
            )
        self._given[route] = found.seq
        self._note_coverage()
        return found

    def get(self, route: str) -> Facts:
        """Return what is known of a route now; `value` is None where nothing came. Raises: ValueError for no route."""
        self._known_route(route)
        self._note_coverage()
        return self._do(lambda: self._look(RoutePattern(route))) or Facts(self._asked("get", {"route": route}))

    def set(self, route: str, value: Any, timeout: Timeout = STANDARD_TIMEOUT) -> Facts:
        """Set a setpoint and wait for what comes of it: `outcome reason reported effective attempts detail` and more.

        `outcome` is None where nothing came of it in time. Raises: ValueError, PermissionError for what is refused.
        """
        limit_s = min(timeout_ns(timeout) / _NS, MOST_WAIT_S)
        self._known_route(route)
        told = Facts(self._asked("set", {"route": route, "value": value, "wait_s": limit_s}))
        if told.reason == "unknown_route":
            raise ValueError(told.detail)
        self._note_coverage()
        if told.id is not None:
            device, _, setpoint = route.partition("/")
            self._coverage.set(device, setpoint)
        return told

    def device(self, name: str) -> Facts:
        """Return what is known of a device: `state reason first_error last_error stale health` and more."""
        self._known(name)
        return Facts(next(each for each in self._do(self._started.queries.devices) if each["name"] == name))

    def latest(self, device: str) -> list[dict[str, Any]]:
        """Return the latest values of each message of a device: `message values units age stale taints` and more."""
        self._known(device)
        return [each for each in self._do(self._started.queries.latest) if each["device"] == device]

    def status(self) -> dict[str, Any]:
        """Return what the gateway says of itself: the object of `tidegate status --json`."""
        return self._do(self._started.status)

    @property
    def covered(self) -> dict[str, Any]:
        """Return which values and setpoints of each device's profile were exercised so far."""
        self._note_coverage()
        return self._coverage.facts()

    # ---- how it runs

    @abstractmethod
    def close(self) -> None:
        """Stop the gateway; what it kept stays until the run is over. May be called twice."""

    @abstractmethod
    def _port_text(self, port: str) -> str:
        """Return the port text of a resource. Raises: ValueError naming the nearest."""

    @abstractmethod
    def _begin(self) -> None:
        """Start it with the first device. Raises: ConfigError, ProfileError, PortError."""

    @abstractmethod
    def _do(self, work: Callable[[], T]) -> T:
        """Return what `work` returns in the gateway's loop, once that did what is to be done now."""

    @abstractmethod
    def _finish(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what `work` comes to in the gateway's loop. Raises: GatewayError."""

    @abstractmethod
    def _wait_for(self, look: Callable[[], T | None], until_ns: int) -> T | None:
        """Let time pass until `look` returns something in the gateway's loop, or `until_ns` has come."""

    @abstractmethod
    def _check_alive(self) -> None:
        """Raise what ended the gateway, if anything did."""

    def _asked(self, name: str, args: dict[str, Any]) -> dict[str, Any]:
        """Return an answer of the door that every caller takes. Raises: GatewayError."""
        return self._finish(self._started.asks.answer(name, args, CALLER))

    @property
    def _started(self) -> Gateway:
        if self._gateway is None:
            raise ValueError("the gateway has no device yet; gateway.add(name, profile=, port=) gives it one")
        return self._gateway

    def _reload(self) -> None:
        """Take another device in. Raises: UsageError with what is wrong."""
        self._write_site()
        told = self._asked("reload", {"back_within_s": 0})
        if told["outcome"] not in {"applied", "unchanged"}:
            self._site_back()
            raise UsageError(told["detail"])
        self._do(_nothing)
        name = list(self._site.devices)[-1]
        reason = self.device(name).reason if self.device(name).state == "FAILED" else None
        if reason:  # its port cannot be what it is for, which the gateway lives with, and no test should
            self._site_back()
            self._asked("reload", {"back_within_s": 0})
            raise UsageError(reason)

    def _site_back(self) -> None:
        without = dict(list(self._site.devices.items())[:-1])
        self._site = msgspec.structs.replace(self._site, devices=without)
        self._write_site()

    def _write_site(self) -> Path:
        path = self.data_dir / "site.toml"
        path.write_text(toml_text(msgspec.to_builtins(self._site)), encoding="utf-8")
        return path

    # ---- what is known

    def _profile(self, name: str) -> Path:
        """Return the file of a profile. Raises: UsageError naming the nearest."""
        for folder in (self.folder, Path.cwd()):
            if folder is not None and (folder / name).is_file():
                return (folder / name).resolve()
        return find_profile(name, None, self.data_dir / INSTALLED)

    def _given_to(self, device: str, profile: Path, params: Params | None) -> dict[str, int | str | SecretConfig]:
        """Return what a device's parameters are set to: a key by reference only, as the gateway wants it."""
        given = dict(params or {})
        texts = {name: value for name, value in given.items() if isinstance(value, str)}
        specs = example_profile(profile).params if texts else {}
        for name, value in texts.items():
            if name in specs and specs[name].type == "key":
                file = self.data_dir / f"{device}.{name}.secret"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(value, encoding="ascii")
                given[name] = SecretConfig(file=str(file))
        return given

    def _known(self, device: str) -> None:
        if device not in self._site.devices:
            raise ValueError(f"the gateway has no device {device!r}{did_you_mean(device, self._site.devices)}")

    def _known_route(self, text: str) -> None:
        """Raise ValueError, naming the nearest, for what is no value and no setpoint of a device that is there."""
        route, _ = parse_route(str(text))
        self._known(route.owner)
        if route.variant is Variant.VALUE:
            owner = RoutePattern(route.owner)
            known = [each["route"] for each in self._do(lambda: self._started.queries.routes(owner))]
            if text not in known:
                raise ValueError(f"{route.owner} has no value {text!r}{did_you_mean(text, known)}")

    def _look(self, route: RoutePattern) -> Facts | None:
        """Return what is known of a value; None where there is none."""
        found = self._started.queries.values(route)
        if not found:
            return None
        age_s = found[0]["age_s"]
        came_ns = None if age_s is None else self._world.now_ns - round(age_s * _NS)
        return Facts({**found[0], "t_ns": came_ns})

    def _note_coverage(self) -> None:
        if self._gateway is not None:
            self._do(self._look_at_all)

    def _look_at_all(self) -> None:
        queries = self._started.queries
        profiles = {each["name"]: each["profile"] for each in queries.devices()}
        self._coverage.look(queries.latest(), queries.routes(EVERYTHING), profiles)


def _nothing() -> None:
    """Let what is to be done now be done."""
