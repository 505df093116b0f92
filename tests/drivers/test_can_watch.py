from __future__ import annotations

import asyncio
import errno
import logging
import os
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from drivers._can_netlink import LinkFacts
from drivers._can_watch import BusWatch
from gateway.frame import CAN_ERROR
from gateway.testing import FakeClock, run_on_fake_clock

WELL = LinkFacts("can", "error-active", 0, 500_000, False, True, (0, 0), {})
OFF = (CAN_ERROR | 0x40, bytes(8))
RESTARTED = (CAN_ERROR | 0x100, bytes(8))
WARNING = (CAN_ERROR | 0x204, bytes.fromhex("0004000000000060"))


class Controller:
    """A controller that is restarted as often as it is asked to, or refuses with an error number."""

    name = "can7"

    def __init__(self, clock, facts=WELL, *, refusal=0, is_able=True):
        self.clock, self.state_facts, self.refusal, self.is_able = clock, facts, refusal, is_able
        self.asked_s = []

    def facts(self):
        if self.state_facts is None:
            raise OSError(errno.ENODEV, "gone")
        return self.state_facts

    def can_restart(self):
        return self.is_able

    def restart(self):
        self.asked_s.append(self.clock.monotonic_ns() / 1e9)
        if self.refusal:
            raise OSError(self.refusal, os.strerror(self.refusal))

    def becomes(self, **facts):
        self.state_facts = self.state_facts._replace(**facts)


class Inline(ThreadPoolExecutor):
    """Fake time knows no threads."""

    def submit(self, fn, /, *args, **kwargs):
        done = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except OSError as error:
            done.set_exception(error)
        return done


def watch(story, *, facts=WELL, **kind):
    """Run `story(watch, controller)` on a fake clock and return what it returns."""
    clock = FakeClock(monotonic_ns=1)
    controller = Controller(clock, facts, **kind)

    async def scenario():
        asyncio.get_running_loop().set_default_executor(Inline())
        watching = BusWatch("can7", clock, controller)
        watching.begin(500_000)
        try:
            return await story(watching, controller)
        finally:
            watching.end()

    return run_on_fake_clock(scenario(), clock)


def lines(caplog, start):
    return [record.getMessage() for record in caplog.records if record.getMessage().startswith(start)]


async def off(watching, controller):
    controller.becomes(state="bus-off")
    watching.hear(*OFF)


def test_a_controller_in_bus_off_that_nobody_restarts_is_restarted_by_us_ever_more_slowly():
    async def story(watching, controller):
        await off(watching, controller)
        await asyncio.sleep(4)
        return controller.asked_s

    asked = watch(story)
    assert [round(each, 2) for each in asked] == [0.25, 0.75, 1.75, 3.75]


@pytest.mark.parametrize("kind", [{"facts": WELL._replace(restart_ms=100)}, {"is_able": False}])
def test_a_controller_that_the_kernel_restarts_or_that_cannot_be_restarted_is_left_alone(kind):
    async def story(watching, controller):
        await off(watching, controller)
        await asyncio.sleep(10)
        return controller.asked_s

    assert watch(story, **kind) == []


def test_a_restart_that_helped_is_the_last():
    async def story(watching, controller):
        await off(watching, controller)
        await asyncio.sleep(0.3)
        controller.becomes(state="error-active")
        watching.hear(*RESTARTED)
        await asyncio.sleep(60)
        return len(controller.asked_s), watching.is_off, watching.health()["restarts"]

    assert watch(story) == (1, False, 1)


def test_a_restart_that_is_not_permitted_is_told_once_with_the_command(caplog):
    async def story(watching, controller):
        await off(watching, controller)
        await asyncio.sleep(60)
        return len(controller.asked_s)

    assert watch(story, refusal=errno.EPERM) == 1
    (line,) = lines(caplog, "bus restart refused")
    assert line.endswith("run: sudo ip link set can7 type can restart")


