"""A device that restarts while its port stays open, at any instant of a command: one outcome, and a true one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.profile.build import CompiledProfile
from gateway.profile.load import find_profile, load_profile
from hil.rigs.base import Round
from hil.rigs.simulated.rig import SimulatedRig
from hil.sim.node import CobsNode

PROFILE = find_profile("cobs-node")
COMPILED = CompiledProfile(load_profile(PROFILE))
ROUTE = "node/node/valve"
TICK_NS = 1_000_000
UP_S = 1.0  # the gateway knows the node by then
MOVING_MS = 690  # a valve that goes from 20 to 90 % is not there before


class Desk:
    """A COBS node on a simulated rig, its gateway, and a reset pin that the fault `reset` pulls."""

    def __init__(self, rig: SimulatedRig, cause: str) -> None:
        self.rig = rig
        self.gateway = rig.make_gateway()
        self.node = CobsNode(COMPILED)
        self._cause = cause
        self._peer = rig.get("uart0").peer
        self._peer.listen(lambda data: self._say(self.node.receive(data, self._now_s)))
        rig.dut.watchers.append(self._changed)
        self._tick()

    @property
    def _now_s(self) -> float:
        return self.rig.world.now_ns / 1e9

    def _say(self, frames: list[bytes]) -> None:
        for frame in frames:
            self._peer.send(frame)

    def _changed(self) -> None:
        if not self.rig.dut.is_powered:
            self.node.restart(self._now_s, self._cause)

    def _tick(self) -> None:
        self._say(self.node.due(self._now_s))
        self.rig.world.after(TICK_NS, self._tick)


@contextmanager
def desk(folder: Path, *, cause: str = "reset_pin", changes: str = "") -> Iterator[Desk]:
    """Give a desk whose gateway has heard the valve stand still at 20 %."""
    path = folder / "node.toml"
    path.write_text(PROFILE.read_text().replace("attempts   = 3", f"attempts   = 3\n{changes}"))
    rig = SimulatedRig()
    rig.begin(Round("restarts", 1, folder), None)
    made = Desk(rig, cause)
    made.node.receive(b"", 0.0)
    try:
        made.gateway.add("node", profile=path, port="uart0")
        rig.clock.sleep(UP_S)
        assert made.gateway.set(ROUTE, 20).outcome == "reported"
        yield made
    finally:
        made.gateway.close()
        rig.end()


@given(after_ms=st.integers(0, MOVING_MS), cause=st.sampled_from(["reset_pin", "power_on"]))
@example(after_ms=150, cause="reset_pin")
@example(after_ms=150, cause="power_on")
@example(after_ms=401, cause="power_on")  # while it boots the second attempt is lost on it, and the third is the last
@example(after_ms=546, cause="power_on")  # it turns round, and comes by where it stood when the restart was seen
def test_a_command_that_a_restart_meets_is_done_and_never_called_clamped(
    tmp_path_factory: pytest.TempPathFactory, after_ms: int, cause: str
) -> None:
    with desk(tmp_path_factory.mktemp("desk"), cause=cause) as made:
        made.rig.faults.add("reset", bus="power", at=made.rig.world.now_ns + after_ms * TICK_NS)
        told = made.gateway.set(ROUTE, 90)
        done, late = ("reported", None, False), ("exhausted", "value_differs", False)
        assert (told.outcome, told.reason, told.clamped) in ([done] if cause == "reset_pin" else [done, late])
        made.rig.clock.sleep(2)
        assert made.gateway.get("node/node/valve_position").value == 90


def test_a_restart_is_told_with_what_shows_it_and_the_device_is_up_again_at_once(tmp_path: Path) -> None:
    with desk(tmp_path) as made:
        before = made.gateway.device("node")
        made.rig.faults.add("reset", bus="power")
        made.rig.clock.sleep(0.5)
        device = made.gateway.device("node")
        assert device["lifecycle"] == before["lifecycle"] == "CONNECTED"
        assert "it restarted: measurement.uptime went back from" in device["last_error"]
        assert made.gateway.get("node/node/valve_position").stale is False


@pytest.mark.parametrize("restore", [False, True])
def test_what_a_restart_made_the_device_forget_is_set_again_only_where_its_profile_says_so(
    tmp_path: Path, *, restore: bool
) -> None:
    with desk(tmp_path, cause="power_on", changes=f"restore = {str(restore).lower()}") as made:
        assert made.gateway.set(ROUTE, 90).outcome == "reported"
        made.rig.faults.add("reset", bus="power")
        made.rig.clock.sleep(3)
        assert made.gateway.get("node/node/valve_position").value == (90 if restore else 35)


def test_a_caller_whose_command_a_restart_met_is_not_told_that_somebody_else_took_its_place(tmp_path: Path) -> None:
    with desk(tmp_path, cause="power_on", changes="restore = true") as made:
        made.rig.faults.add("reset", bus="power", at=made.rig.world.now_ns + 150 * TICK_NS)
        assert made.gateway.set(ROUTE, 90).outcome == "reported"
