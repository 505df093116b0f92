"""The demo's own hand on its devices: a valve and a motor are set to and fro, until somebody else sets them."""

from __future__ import annotations

import asyncio
import logging
from itertools import cycle
from typing import Any, Final

from gateway.app import Gateway
from gateway.authority.decision import Caller
from gateway.runtime.peer import own_principal

EVERY_S: Final = 6.0
TO_AND_FRO: Final = {("node", "node/node/valve", "valve"): (65, 35), ("pump", "pump/motor/speed", "speed"): (900, 1800)}

log = logging.getLogger(__name__)


async def write_to_and_fro(gateway: Gateway, every_s: float = EVERY_S) -> None:
    """Set each setpoint in turn and say what became of it, for ever, through the door that every caller takes."""
    caller = Caller(principal=own_principal(), is_local=True)
    values = {key: cycle(both) for key, both in TO_AND_FRO.items()}
    last: dict[str, Any] = {}
    while values:
        await asyncio.sleep(every_s)
        for key in list(values):
            device, route, name = key
            shadow = await gateway.asks.answer("shadow", {"device": device}, caller)
            if shadow["state"]["desired"].get(name) != last.get(route):
                log.info("%s is yours now: the demo sets it no more", route)
                del values[key]
                continue
            value = next(values[key])
            told = await gateway.asks.answer("set", {"route": route, "value": value}, caller)
            last[route] = value if told["id"] else last.get(route)
            outcome = told["outcome"] or told["reason"]
            log.info("set %s %s: %s%s", route, value, outcome, _reported(told))


def _reported(told: dict[str, Any]) -> str:
    return f", the device reports {told['reported']}" if told["reported"] is not None else ""