def test_a_controller_that_came_back_before_it_was_asked_is_no_refusal(caplog):
    async def story(watching, controller):
        await off(watching, controller)
        await asyncio.sleep(1)

    watch(story, refusal=errno.EBUSY)
    assert lines(caplog, "bus restart refused") == []


def test_a_state_whose_error_frame_was_lost_is_learnt_from_the_kernel():
    async def story(watching, controller):
        controller.becomes(state="error-passive")
        watching.doubt()
        await asyncio.sleep(2)
        controller.state_facts = None
        return watching.health()["bus_state"]

    assert watch(story) == "error-passive"


def test_the_end_of_bus_off_is_seen_even_if_no_frame_tells_of_it():
    async def story(watching, controller):
        await off(watching, controller)
        controller.becomes(state="error-active")
        await asyncio.sleep(2)
        return watching.is_off

    assert not watch(story)


def test_a_data_frame_does_not_outweigh_the_kernel_that_says_the_bus_is_off():
    async def story(watching, controller):
        await off(watching, controller)
        watching.hear_data()
        return watching.is_off

    assert watch(story)


def test_a_data_frame_ends_bus_off_where_nobody_else_can_tell():
    async def story(watching, controller):
        controller.state_facts = None
        watching.hear(*OFF)
        watching.hear_data()
        return watching.is_off

    assert not watch(story)


def test_a_change_of_state_is_one_line_and_its_end_another(caplog):
    caplog.set_level(logging.INFO)

    async def story(watching, controller):
        for _ in range(20):
            watching.hear(*WARNING)
        watching.hear(*RESTARTED)
        await asyncio.sleep(20)

    watch(story)
    assert [(record.levelno, record.args[1]) for record in caplog.records] == [
        (logging.WARNING, "error-warning"),
        (logging.INFO, "error-active"),
    ]


def test_nothing_is_said_after_the_end(caplog):
    caplog.set_level(logging.INFO)

    async def story(watching, controller):
        watching.hear(*WARNING)
        watching.hear(*RESTARTED)
        watching.end()
        await asyncio.sleep(60)

    watch(story)
    assert len(caplog.records) == 1


def test_an_interface_at_another_bit_rate_is_warned_of_with_the_commands(caplog):
    async def story(watching, controller):
        return None

    watch(story, facts=WELL._replace(bitrate=250_000))
    (line,) = lines(caplog, "bitrate differs")
    assert "interface=250000 wanted=500000" in line
    assert line.endswith("sudo ip link set can7 up type can bitrate 500000")


@pytest.mark.parametrize(
    ("facts", "kind", "text"),
    [
        (WELL._replace(restart_ms=100), "bus-off", "the kernel restarts it every 100 ms"),
        (WELL, "bus-off", "it is being restarted"),
    ],
)
def test_a_write_into_a_bus_that_is_off_says_what_will_bring_it_back(facts, kind, text):
    async def story(watching, controller):
        await off(watching, controller)
        return watching.why_stuck()

    found, why = watch(story, facts=facts)
    assert found == kind
    assert text in why


def test_a_bus_on_which_nobody_acknowledges_is_told_from_one_that_is_busy():
    async def story(watching, controller):
        busy = watching.why_stuck()
        watching.hear(CAN_ERROR | 0x20, bytes(8))
        return busy[0], watching.why_stuck()[0]

    assert watch(story) == ("queue-full", "no-ack")


def test_a_driver_that_came_back_without_a_carrier_is_mute():
    async def story(watching, controller):
        await off(watching, controller)
        controller.becomes(state="error-active", has_carrier=False)
        watching.hear(*RESTARTED)
        return watching.is_off, watching.is_mute, watching.why_stuck()[0]

    assert watch(story) == (False, True, "no-carrier")


def test_health_is_there_before_the_port_was_ever_opened():
    assert BusWatch("can7", FakeClock()).health()["bus_state"] == "unknown"
