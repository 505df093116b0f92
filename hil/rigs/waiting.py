"""What a test is told when a value did not come: everything that is known of its route, device and port."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hil.facts import Facts


class NotCameError(AssertionError, TimeoutError):
    """A value did not come in time."""


def explained(
    route: str, limit_ns: int, now: Facts | None, status: Mapping[str, Any], rejected: Sequence[Any] = ()
) -> str:
    """Return why nothing came, as far as the gateway knows; `now` is what it knows of the route."""
    parts = [f"{route}: no {'such' if rejected else 'new'} value in {limit_ns / 1e9:g} s", _of_value(now, rejected)]
    device = next((each for each in status["devices"] if each["name"] == route.partition("/")[0]), None)
    if device is not None:
        parts.append(_of_device(device))
        port = next((each for each in status["ports"] if each["name"] == device["port"]), None)
        if port is not None:
            parts.append(_of_port(port))
    return "; ".join(parts)


def _of_value(now: Facts | None, rejected: Sequence[Any]) -> str:
    if now is None or (now.value is None and now.age_s is None):
        return "it never came"
    if now.value is None:
        taints = f" ({', '.join(now.taints)})" if now.taints else ""
        return f"its message came {now.age_s:g} s ago without a value{taints}"
    told = f"the last is {now.value!r}, {now.age_s:g} s old"
    if now.stale:
        return f"{told}, stale"
    return told if rejected else f"{told}, which a wait gave already: `gateway.get` gives it again"


def _of_device(device: Mapping[str, Any]) -> str:
    reason = device["first_error"] or device["reason"]
    frames = device["frames"]
    told = f"{device['name']} is {device['state']}" + (f" ({reason})" if reason else "")
    counts = [f"{frames[key]} {word}" for key, word in (("in", "in"), ("dropped", "dropped"), ("refused", "refused"))]
    return f"{told}, frames: {', '.join(counts)}"


def _of_port(port: Mapping[str, Any]) -> str:
    garbage = ", ".join(f"{count} {reason}" for reason, count in port["garbage_by_reason"].items())
    unknown = f", {port['unknown']} of no message" if port["unknown"] else ""
    return f"{port['name']}: {port['bytes']} bytes{unknown}" + (f", garbage: {garbage}" if garbage else "")
