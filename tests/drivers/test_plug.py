"""Plug events: one socket for all listeners, and none where there is nobody to tell."""

from __future__ import annotations

import asyncio
import os
from types import SimpleNamespace
from typing import Any

import pytest

from drivers._plug import PlugEvent, PlugWatch, open_monitor
from gateway.errors import DriverError


class Told:
    """A pyudev monitor whose events are ours."""

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe()
        self._events: list[Any] = []
        self.fails = False

    def tell(self, action: str, name: str, subsystem: str = "tty") -> None:
        self._events.append(SimpleNamespace(action=action, subsystem=subsystem, sys_name=name))
        os.write(self._writing, b"x")

    def fileno(self) -> int:
        return self._reading

    def poll(self, _timeout: float) -> Any:
        if not self._events:
            return None
        os.read(self._reading, 1)
        event = self._events.pop(0)
        if event.action == "overflow":
            raise OSError(105, "No buffer space available")
        return event


def run_with(scenario: Any) -> Any:
    told = Told()

    async def within() -> Any:
        async with asyncio.timeout(60):
            return await scenario(told, PlugWatch(lambda: told))

    return asyncio.run(within())


def test_every_listener_hears_every_event_until_it_ends():
    async def scenario(told: Told, watch: PlugWatch) -> Any:
        first: asyncio.Queue[PlugEvent] = asyncio.Queue()
        second: asyncio.Queue[PlugEvent] = asyncio.Queue()
        watch.listen(first.put_nowait)
        end = watch.listen(second.put_nowait)
        told.tell("add", "ttyUSB0")
        heard = [await first.get(), await second.get()]
        end()
        told.tell("remove", "ttyUSB0")
        return [*heard, await first.get()], second.empty()

    added, removed = PlugEvent("add", "tty", "ttyUSB0"), PlugEvent("remove", "tty", "ttyUSB0")
    assert run_with(scenario) == ([added, added, removed], True)


def test_the_socket_is_open_only_while_somebody_listens():
    async def scenario(_told: Told, watch: PlugWatch) -> Any:
        before = watch.is_watching
        ends = [watch.listen(lambda _event: None) for _ in range(2)]
        during = watch.is_watching
        ends[0]()
        still = watch.is_watching
        ends[1]()
        ends[1]()
        return before, during, still, watch.is_watching

    assert run_with(scenario) == (False, True, True, False)


def test_lost_events_end_a_turn_and_later_ones_are_heard():
    async def scenario(told: Told, watch: PlugWatch) -> Any:
        heard: asyncio.Queue[PlugEvent] = asyncio.Queue()
        watch.listen(heard.put_nowait)
        told.tell("overflow", "")
        told.tell("add", "can0", "net")
        return await heard.get()

    assert run_with(scenario) == PlugEvent("add", "net", "can0")


@pytest.mark.parametrize("error", [DriverError("pyudev is not installed"), OSError("no netlink")])
def test_without_a_source_listening_is_quiet_and_does_no_harm(error: Exception):
    def no_source() -> Any:
        raise error

    async def scenario() -> bool:
        watch = PlugWatch(no_source)
        end = watch.listen(lambda _event: None)
        watching = watch.is_watching
        end()
        return watching

    assert asyncio.run(scenario()) is False


def test_the_kernel_s_own_socket_opens_without_root():
    pytest.importorskip("pyudev")
    try:
        monitor = open_monitor()
    except (DriverError, OSError) as error:
        pytest.skip(f"no netlink here: {error}")
    assert monitor.fileno() > 0
    assert monitor.poll(0) is None
