"""What simulated devices are told, as lines of text: one order a line, answered by `ok`, or by `error: ` and why.

node behave lies                        ack and do nothing; the words of `behaviour.py`, the whole of them
node behave slow_s=0.5 clamp=[20,60]    several at a time
node behave                             be good again
node restart                            now; `behave restarts` does it on each command
node vanish                             go off the wire
node return [elsewhere]                 come back, or come back as another node behind the name that stays
"""

from __future__ import annotations

from collections.abc import Mapping

from hil.sim.behaviour import Behaviour
from hil.sim.berth import Berth


def obey(line: str, berths: Mapping[str, Berth], now_s: float) -> str:
    """Carry out one order; return the answer."""
    try:
        _do(line.split(), berths, now_s)
    except ValueError as error:
        return f"error: {error}"
    return "ok"


def _do(words: list[str], berths: Mapping[str, Berth], now_s: float) -> None:
    name, *order = words or [""]
    if name not in berths:
        raise ValueError(f"no device {name!r} takes orders here; there are {', '.join(sorted(berths))}")
    berth = berths[name]
    match order:
        case ["behave", *facts]:
            berth.behave(Behaviour.said(facts))
        case ["restart"]:
            berth.restart(now_s)
        case ["vanish"]:
            berth.vanish()
        case ["return"]:
            berth.come_back()
        case ["return", "elsewhere"]:
            berth.come_back(elsewhere=True)
        case _:
            raise ValueError(f"no order {' '.join(order)!r}; behave, restart, vanish, return or return elsewhere")
