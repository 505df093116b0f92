"""Layer 9: `doctor`: are the libraries installed that what is there, or the site, needs."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from gateway.cli.doctor.host import Finding, Host
from gateway.sysfs import bluetooth_adapters, can_interfaces, serial_nodes, spi_nodes

MODULES: Final = {  # extra: what it brings, and for which bus
    "uart": (("serial",), "uart"),
    "can": (("can", "cantools"), "can"),
    "ble": (("bleak", "cryptography"), "ble"),
    "spi": (("spidev",), "spi"),
    "udev": (("pyudev",), "uart"),
}


def extras(host: Host, buses: Collection[str] = ()) -> Iterator[Finding]:
    """Give what is missing of the extras. `buses`: those of a site; without one, those that are there count."""
    present = {
        "uart": bool(serial_nodes(host.root)),
        "can": bool(can_interfaces(host.root)),
        "ble": bool(bluetooth_adapters(host.root)),
        "spi": bool(spi_nodes(host.root)),
    }
    for extra, (modules, bus) in MODULES.items():
        missing = [module for module in modules if not host.has_module(module)]
        if not missing:
            yield Finding("extras", "ok", f"{extra}: {', '.join(modules)}")
        elif bus in buses or (not buses and present[bus]):
            yield Finding(
                "extras",
                "warn" if extra == "udev" else "fail",
                f"{', '.join(missing)} is missing",
                f"pip install 'tidegate[{extra}]'",
            )
        else:
            yield Finding(
                "extras", "skip", f"{extra}: {', '.join(missing)} is not installed, and nothing here needs it"
            )
