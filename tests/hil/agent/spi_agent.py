"""A process of its own: an agent over TLS with a flash chip on the shipped spidev without hardware.

python -m tests.hil.agent.spi_agent FOLDER CERTIFICATE AUTHORITY [PORT]
"""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from pathlib import Path

from drivers._spi_bus import Buses
from drivers.spi import SpiPort
from gateway.clock import SystemClock
from gateway.profile.model import LinkSpec
from hil.agent.server import Agent
from hil.agent.tls import Papers
from hil.agent.wire import Wire
from hil.sim.spi.fake import FakeBus
from hil.sim.spi.w25q import W25q

LINK = LinkSpec(bus="spi", mode=0, speed_hz=1_000_000)


def main(folder, certificate, authority, port="0"):
    bus = FakeBus(Path(folder))
    bus.plug("spidev0.0", W25q())
    make = partial(SpiPort, str(bus.path("spidev0.0")), LINK, SystemClock(), Buses(), bus.device)
    papers = Papers(Path(certificate), Path(certificate), Path(authority))
    agent = Agent("a", [Wire("spi0", "spi", make)])

    def ready(host, at):
        print(f"serving a (spi0) on {host}:{at}, TLS", file=sys.stderr, flush=True)

    asyncio.run(agent.listen("127.0.0.1", int(port), papers, ready))


main(*sys.argv[1:])
