"""Layer 7: `/metrics`: what `status` says, in the words of Prometheus. `prometheus_client` writes the format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from gateway.lifecycle import State
from gateway.route import RoutePattern

_RESULTS: Final = ("in", "delivered", "dropped", "refused")
_EVERYTHING: Final = RoutePattern("*")


class Metrics:
    """One per door."""

    def __init__(
        self, status: Callable[[], dict[str, Any]], values: Callable[[RoutePattern], list[dict[str, Any]]] | None
    ) -> None:
        """Take what the gateway says of itself, and its values where they are to be told too."""
        self._status = status
        self._values = values
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self) -> bytes:
        """Return the page."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Give every family."""
        status = self._status()
        yield from _of_devices(status["devices"])
        yield from _of_ports(status["ports"])
        yield from _of_ledger(status["ledger"])
        yield from _of_sinks(status["sinks"])
        yield from _of_http(status["http"])
        yield GaugeMetricFamily("tidegate_uptime_seconds", "Since the gateway started.", status["uptime"])
        info = GaugeMetricFamily("tidegate_info", "What runs here.", labels=["name", "version", "boot"])
        info.add_metric([status["name"], status["version"], status["boot"]], 1)
        yield info
        if self._values is not None:
            yield from _of_values(self._values(_EVERYTHING))


def _of_devices(devices: list[dict[str, Any]]) -> Iterator[Metric]:
    frames = CounterMetricFamily(
        "tidegate_device_frames", "Frames by what became of them.", labels=["device", "result"]
    )
    pending = GaugeMetricFamily("tidegate_device_frames_pending", "Frames under way.", labels=["device"])
    states = GaugeMetricFamily("tidegate_device_lifecycle", "1: the state it is in.", labels=["device", "state"])
    stale = GaugeMetricFamily("tidegate_device_stale", "1: silent for longer than it may be.", labels=["device"])
    for device in devices:
        name = device["name"]
        for result in _RESULTS:
            frames.add_metric([name, result], device["frames"][result])
        pending.add_metric([name], device["frames"]["pending"])
        stale.add_metric([name], device["stale"])
        for state in State:
            states.add_metric([name, str(state)], device["state"] == state)
    yield from (frames, pending, states, stale)


def _of_ports(ports: list[dict[str, Any]]) -> Iterator[Metric]:
    octets = CounterMetricFamily("tidegate_port_bytes", "Bytes read.", labels=["port"])
    garbage = CounterMetricFamily("tidegate_port_garbage", "Pieces that are no frame.", labels=["port", "reason"])
    dropped = CounterMetricFamily("tidegate_port_dropped", "Frames that the driver dropped.", labels=["port"])
    unknown = CounterMetricFamily("tidegate_port_unknown", "Frames that no device knows.", labels=["port"])
    for port in ports:
        octets.add_metric([port["name"]], port["bytes"])
        dropped.add_metric([port["name"]], port["dropped"])
        unknown.add_metric([port["name"]], port["unknown"])
        for reason, count in port["garbage_by_reason"].items():
            garbage.add_metric([port["name"], reason], count)
    yield from (octets, garbage, dropped, unknown)


def _of_ledger(ledger: dict[str, Any]) -> Iterator[Metric]:
    mode = GaugeMetricFamily("tidegate_ledger_mode", "1: the mode it is in.", labels=["mode"])
    mode.add_metric([ledger["mode"]], 1)
    yield mode
    if "durable_seq" in ledger:
        yield GaugeMetricFamily("tidegate_ledger_durable_seq", "The last number on the medium.", ledger["durable_seq"])
    if "queue" in ledger:
        queued = ledger["queue"]["records"]
        yield GaugeMetricFamily("tidegate_ledger_queue_records", "Records that wait for the ledger.", queued)
    shed = CounterMetricFamily("tidegate_ledger_shed", "Readings that were not kept.", labels=["reason"])
    told = ledger.get("shed")
    for reason, count in told.items() if isinstance(told, dict) else ():
        shed.add_metric([reason], count)
    yield shed


def _of_sinks(sinks: list[dict[str, Any]]) -> Iterator[Metric]:
    lag = GaugeMetricFamily("tidegate_sink_lag_records", "Records not acknowledged yet.", labels=["sink"])
    aside = CounterMetricFamily("tidegate_sink_set_aside", "Records that could not be sent.", labels=["sink"])
    again = CounterMetricFamily("tidegate_sink_reconnects", "Connections made again.", labels=["sink"])
    for sink in sinks:
        lag.add_metric([sink["name"]], sink["lag"] or 0)
        aside.add_metric([sink["name"]], sink["set_aside"])
        again.add_metric([sink["name"]], sink["reconnects"])
    yield from (lag, aside, again)


def _of_http(http: dict[str, Any] | None) -> Iterator[Metric]:
    closed = CounterMetricFamily("tidegate_watch_closed", "Streams that ended.", labels=["reason"])
    answered = CounterMetricFamily("tidegate_http_answers", "Answers by status.", labels=["status"])
    if http is not None:
        for reason, count in http["watch_closed"].items():
            closed.add_metric([reason], count)
        for status, count in http["answered"].items():
            answered.add_metric([status], count)
        yield GaugeMetricFamily("tidegate_http_connections", "Connections that are open.", http["connections"])
        yield GaugeMetricFamily("tidegate_watch_open", "Streams that are open.", http["watching"])
    yield from (closed, answered)


def _of_values(values: list[dict[str, Any]]) -> Iterator[Metric]:
    told = GaugeMetricFamily(
        "tidegate_value", "What a route says now; stale ones are left out.", labels=["route", "units"]
    )
    for each in values:
        if not each["stale"] and isinstance(each["value"], (int, float)):
            told.add_metric([each["route"], each["units"]], float(each["value"]))
    yield told
