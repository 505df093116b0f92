"""From a running gateway to what the demo shows: rates over the last seconds, numbers with a steady decimal point."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Any, Final

from gateway.app import Gateway
from gateway.lifecycle import State
from gateway.plain import SIGNIFICANT_DIGITS, clock_text, unit_text, value_text
from gateway.route import RoutePattern
from hil.view import Panel, Snapshot, Value

RATE_WINDOW_S: Final = 3.0
MOST_DECIMALS: Final = 6
LIST_SHOWN: Final = 3
EVERYTHING: Final = RoutePattern("*")


class Observer:
    """Looks at one gateway now and then and remembers what a picture needs."""

    def __init__(self, gateway: Gateway, hint: str, events: deque[str]) -> None:
        self._gateway = gateway
        self._hint = hint
        self._events = events
        self._counts: deque[tuple[float, dict[str, int]]] = deque(maxlen=64)
        self._decimals: dict[str, int] = {}

    def look(self) -> Snapshot:
        """Return the picture of this instant."""
        status = self._gateway.status()
        rates = self._rates(status)
        values = self._values()
        about = {each["name"]: each for each in self._gateway.queries.devices()}
        panels = [
            Panel(
                device["name"],
                about[device["name"]]["label"] or "",
                device["profile"],
                str(State(device["state"])),
                (device["first_error"] or device["reason"]).removeprefix(device["port"]).strip(": "),
                rates[device["name"]],
                device["frames"]["dropped"],
                device["frames"]["refused"],
                values.get(device["name"], []),
            )
            for device in status["devices"]
        ]
        return Snapshot(f"tidegate {status['name']}", status["uptime"], panels, list(self._events), self._hint)

    def _rates(self, status: dict[str, Any]) -> dict[str, float]:
        now_s = status["uptime"]
        counts = {device["name"]: device["frames"]["in"] for device in status["devices"]}
        self._counts.append((now_s, counts))
        while len(self._counts) > 2 and now_s - self._counts[0][0] > RATE_WINDOW_S:
            self._counts.popleft()
        before_s, before = self._counts[0]
        passed_s = now_s - before_s
        return {name: (count - before[name]) / passed_s if passed_s > 0 else 0.0 for name, count in counts.items()}

    def _values(self) -> dict[str, list[Value]]:
        values: dict[str, list[Value]] = {}
        first_family: dict[str, str] = {}
        for route in self._gateway.queries.overview(EVERYTHING):
            if route["age"] is None:
                continue  # nothing came yet: its device shows why
            device, family, stream = route["route"].split("/")
            name = stream if family == first_family.setdefault(device, family) else f"{family}/{stream}"
            text = self._text(route["route"], route["value"])
            values.setdefault(device, []).append(Value(name, text, route["unit"], route["age"], route["stale"]))
        return values

    def _text(self, route: str, value: Any) -> str:
        """Return a value as text; a number never has fewer decimals than it had before, so that its point stands."""
        if isinstance(value, float):
            digits = f"{value:.{SIGNIFICANT_DIGITS}g}"
            if "e" in digits:
                return digits
            decimals = min(len(digits.partition(".")[2]), MOST_DECIMALS)
            decimals = self._decimals[route] = max(decimals, self._decimals.get(route, 0))
            return f"{value:.{decimals}f}"
        if isinstance(value, list) and len(value) > LIST_SHOWN:
            return f"{value_text(value[:LIST_SHOWN])} +{len(value) - LIST_SHOWN}"
        return value_text(value)


class LineMaker:
    """Plain lines `time device/family/stream value unit`: each route when it is new, at most once in `spacing_s`."""

    def __init__(self, spacing_s: float = 1.0) -> None:
        self._spacing_s = spacing_s
        self._told: dict[str, tuple[int, float]] = {}

    def lines(self, routes: Sequence[dict[str, Any]], now_s: float) -> Iterable[str]:
        """Give the lines that are due; `routes` as `Queries.overview` returns them."""
        for route in sorted((each for each in routes if each["age"] is not None), key=itemgetter("t")):
            sequence, told_s = self._told.get(route["route"], (0, -self._spacing_s))
            if route["seq"] == sequence or now_s - told_s < self._spacing_s:
                continue
            self._told[route["route"]] = (route["seq"], now_s)
            text = f"{value_text(route['value'])} {unit_text(route['unit'])}"
            yield f"{clock_text(route['t'])} {route['route']} {text}".rstrip()
