"""When what a board did happened: on the agent's clock, and on the runner's."""

from __future__ import annotations

import threading
import time

from gateway.clock import SystemClock
from hil.agent.client import connect
from tests.hil.agent.agents import PlayedPort, payloads, serving
from tests.waiting import until

DAY_NS = 86_400 * 10**9
FAST = {"beat_s": 0.05, "silence_s": 20.0}


class JumpingClock(SystemClock):
    """The machine's clock, until it jumps."""

    def __init__(self):
        self.ahead_ns = 0

    def monotonic_ns(self):
        return super().monotonic_ns() + self.ahead_ns


def test_each_record_of_a_read_has_its_own_stamp_where_the_port_knows_it():
    port = PlayedPort()
    with serving(port) as (_, address), connect(address, "uart0") as stream:
        port.feed(b"a", b"b", address=0x10, stamp_ns=1000, ages_ns=[700, 300])
        assert [record[:2] for record in stream.read(20)] == [(300, b"a"), (700, b"b")]


def test_a_write_tells_when_the_agent_gave_it_to_the_port_before_anything_that_came_after_it():
    port = PlayedPort()
    events = []
    with serving(port) as (_, address), connect(address, "uart0") as stream:
        before_ns = time.monotonic_ns()

        async def answered(data, address=None):
            port.feed(b"pong")

        port.write = answered
        reader = threading.Thread(target=lambda: events.extend(payloads(stream, 1)))
        reader.start()
        stream.write(b"ping", taken=events.append)
        reader.join(30)
    stamp_ns, answer = events
    assert before_ns <= stamp_ns <= time.monotonic_ns()  # both clocks are this machine's
    assert answer == b"pong"


def test_a_clock_of_the_agent_that_jumps_is_followed():
    port, clock = PlayedPort(), JumpingClock()
    with serving(port, clock=clock) as (_, address), connect(address, "uart0", **FAST) as stream:
        assert abs(stream.clock_offset.offset_ns) <= stream.clock_offset.uncertainty_ns
        for ahead_ns in (DAY_NS, -DAY_NS):
            clock.ahead_ns = ahead_ns
            until(lambda wanted=ahead_ns: abs(stream.clock_offset.offset_ns - wanted) < 10**9)
            port.feed(b"x", stamp_ns=clock.monotonic_ns())
            (record,) = stream.read(20)
            assert abs(stream.local_ns(record.stamp_ns) - time.monotonic_ns()) < 30 * 10**9
