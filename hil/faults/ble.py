"""What the faults of Bluetooth do to one advertisement. Pure, but for the chance that each fault brings along.

- `adv_loss`: the host does not hear it
- `adv_duplicate`: it hears it twice
- `rssi_walk`: its strength is off by what a random walk has come to, which goes up to `step` dB each time

What happens to links is in `hil.rigs.simulated.ble_link`, and `encrypted_again` says what `key_change` makes of data
that are encrypted on the air.
"""

from __future__ import annotations

import random
from collections.abc import MutableMapping, Sequence
from typing import Any, Final, Protocol

RSSI_DBM: Final = range(-127, 21)  # what a controller can report (Core specification, Vol 4 Part E, 7.7.65.2)


class Striking(Protocol):
    """What is needed of a fault that strikes."""

    kind: str
    ordinal: int
    params: dict[str, Any]
    chance: random.Random


def heard(rssi: int, struck: Sequence[Striking], walks: MutableMapping[int, float]) -> list[int]:
    """Return how strong each copy is that the host hears of an advertisement. `walks` keeps where each walk is."""
    copies = 1
    for fault in struck:
        if fault.kind == "adv_loss":
            copies = 0
        elif fault.kind == "adv_duplicate":
            copies *= 2
        elif fault.kind == "rssi_walk":
            step = fault.params["step"]
            off = walks.get(fault.ordinal, 0.0) + fault.chance.uniform(-step, step)
            walks[fault.ordinal] = off = min(max(off, RSSI_DBM[0] - rssi), RSSI_DBM[-1] - rssi)
            rssi += round(off)
    return [min(max(rssi, RSSI_DBM[0]), RSSI_DBM[-1])] * copies


def encrypted_again(data: bytes, encrypted_from: int | None, seed: object) -> bytes:
    """Return data as they are under another key: to who has the old one, what is encrypted is as good as random."""
    if encrypted_from is None or encrypted_from >= len(data):
        return data
    stream = random.Random(f"{seed}/{data.hex()}").randbytes(len(data) - encrypted_from)  # noqa: S311 - reproducible
    return data[:encrypted_from] + bytes(a ^ b for a, b in zip(data[encrypted_from:], stream, strict=True))
