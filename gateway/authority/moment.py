"""Layer 2: an instant as authority judges it: both clocks, and how far the wall clock can be believed. Pure."""

from __future__ import annotations

from typing import Literal

import msgspec

ClockQuality = Literal["none", "rtc", "ntp"]


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """Now. Whoever asks for a decision reads the clocks."""

    wall_ns: int  # since 1970, as this machine believes
    monotonic_ns: int  # since the machine started
    boot_id: str  # of this start of the machine; "" where it has none to tell
    quality: ClockQuality  # where the wall clock has its time from
    floor_ns: int = 0  # a wall time that has certainly passed: the newest one recorded while the quality was "ntp"

    @property
    def is_trusted(self) -> bool:
        """Return whether the wall clock is right: the network set it.

        A clock chip is not asked: boards have one without a battery, and it goes on where the power went off.
        """
        return self.quality == "ntp"

    @property
    def passed_ns(self) -> int:
        """Return the wall time that has passed, as far as is known: a clock that fell back brings no time back."""
        return self.wall_ns if self.is_trusted else max(self.wall_ns, self.floor_ns)
