"""Layer 6: which changes of connections the ledger is told, so that one that flaps does not wear the medium out. Pure.

Every change is told, but of attempts in a row only the 1st, 2nd, 4th, 8th and so on: their records carry the number.
A connection that changes faster than its allowance is told by where it stands when there is room again, with how many
changes were passed over.
"""

from __future__ import annotations

from typing import Final

from gateway.lifecycle import Event, Lifecycle, State

AT_ONCE: Final = 40  # records of one connection
EVERY_S: Final = 30.0  # then one more after so long
_NS: Final = 1_000_000_000


class _Allowance:
    __slots__ = ("at_ns", "left", "skipped")

    def __init__(self, now_ns: int) -> None:
        self.left = float(AT_ONCE)
        self.at_ns = now_ns
        self.skipped = 0

    def take(self, now_ns: int) -> bool:
        """Return whether there is room for one more record, which is made."""
        self.left = min(float(AT_ONCE), self.left + max(0, now_ns - self.at_ns) / (EVERY_S * _NS))
        self.at_ns = now_ns
        has_room = self.left >= 1
        self.left -= has_room
        return has_room


class Telling:
    """What may be told, of every connection by name."""

    def __init__(self) -> None:
        """Begin with every allowance full."""
        self._allowances: dict[str, _Allowance] = {}

    def may_tell(self, name: str, now_ns: int) -> bool:
        """Return whether a change may be told now; if not it is counted."""
        allowance = self._allowances.setdefault(name, _Allowance(now_ns))
        if not allowance.take(now_ns):
            allowance.skipped += 1
            return False
        return True

    def is_owing(self, name: str) -> bool:
        """Return whether changes of it were passed over."""
        return name in self._allowances and self._allowances[name].skipped > 0

    def owing(self) -> list[str]:
        """Return the connections of which changes were passed over."""
        return [name for name, each in self._allowances.items() if each.skipped]

    def may_catch_up(self, name: str, now_ns: int) -> bool:
        """Return whether there is room again to tell where a connection stands of which changes were passed over."""
        return self._allowances[name].take(now_ns)

    def take_skipped(self, name: str) -> int:
        """Return how many changes were passed over since the last record, which is made now."""
        allowance = self._allowances.get(name)
        if allowance is None:
            return 0
        skipped, allowance.skipped = allowance.skipped, 0
        return skipped

    def forget(self, name: str) -> None:
        """It is gone."""
        self._allowances.pop(name, None)


def is_repeated(after: Lifecycle, event: Event) -> bool:
    """Return whether this is one more attempt in a row that is not worth a record."""
    is_attempt = event is Event.ATTEMPT and after.state is State.CONNECTING
    return is_attempt and after.attempt & (after.attempt - 1) != 0
