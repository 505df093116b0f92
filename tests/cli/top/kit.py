"""What a gateway might say of itself, also where everything in it is hostile."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from gateway.cli.top.sample import Sample, Shown
from gateway.lifecycle import State

HEALTH: dict[str, Any] = {
    "availability": 1.0, "errors": 0, "errors_per_min": 0.0, "retries": 0, "retries_per_min": 0.0, "losses": 0,
    "faults": 0, "last_error": None, "last_error_age_s": None,
}  # fmt: skip
POLLS: dict[str, Any] = {
    "asked": 3, "answered": 3, "timeouts": 0, "exceptions": {}, "late": 0, "slowed": False, "failing": {}
}  # fmt: skip


def device(name: str = "pump", frames: int = 10, **changes: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the entry of `devices` and that of `status`."""
    entry: dict[str, Any] = {
        "name": name, "label": None, "area": None, "profile": "example/motor@1.0.0", "chosen": None, "title": "Motor",
        "port": "can0", "bus": "can", "state": "CONNECTED", "lifecycle": "CONNECTED", "target": "CONNECTED",
        "attempt": 0, "reason": "", "first_error": None, "last_error": None, "next_retry_s": None, "stale": False,
        "health": HEALTH, "first_seen": None, "messages": ["status"], **changes,
    }  # fmt: skip
    counts = {"in": frames, "delivered": frames, "dropped": 0, "refused": 0, "pending": 0}
    status = {
        "name": name, "since": 3.0, "fault": None, "frames": counts, "polls": POLLS, "messages": {"status": frames}
    }  # fmt: skip
    return entry, status


def value(route: str = "pump/motor/speed", **changes: Any) -> dict[str, Any]:
    return {
        "route": route, "value": 1500, "units": "/min", "age_s": 0.2, "stale": False, "taints": [], "seq": 5, **changes
    }  # fmt: skip


def sample(
    *devices: tuple[dict[str, Any], dict[str, Any]],
    values: Any = (),
    uptime: float = 10.0,
    boot: str = "b",
    **changes: Any,
) -> Sample:
    port = {
        "name": "can0", "bus": "can", "devices": [entry["name"] for entry, _ in devices], "error": None, "bytes": 80,
        "unknown": 0, "dropped": 0, "garbage": 0, "garbage_by_reason": {},
    }  # fmt: skip
    status: dict[str, Any] = {
        "name": "gw", "boot": boot, "version": "0.1.0", "uptime": uptime, "devices": [each for _, each in devices],
        "ports": [port], "ledger": {"mode": "recording", "durable_seq": 90, "reason": ""}, "http": None, "sinks": [],
        **changes,
    }  # fmt: skip
    return Sample(status, [entry for entry, _ in devices], list(values), None)


ANY = st.text(max_size=60)
DEVICES = st.builds(
    device, ANY, st.integers(0, 10**12), label=st.none() | ANY, reason=ANY, first_error=st.none() | ANY, port=ANY,
    profile=ANY, lifecycle=st.sampled_from(list(State)), stale=st.booleans(),
    chosen=st.none() | st.fixed_dictionaries({"profile": ANY, "instead_of": ANY, "by": ANY}),
    next_retry_s=st.none() | st.floats(0, 1e6),
)  # fmt: skip
VALUES = st.builds(
    value, st.tuples(ANY, ANY, ANY).map(lambda parts: "/".join(part.replace("/", "") for part in parts)),
    value=st.none() | ANY | st.floats() | st.integers() | st.booleans() | st.lists(ANY, max_size=4),
    units=ANY, age_s=st.none() | st.floats(0, 1e9), stale=st.booleans(), taints=st.lists(ANY, max_size=3),
)  # fmt: skip
SAMPLES = st.builds(
    lambda devices, values, name, why: sample(
        *devices, values=values, name=name, ledger={"mode": "read-only", "durable_seq": 5, "reason": why}
    ),
    st.lists(DEVICES, max_size=6), st.lists(VALUES, max_size=30), ANY, ANY,
)  # fmt: skip
SHOWN = st.builds(Shown, st.none() | SAMPLES, st.none() | SAMPLES, st.just("") | ANY, st.floats(0, 1e6))
