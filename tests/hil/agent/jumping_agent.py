"""An agent whose machine's clock jumps by a day: ahead on SIGUSR1, back on SIGUSR2.

python -m tests.hil.agent.jumping_agent PORT
"""

from __future__ import annotations

import asyncio
import signal
import sys
from functools import partial

from drivers.uart import DRIVER
from gateway.clock import SystemClock
from gateway.profile.model import LinkSpec
from hil.agent.server import Agent
from hil.agent.wire import Wire

DAY_NS = 86_400 * 10**9


class JumpingClock(SystemClock):
    def __init__(self):
        self.ahead_ns = 0

    def monotonic_ns(self):
        return super().monotonic_ns() + self.ahead_ns

    def wall_ns(self):
        return super().wall_ns() + self.ahead_ns

    def jump(self, by_ns):
        self.ahead_ns += by_ns


async def main(port):
    clock = JumpingClock()
    for number, by_ns in ((signal.SIGUSR1, DAY_NS), (signal.SIGUSR2, -DAY_NS)):
        asyncio.get_running_loop().add_signal_handler(number, clock.jump, by_ns)
    wire = Wire("uart0", "uart", partial(DRIVER.make, port, LinkSpec(bus="uart", baud=115200), clock))

    def ready(host, at):
        print(f"serving a (uart0) on {host}:{at}", file=sys.stderr, flush=True)

    await Agent("a", [wire], clock=clock).listen("127.0.0.1", 0, None, ready)


asyncio.run(main(*sys.argv[1:]))
