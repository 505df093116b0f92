"""Layer 4: finds driver and transform plugins by entry point and says in one line what is missing.

Nothing is imported before it is asked for; a plugin that fails to load is reported as a value and stops no other.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any, Final

from gateway.driver import Driver
from gateway.errors import DriverError
from gateway.profile.model import Profile

log = logging.getLogger(__name__)

GROUP: Final = "gateway.drivers"
TRANSFORMS: Final = "gateway.transforms"

TransformFunction = Callable[[Mapping[str, Any]], Mapping[str, Any]]

_EXTRA_OF_BUS: Final = {"uart": ("serial", "uart"), "can": ("can", "can"), "spi": ("spidev", "spi")}


def drivers() -> dict[str, Driver | DriverError]:
    """Return every driver plugin by name; one that cannot be loaded is the error that says why."""
    return {name: load_driver(entry) for name, entry in sorted(_entries().items())}


def driver_for(target: str, bus: str) -> Driver:
    """Return the driver that claims the port text `target` of a device on `bus`.

    The plugin that the text names (`replay:...`) is asked first, then the one named as the bus, then the others.
    Raises: DriverError with the install command or what is broken, in one line.
    """
    entries = _entries()
    wanted = dict.fromkeys([target.partition(":")[0], bus, *sorted(entries)])
    broken: list[DriverError] = []
    for name in wanted:
        if name not in entries:
            continue
        driver = load_driver(entries[name])
        if isinstance(driver, DriverError):
            broken.append(driver)
        elif driver.claims(target, bus):
            return driver
    raise broken[0] if broken else _nothing_for(target, bus)


def load_driver(entry: EntryPoint) -> Driver | DriverError:
    """Return the plugin behind `entry`, or why it is none."""
    try:
        driver = entry.load()
    except Exception as error:  # noqa: BLE001 - plugin loading: whatever is wrong with one must not stop the others
        return DriverError(f"driver {entry.name!r} ({entry.value}) is broken: {type(error).__name__}: {error}")
    lacking = [part for part in ("name", "make", "claims") if not hasattr(driver, part)]
    if lacking:
        return DriverError(f"driver {entry.name!r} ({entry.value}) is broken: it has no {', '.join(lacking)}")
    return driver  # type: ignore[no-any-return]  # the protocol's members were looked for above


def transforms() -> dict[str, TransformFunction]:
    """Return every transform plugin by name, the built-in ones too; one that cannot be loaded is told and left out."""
    found = {name: load_transform(entry) for name, entry in sorted(_entries(TRANSFORMS).items())}
    return {name: function for name, function in found.items() if function is not None}


def transforms_of(*profiles: Profile) -> dict[str, TransformFunction]:
    """Return the transforms that profiles use, as far as they are installed."""
    messages = [spec for profile in profiles for spec in profile.message.values()]
    used = {spec.transform.use for spec in messages if spec.transform is not None}
    found = (
        {name: load_transform(entry) for name, entry in _entries(TRANSFORMS).items() if name in used} if used else {}
    )
    return {name: function for name, function in found.items() if function is not None}


def load_transform(entry: EntryPoint) -> TransformFunction | None:
    """Return the function behind `entry`; None, and a line in the log, if it is none."""
    try:
        function = entry.load()
    except Exception as error:  # noqa: BLE001 - plugin loading: whatever is wrong with one must not stop the others
        log.warning("transform %r (%s) is broken: %s: %s", entry.name, entry.value, type(error).__name__, error)
        return None
    if not callable(function):
        log.warning("transform %r (%s) is broken: it is no function", entry.name, entry.value)
        return None
    return function  # type: ignore[no-any-return]  # what it takes and gives shows when it is called


def require(module: str, extra: str) -> ModuleType:
    """Import a hardware library. Raises: DriverError with the command that installs it."""
    try:
        return import_module(module)
    except ImportError as error:
        top = module.partition(".")[0]
        raise DriverError(f"{top} is not installed; run: pip install 'tidegate[{extra}]'") from error


def _entries(group: str = GROUP) -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=group)}


def _nothing_for(target: str, bus: str) -> DriverError:
    if bus in _EXTRA_OF_BUS:
        try:
            require(*_EXTRA_OF_BUS[bus])
        except DriverError as error:
            return DriverError(f"{target}: {error}")
    return DriverError(
        f'{target}: no driver for bus {bus!r} is installed; port = "replay:FILE" plays a recording of one'
    )
