"""A D-Bus daemon of our own, which stands in for the system's while it runs."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from hil.hosts.wire import RigUnavailableError

VARIABLE: Final = "DBUS_SYSTEM_BUS_ADDRESS"
STOP_S: Final = 3.0


@contextlib.contextmanager
def private_bus() -> Iterator[str]:
    """Give the address of a new bus; for this process it is the system bus until the block ends.

    Raises: RigUnavailableError where there is no dbus-daemon.
    """
    daemon = shutil.which("dbus-daemon")
    if daemon is None:
        raise RigUnavailableError("dbus-daemon is not installed; run: sudo apt install dbus-daemon")
    with tempfile.TemporaryDirectory(prefix="tidegate-") as folder:
        address = f"unix:path={Path(folder) / 'bus'}"
        command = [daemon, "--session", f"--address={address}", "--nofork", "--nopidfile", "--print-address"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # noqa: S603 - our own words
        before = os.environ.get(VARIABLE)
        try:
            assert process.stdout is not None
            if not process.stdout.readline():  # the address, once it listens
                said = process.stderr.read().decode(errors="replace").strip() if process.stderr else ""
                raise RigUnavailableError(f"dbus-daemon does not start: {said}")
            os.environ[VARIABLE] = address
            yield address
        finally:
            if before is None:
                os.environ.pop(VARIABLE, None)
            else:
                os.environ[VARIABLE] = before
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=STOP_S)
            process.kill()
            process.communicate()
