"""Layer 2: `[ledger]` of a site file: what a user may say about the ledger, and the options that it means. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

import msgspec

from gateway.ledger.base import MIB, Options
from gateway.notation import Duration, duration_ns, size_bytes

SMALL: Final = Options(is_small=True, ring_bytes=2 * MIB, segment_bytes=MIB // 4, archive_bytes=4 * MIB)

_SIZES: Final = {"ring": "ring_bytes", "segment": "segment_bytes", "unit": "unit_bytes", "size": "archive_bytes"}
_DECIMAL: Final = re.compile(r"([0-9]{1,12})(kB|MB|GB)")
_POWERS: Final = {"kB": 10**3, "MB": 10**6, "GB": 10**9}


class LedgerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`[ledger]`. Sizes are written "64MiB"; ring, segment, unit and footprint are settled when a ledger is made."""

    enabled: bool = True  # False: nothing is kept, and nothing comes back
    backend: Literal["ldg1", "sqlite"] = "ldg1"  # our own format, or SQLite for who would rather trust it
    window: Duration = "5s"  # of telemetry that a power loss may take
    gather: Duration = "20ms"  # state may wait so long for company in one commit
    footprint: Literal["normal", "small"] = "normal"  # small: under 8 MiB in all
    ring: str | None = None  # where commits go [64MiB; small: 2MiB]
    segment: str | None = None  # one piece of the ring [4MiB; small: 256KiB]
    unit: str | None = None  # what a commit is padded to [4096]; 16KiB for SD cards and eMMC
    keep: Duration = "30d"  # telemetry of messages that say nothing else
    size: str | None = None  # of sealed history: beyond it the oldest telemetry goes first [1GiB; small: 4MiB]
    budget_per_day: str = "500MB"  # of writing to the medium; "0": no limit

    def options(self, keep: Mapping[str, int] | None = None, *, tells_early: bool = False) -> Options:
        """Return what the gateway opens its ledger with; `keep` is nanoseconds by route.

        Raises: ValueError for what `problems` tells.
        """
        basis = SMALL if self.footprint == "small" else Options()
        changes: dict[str, Any] = {
            name: size_bytes(getattr(self, key)) for key, name in _SIZES.items() if getattr(self, key) is not None
        }
        return msgspec.structs.replace(
            basis,
            backend=self.backend,
            window_ns=duration_ns(self.window),
            window_most_ns=max(basis.window_most_ns, duration_ns(self.window)),
            gather_ns=duration_ns(self.gather),
            gather_most_ns=max(basis.gather_most_ns, duration_ns(self.gather)),
            budget_bytes_per_day=_budget_bytes(self.budget_per_day),
            keep_ns=duration_ns(self.keep),
            keep=dict(keep or {}),
            sheds=True,
            archives_in_child=True,
            tells_early=tells_early,
            **changes,
        )

    def problems(self) -> Iterator[tuple[str, str]]:
        """Give what is wrong as key and message. Whether the sizes make a ring is known when the ledger is made."""
        for key in ("window", "keep"):
            if duration_ns(getattr(self, key)) <= 0:
                yield key, "must be longer than nothing"
        for key, read in [*((key, size_bytes) for key in _SIZES), ("budget_per_day", _budget_bytes)]:
            text = getattr(self, key)
            try:
                if text is not None and not read(text) and key != "budget_per_day":
                    yield key, f"{text!r} holds nothing"
            except ValueError as error:
                yield key, str(error)
        if self.backend == "sqlite":
            for key in ("ring", "segment", "unit", "footprint"):
                if getattr(self, key) not in {None, "normal"}:
                    yield key, "is of our own format; leave it out, or leave backend = 'sqlite' out"


def _budget_bytes(text: str) -> int:
    """Return bytes of "500MB" or "64MiB". Raises: ValueError."""
    match = _DECIMAL.fullmatch(text)
    return int(match[1]) * _POWERS[match[2]] if match else size_bytes(text)
