"""Histories that chance seldom comes upon, written down: each must end well, whatever it was killed in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tests.runtime.crashing.machine import Commands


def ends(play: Commands, wanted: str, **how: Any) -> None:
    """Let somebody set something, the gateway end soon after, and another one begin."""
    usual: dict[str, Any] = {
        "expires_s": 20.0, "soon_s": 0.03, "seed": 3, "how": "killed", "hangs": False, "works_on": False, "down_s": 0.0,
        "is_clock_trusted": True, "is_plugged": True,
    }  # fmt: skip
    play.it_ends_and_starts_again(wanted=wanted, **usual | how)


def retries_while_the_ledger_hangs(play: Commands) -> None:
    play.the_device_behaves("ignores")
    ends(play, "speed", soon_s=0.8, hangs=True)


def retries_before_and_behind_a_crash(play: Commands) -> None:
    play.the_device_behaves("ignores")
    ends(play, "speed", soon_s=0.8)
    play.time_passes(2.5)


def the_device_comes_when_the_time_of_an_earlier_run_s_command_is_over(play: Commands) -> None:
    play.the_wire_is_pulled_or_plugged()
    ends(play, "speed", expires_s=2.0, down_s=1.7, is_plugged=False)
    play.time_passes(0.31)
    play.the_wire_is_plugged()


def a_dose_is_killed_when_it_was_given_and_nobody_said_so(play: Commands) -> None:
    play.the_device_behaves("is mute")
    ends(play, "dose", hangs=True, soon_s=0.35)
    play.time_passes(1.0)


def a_key_is_used_under_a_wrong_clock_and_again_under_the_right_one(play: Commands) -> None:
    for seed in range(6):  # different clocks
        ends(play, "tone", seed=seed, is_clock_trusted=False)
        play.somebody_sets("dose", "user:pi", f"key {seed}", 2.0)
        play.time_passes(1.0)
        ends(play, "tone")
        play.somebody_asks_again_for(play.keys[-1], 2)


def the_machine_starts_anew_while_a_command_waits(play: Commands) -> None:
    for seed in range(8):  # where its clock starts
        play.the_wire_is_pulled_or_plugged()
        ends(play, "speed", expires_s=2.0, down_s=5.0, how="power", seed=seed, is_plugged=False)
        play.the_wire_is_plugged()
        play.time_passes(0.5)


HISTORIES: Final[tuple[Callable[[Commands], None], ...]] = (
    retries_while_the_ledger_hangs,
    retries_before_and_behind_a_crash,
    the_device_comes_when_the_time_of_an_earlier_run_s_command_is_over,
    a_dose_is_killed_when_it_was_given_and_nobody_said_so,
    a_key_is_used_under_a_wrong_clock_and_again_under_the_right_one,
    the_machine_starts_anew_while_a_command_waits,
)


def play_out(history: Callable[[Commands], None]) -> None:
    """Play one to its end. Raises: AssertionError where something was wrong."""
    play = Commands()
    try:
        history(play)
        play.the_shadow_says_what_the_ledger_and_the_device_say()
    finally:
        play.teardown()
