"""Layer 6: several desired values of one device at once: all of them are set, or none is."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

from gateway.authority.decision import Caller
from gateway.errors import UnknownError
from gateway.profile.setpoint_value import Refusal
from gateway.route import parse_route
from gateway.runtime.dispatch import Dispatch
from gateway.runtime.shadows import Twin
from gateway.runtime.telling import no_command
from gateway.spelling import did_you_mean


async def patch(
    dispatch: Dispatch, caller: Caller, device: str, desired: Mapping[str, Any], *, version: int | None, wait_s: float
) -> dict[str, Any]:
    """Return {"results": objects of `set --json`, "shadow": the document}; a single result without id: none was set.

    What can be known before is checked of all values before the first is set. `version`: as for `Dispatch.set`.
    Raises: UnknownError where the device has no setpoints.
    """
    twin = dispatch.twins.get(device)
    if twin is None:
        raise UnknownError("device", f"no device {device[:80]!r} with setpoints{did_you_mean(device, dispatch.twins)}")
    results: list[dict[str, Any]] = []
    for name, value in desired.items():
        if (refused := await _refused(dispatch, caller, twin, name, value)) is not None:
            return {"results": [refused], "shadow": twin.view()}
    for place, (name, value) in enumerate(desired.items()):
        wanted = None if place else version
        told = await dispatch.set(caller, twin.route(name), value, wait_s=0.0, version=wanted)
        if told["id"] is None:
            return {"results": [told], "shadow": twin.view()}
        results.append(told)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(wait_s):
            for place, told in enumerate(results):
                results[place] = await dispatch.fate(told["id"], wait_s) or told
    return {"results": results, "shadow": twin.view()}


async def _refused(dispatch: Dispatch, caller: Caller, twin: Twin, name: str, value: Any) -> dict[str, Any] | None:
    """Return why one value cannot be set, as far as that is known before; None where it can."""
    if name not in twin.setpoints:
        detail = f"{twin.device.name} has no setpoint {name[:80]!r}{did_you_mean(name, twin.setpoints)}"
        return no_command(f"{twin.device.name}/{name}", value, None, "unknown_route", detail)
    route = twin.route(name)
    decision = await dispatch.warden.authorise(caller, parse_route(route)[0], "write")
    if not decision.allowed:
        return no_command(route, value, None, "denied", decision.message)
    found = twin.setpoints.check(name, value)
    if not isinstance(found, Refusal):
        found = twin.setpoints.admit(name, found, twin.latest)
    return no_command(route, value, None, found.code, found.message) if isinstance(found, Refusal) else None
