"""Layer 9: what a gateway said of itself at one moment, and what has come about since the moment before. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

Row = dict[str, Any]


class Sample(NamedTuple):
    """One answer to everything that is asked."""

    status: Row
    devices: list[Row]
    values: list[Row]
    shadow: Row | None  # of the device that is looked at closely

    def as_json(self, before: Sample | None) -> Row:
        """Return the object of `top --json`."""
        told = {"status": self.status, "devices": self.devices, "values": self.values}
        return told | {"rates": {"frames": frame_rates(self, before), "ports": byte_rates(self, before)}}


class Shown(NamedTuple):
    """What there is to look at."""

    sample: Sample | None  # the newest; None: no gateway has answered yet
    before: Sample | None  # the one before it
    lost: str = ""  # why none answers now
    age_s: float = 0.0  # of the sample


def frame_rates(sample: Sample, before: Sample | None) -> dict[str, float]:
    """Return frames a second by device: since the sample before, else since the gateway started."""
    return _rates(sample, before, "devices", lambda row: int(row["frames"]["in"]))


def byte_rates(sample: Sample, before: Sample | None) -> dict[str, float]:
    """Return bytes a second by port, over the same time."""
    return _rates(sample, before, "ports", lambda row: int(row["bytes"]))


def _rates(sample: Sample, before: Sample | None, table: str, count: Any) -> dict[str, float]:
    is_same_run = before is not None and before.status["boot"] == sample.status["boot"]
    past: Row = before.status if before is not None and is_same_run else {table: [], "uptime": 0.0}
    were = {row["name"]: count(row) for row in past[table]}
    passed_s = sample.status["uptime"] - past["uptime"]
    found = {}
    for row in sample.status[table]:
        more = count(row) - were.get(row["name"], 0)
        found[row["name"]] = more / passed_s if passed_s > 0 and more > 0 else 0.0  # less: it was begun anew
    return found
