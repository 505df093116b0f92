"""Tests on a real kernel, in a guest of `make rig`. Nothing here is collected outside of it (pyproject.toml)."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
BLUETOOTHD = "/usr/libexec/bluetooth/bluetoothd"
APPEAR_S = 90.0
END_S = 10.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.kernel)


@pytest.fixture(scope="session")
def bluetoothd(tmp_path_factory) -> Iterator[None]:
    """The system bus and bluetoothd. Only in a guest: a machine of its own has both already."""
    if "TIDEGATE_RIG_REPORT" not in os.environ:
        pytest.skip("runs in the guest of the kernel rig: make rig")
    for program in ("dbus-daemon", "bluetoothctl", BLUETOOTHD):
        assert shutil.which(program), f"{program} is not installed; run: apt install bluez dbus"
    subprocess.run(["modprobe", "-a", "hci_vhci", "bluetooth"], check=True)
    Path("/run/dbus").mkdir(exist_ok=True)
    Path("/run/dbus/pid").unlink(missing_ok=True)
    Path("/var/lib/bluetooth").mkdir(parents=True, exist_ok=True)
    log = tmp_path_factory.mktemp("bluez") / "bluetoothd.log"
    with contextlib.ExitStack() as stack:
        if not Path("/run/dbus/system_bus_socket").exists():
            bus = subprocess.Popen(["dbus-daemon", "--system", "--nofork", "--nopidfile"])
            stack.callback(bus.wait)
            stack.callback(bus.kill)
            until_s = time.monotonic() + APPEAR_S
            while not Path("/run/dbus/system_bus_socket").exists() and time.monotonic() < until_s:
                time.sleep(0.05)
        stack.callback(_keep_running([BLUETOOTHD, "-n"], log))
        yield


def _keep_running(command: list[str], log: Path) -> Callable[[], None]:
    """Run a daemon and start it again when it ends, as systemd does; return what ends it for good.

    bluetoothd 5.66 itself crashes when its adapter goes in the middle of a connect.
    """
    ended = threading.Event()
    running: list[subprocess.Popen[bytes]] = []

    def run() -> None:
        while not ended.is_set():
            with log.open("ab") as output:
                running[:] = [subprocess.Popen(command, stdout=output, stderr=output)]
            running[0].wait()

    def end() -> None:
        ended.set()
        for process in running:
            process.kill()
        thread.join(END_S)

    thread = threading.Thread(target=run, name="asyncio bluetoothd", daemon=True)
    thread.start()
    return end
