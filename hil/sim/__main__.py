"""Simulated devices in a process of their own, for a gateway in another: `python -m hil.sim FOLDER`.

The folder gets the devices' wires and `site.toml`, with the gateway's data beside them; the first line on the standard
output is that file's path. Then each line on the standard input is an order (`orders.py`), answered by one line. Ends
with the input, or with a signal where the input has none. A gateway may come, be killed and come again meanwhile.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Final

from gateway.config import SiteConfig
from hil.sim.rig import Rig

READ_BYTES: Final = 65536


def site_text(site: SiteConfig, data: Path) -> str:
    """Return the site file, in TOML."""
    lines = ["[gateway]", f"name = {_quoted(site.gateway.name or '')}", f"data = {_quoted(str(data))}"]
    for name, device in site.devices.items():
        facts = {"profile": device.profile, "port": device.port, "label": device.label}
        lines += ["", f"[device.{name}]", *(f"{key} = {_quoted(value)}" for key, value in facts.items() if value)]
    return "\n".join([*lines, "", "[ledger]", f"footprint = {_quoted(site.ledger.footprint)}", ""])


def _quoted(text: str) -> str:
    """Return a TOML literal string: a path in it is as it is."""
    return f"'{text}'"


def _serve(rig: Rig, stop: asyncio.Event) -> None:
    """Take orders from the standard input until it ends; where it cannot be waited for, none come."""
    loop = asyncio.get_running_loop()
    pending = b""

    def read() -> None:
        nonlocal pending
        data = os.read(0, READ_BYTES)
        *lines, pending = (pending + data).split(b"\n")
        for line in lines:
            _say(rig.obey(line.decode(errors="replace")))
        if not data:
            loop.remove_reader(0)
            stop.set()

    try:
        loop.add_reader(0, read)
    except PermissionError:  # a file, or /dev/null
        return


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def _live(folder: Path) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    site = folder / "site.toml"
    with Rig(folder, for_others=True) as rig:
        site.write_text(site_text(rig.site(), folder / "data"), encoding="utf-8")
        async with asyncio.TaskGroup() as group:
            living = group.create_task(rig.run(), name="devices")
            _serve(rig, stop)
            _say(str(site))
            await stop.wait()
            living.cancel()
        site.unlink(missing_ok=True)


def main() -> None:
    """Let the devices live in the folder that the command line names."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m hil.sim FOLDER")
    asyncio.run(_live(Path(sys.argv[1]).absolute()))


if __name__ == "__main__":
    main()
