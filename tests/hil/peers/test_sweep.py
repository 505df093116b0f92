"""Every shipped profile under every kind of fault that fits its bus: a whole gateway on the simulated device.

Whatever strikes, nothing raises and nothing is lost in silence: what did not come is counted, by the gateway where it
could notice, and in the trace where it could not; and what came before comes again once the fault is gone.
"""

from __future__ import annotations

import logging
from typing import Any, Final

import pytest

from gateway.framing.spec import IsoTp
from gateway.profile.load import load_profile, shipped_profiles
from gateway.profile.model import Profile
from hil.durations import ns
from hil.faults.catalogue import KINDS

PROFILES: Final = {name: load_profile(path) for name, path in sorted(shipped_profiles().items())}
PARAMS: Final[dict[str, dict[str, Any]]] = {
    "insert": {"data": b"\xff\x00"}, "truncate": {"keep": 3}, "delay": {"by": "30ms"}, "jitter": {"by": "0ms..40ms"},
    "split": {"at_byte": 2}, "baud": {"factor": 1.1}, "parity": {"send": "e"}, "stop": {"send": 2},
    "babble": {"id": 0, "load": 5}, "dlc": {"dlc": 3}, "bitrate": {"factor": 1.1}, "rssi_walk": {"step": 5},
    "mtu_shrink": {"mtu": 23}, "stuck_miso": {"value": 0}, "bit_slip": {"bits": 1}, "mode": {"mode": 1},
}  # fmt: skip
KEYS: Final = {"victron-ble": {"key": "231d39c1d7cc1ab1aee224cd096db932"}}
POWER: Final = ("brown_out", "reset")
AT_ONCE: Final = {*POWER, "break", "error_frame", "reenumerate"}  # there is no traffic that they wait for
AT_LINKS: Final = {"disconnect", "stale_cache", "notify_gap", "mtu_shrink"}
UNHEARD: Final = {
    "adv_loss",
    "notify_gap",
    "flow_stall",
    *POWER,
}  # what was never on the wire, the gateway cannot count
PERIOD: Final = "500ms"
BACK_S: Final = 150  # virtual; reconnecting and asking a silent device go up to a minute between attempts


def kinds_of(profile: Profile) -> list[str]:
    """Return the kinds of fault that can strike a device of a profile: those of its bus and of what it does there."""
    bus, specs = profile.link.bus, profile.message.values()
    idle: set[str] = set()
    if bus == "ble":
        idle = {"adv_loss", "rssi_walk", "adv_duplicate"} if profile.link.mode == "gatt" else AT_LINKS
        if all(spec.ask is not None for spec in specs):
            idle |= {"notify_gap"}
    if bus == "can" and all(spec.ask is None for spec in specs):
        idle = {"lost_ack", "id_collision", "tx_full"}  # they strike what the gateway sends
    return [each.name for each in KINDS.values() if bus in each.protocols and each.name not in idle] + list(POWER)


def pace_s(profile: Profile) -> float:
    """Return the time between two messages of the most frequent kind; 0: each comes once, after connecting."""
    is_asked = isinstance(profile.framing, IsoTp)  # for everything
    if not is_asked and any(spec.ask is None and spec.direction != "out" for spec in profile.message.values()):
        return 1.0
    every = [spec.every or "1s" for spec in profile.message.values() if spec.ask is not None]
    regular = [ns(each) / 1e9 for each in every if each not in {"connect", "never"}]
    return min(regular, default=0.0)


CASES: Final = [
    pytest.param(name, kind, id=f"{name}-{kind}") for name, profile in PROFILES.items() for kind in kinds_of(profile)
]


def counted(gateway: Any) -> int:
    """Return how much the gateway says has gone wrong."""
    status = gateway.status()
    device, port = status["devices"][0], status["ports"][0]
    frames, polls, health = device["frames"], device["polls"], device["health"]
    return int(
        port["garbage"] + port["unknown"] + port["dropped"] + port["opened"] + (port["error"] is not None)
        + frames["refused"] + frames["dropped"] + polls["timeouts"] + sum(polls["exceptions"].values()) + polls["late"]
        + health["errors"] + health["losses"]
    )  # fmt: skip


def heard(gateway: Any) -> dict[str, int]:
    """Return how often each message came."""
    return dict(gateway.status()["devices"][0]["messages"])


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_nothing_is_lost_in_silence_and_all_comes_back(
    name: str, kind: str, rig: Any, gateway: Any, clock: Any, faults: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    profile = PROFILES[name]
    bus, pace = f"{profile.link.bus}0", pace_s(profile)
    period = {} if bus == "spi0" else {"period": PERIOD}
    rig.get(bus).peer.simulate(name, params=KEYS.get(name), **period)
    gateway.add("node", profile=name, port=bus, params=KEYS.get(name))
    clock.sleep("1.2s")
    first = heard(gateway)
    clock.sleep(1.2 * pace)
    regular = {message for message, count in heard(gateway).items() if count > (first[message] if pace else 0)}
    assert regular

    wrong, before = counted(gateway), heard(gateway)
    waits = {} if kind in AT_ONCE or not pace else {"after": 1}
    fault = faults.add(kind, bus="power" if kind in POWER else bus, **PARAMS.get(kind, {}), **waits)
    if not pace and kind != "unplug":  # what it says, it says once, after connecting
        faults.add("unplug", bus=bus, duration="10ms")
    clock.sleep(max(2.2, 2.2 * pace))
    fault.remove()
    came = heard(gateway) if pace else before
    is_less = any(came[message] - before[message] < 2 for message in regular if pace)
    for _ in range(BACK_S):
        clock.sleep(max(1.0, pace))
        now = heard(gateway)
        if all(now[message] > came[message] for message in regular):
            break
    else:
        pytest.fail(f"{[m for m in regular if now[m] <= came[m]]} did not come back: {gateway.status()['devices']}")
    assert fault.hits > 0
    if is_less and kind not in UNHEARD:
        assert counted(gateway) > wrong
    device = gateway.status()["devices"][0]
    frames = device["frames"]
    assert frames["in"] == frames["delivered"] + frames["dropped"] + frames["refused"] + frames["pending"]
    assert device["health"]["faults"] == 0
    assert [each for each in caplog.records if each.exc_info] == []
