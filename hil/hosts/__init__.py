"""The far ends of every driver on one machine, without root and without hardware.

    async with host_rig("uart") as (make, wire):
        assert await check_driver(make, wire) == []

`make()` returns an unopened port of the real driver; `wire` is what is at the other end of it (`hil.hosts.wire.Wire`).
One module for each bus, loaded when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from importlib import import_module
from typing import Final

from gateway.port import Port
from hil.hosts.wire import Wire

Rig = tuple[Callable[[], Port], Wire]

NAMES: Final = ("uart", "canbus", "ble", "spi", "replay")


def host_rig(name: str) -> AbstractAsyncContextManager[Rig]:
    """Return the rig of one driver: an async context manager that gives `(make, wire)`.

    Raises: ValueError for a name that is none of NAMES; entering raises RigUnavailableError, with the reason, where
    this host cannot carry it.
    """
    if name not in NAMES:
        raise ValueError(f"no rig {name!r}; one of {', '.join(NAMES)}")
    rig: AbstractAsyncContextManager[Rig] = import_module(f"hil.hosts.{name}").rig()
    return rig
