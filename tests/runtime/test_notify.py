"""What a service manager hears, on a socket as systemd opens it."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

from gateway.runtime.notify import Notifier
from tests.waiting import first_met


def heard(folder: Path, seconds: float, **environment: str) -> list[str]:
    """Run a notifier for a while against a socket of ours; return the lines."""
    path = folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        path.unlink(missing_ok=True)
        manager.bind(str(path))
        manager.setblocking(False)

        async def run() -> None:
            notifier = Notifier({"NOTIFY_SOCKET": str(path), **environment})
            try:
                async with asyncio.timeout(seconds):
                    await notifier.run(lambda: "1 of 1 devices connected")
            except TimeoutError:
                pass

        asyncio.run(run())
        found = []
        while True:
            try:
                found += manager.recv(4096).decode().splitlines()
            except BlockingIOError:
                return found


def test_a_manager_hears_of_a_reload_from_when_it_began(tmp_path: Path) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        notifier = Notifier({"NOTIFY_SOCKET": str(path)})
        notifier.reloading()
        notifier.ready()
        first, begun = manager.recv(4096).decode().splitlines()
        assert (first, begun.partition("=")[0], manager.recv(4096)) == ("RELOADING=1", "MONOTONIC_USEC", b"READY=1")


def test_a_manager_hears_ready_first_how_it_stands_and_that_it_stops(tmp_path: Path) -> None:
    assert heard(tmp_path, 0.2) == ["READY=1", "STATUS=1 of 1 devices connected", "STOPPING=1"]


def test_a_watchdog_is_fed_twice_as_often_as_it_asks(tmp_path: Path) -> None:
    def fed() -> int:
        return heard(tmp_path, 1.1, WATCHDOG_USEC="400000", WATCHDOG_PID=str(os.getpid())).count("WATCHDOG=1")

    assert first_met(fed, lambda times: times >= 3) >= 3


def test_a_watchdog_of_another_process_is_not_ours_to_feed(tmp_path: Path) -> None:
    assert "WATCHDOG=1" not in heard(tmp_path, 0.2, WATCHDOG_USEC="100000", WATCHDOG_PID="1")


def test_without_a_manager_nothing_is_sent_and_nothing_waits() -> None:
    assert asyncio.run(asyncio.wait_for(Notifier({}).run(lambda: "x"), 30)) is None


def test_a_manager_that_went_away_stops_nobody(tmp_path: Path) -> None:
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).tell("READY=1")
    assert list(tmp_path.iterdir()) == []
