"""The examples are tests as a user of the rig would write them; these are the devices that they test."""

from __future__ import annotations

import pytest

from gateway.profile.build import CompiledProfile
from gateway.profile.load import find_profile, load_profile
from hil.sim.motor import COMMAND_ID, CanFrame, MotorController

TICK_NS = 1_000_000


@pytest.fixture
def motor(rig, can_bus):
    """A motor controller on the bus: firmware of its own, which knows nothing of the rig but frames and time."""
    controller = MotorController(CompiledProfile(load_profile(find_profile("motor"))))

    def say(frames):
        for frame in frames:
            can_bus.peer.send(frame.can_id, frame.data)

    def hear(frame):
        if frame.id == COMMAND_ID and not frame.error:
            say(controller.receive(CanFrame(frame.id, bytes(frame.data)), rig.world.now_ns / 1e9))

    def tick():
        say(controller.due(rig.world.now_ns / 1e9))
        rig.world.after(TICK_NS, tick)

    can_bus.peer.listen(hear)
    tick()
    return controller
