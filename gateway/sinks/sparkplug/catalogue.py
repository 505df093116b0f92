"""Layer 7: which metrics devices have: names, aliases, data types, units. Looks only, sends nothing.

A device's metrics are what is wired, and besides what was met: history tells of fields that an earlier profile had. A
metric that is new, or whose type has to widen, makes its device due to be born again: data must fit what a birth said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import count
from typing import Final

from gateway.runtime.device import Device
from gateway.runtime.shadows import Twin
from gateway.schema.spec import BitSpec, FieldSpec
from gateway.sinks.sparkplug.values import DataType, declared, widened

LIFECYCLE: Final = "@state"  # of a route that births and deaths tell of
METRICS_MOST: Final = 10_000  # of one device


class Metric:
    """One metric of one device."""

    __slots__ = ("alias", "high", "is_list", "kind", "low", "name", "setpoint", "source", "units")

    def __init__(self, name: str, alias: int, *, source: str, kind: DataType | None, units: str = "1") -> None:
        """Take its name, where its values come from, and the type; None: no value told it yet."""
        self.name = name
        self.alias = alias
        self.source = source  # a route
        self.kind = kind
        self.units = units
        self.low: float | None = None
        self.high: float | None = None
        self.setpoint: str | None = None  # route of what a command sets
        self.is_list = False  # values are lists, told as text

    @property
    def datatype(self) -> DataType:
        """Return the type that a birth tells."""
        return DataType.STRING if self.kind is None else self.kind

    def same_as(self, other: Metric) -> bool:
        """Return whether a birth would say the same of both."""
        return all(getattr(self, name) == getattr(other, name) for name in ("kind", "units", "low", "high", "setpoint"))


class Catalogue:
    """All metrics of all devices of one edge node."""

    def __init__(self) -> None:
        """Start without any device."""
        self.due: set[str] = set()  # devices whose last birth does not say what their data need
        self._aliases: dict[str, int] = {}  # of names below the edge node's
        self._numbers = count(1)
        self._wired: dict[str, tuple[Device, Twin | None]] = {}
        self._metrics: dict[str, dict[str, Metric]] = {}  # device -> name -> metric
        self._followers: dict[str, list[Metric]] = {}  # route -> what its values update

    def alias(self, name: str) -> int:
        """Return the number that stands for a name, the same as long as its device is there."""
        if name not in self._aliases:
            self._aliases[name] = next(self._numbers)
        return self._aliases[name]

    def of(self, device: str) -> dict[str, Metric]:
        """Return the metrics of a device by name."""
        return self._metrics.get(device, {})

    def find(self, device: str, name: str | None, alias: int | None) -> Metric | None:
        """Return the metric that a command names, or gives the alias of; None: the device has none like it."""
        metrics = self.of(device)
        if name:
            return metrics.get(name)
        return next((each for each in metrics.values() if each.alias == alias), None)

    def following(self, route: str, value: object) -> list[Metric]:
        """Return the metrics that a value of a route updates, each of a type that carries it."""
        found = self._followers.get(route)
        if found is None:
            found = self._meet(route)
        for metric in found:
            kind = widened(metric.kind, value) if value is not None else metric.kind
            if kind is not metric.kind:
                metric.kind = kind
                self.due.add(route.partition("/")[0])
        return found

    def _meet(self, route: str) -> list[Metric]:
        """Take a route that nothing is wired for."""
        device, _, name = route.partition("/")
        if name.endswith(LIFECYCLE) or len(self.of(device)) >= METRICS_MOST:
            return []
        kind = DataType.STRING if name.endswith("@event") else None
        metric = Metric(name, self.alias(route), source=route, kind=kind)
        self._metrics.setdefault(device, {})[name] = metric
        self._followers[route] = [metric]
        self.due.add(device)
        return [metric]

    def forget(self, device: str) -> None:
        """Let go of a device that is gone from the configuration."""
        self._wired.pop(device, None)
        self._metrics.pop(device, None)
        self.due.discard(device)
        mine = f"{device}/"
        for known in (self._aliases, self._followers):
            for name in [each for each in known if each.startswith(mine)]:
                del known[name]

    # ---- what is wired

    def wire(self, devices: Iterable[Device], twins: Mapping[str, Twin]) -> None:
        """Take how devices are wired now, where that changed."""
        for device in devices:
            wired = (device, twins.get(device.name))
            if self._wired.get(device.name) != wired:
                self._wired[device.name] = wired
                self._rewire(*wired)

    def _rewire(self, device: Device, twin: Twin | None) -> None:
        name = device.name
        before = self.of(name)
        found = {metric.name: metric for metric in self._readings(device)}
        if twin is not None:
            self._add_setpoints(found, device, twin)
        met = {each: metric for each, metric in before.items() if each not in found and metric.setpoint is None}
        for each, metric in found.items():
            known = before.get(each)
            if known is not None and metric.kind is None:
                metric.kind = known.kind
            if known is None or not metric.same_as(known):
                self.due.add(name)
        if before.keys() - found.keys() - met.keys():
            self.due.add(name)
        self._metrics[name] = found | met
        for route in [route for route in self._followers if route.startswith(f"{name}/")]:
            del self._followers[route]
        for metric in self._metrics[name].values():
            self._followers.setdefault(metric.source, []).append(metric)

    def _readings(self, device: Device) -> Iterable[Metric]:
        for message in device.all_messages():
            plan = message.plan
            for field, stream, units, spec in zip(plan.names, message.streams, plan.units, plan.fields, strict=True):
                kind = declared(spec)
                if field in device.adjust and kind is not DataType.STRING:
                    kind = DataType.DOUBLE
                yield self._metric(f"{device.name}/{message.family}/{stream}", kind, units, spec)

    def _metric(self, route: str, kind: DataType | None, units: str, spec: FieldSpec | BitSpec) -> Metric:
        metric = Metric(route.partition("/")[2], self.alias(route), source=route, kind=kind, units=units)
        metric.low, metric.high = spec.minimum, spec.maximum
        return metric

    def _add_setpoints(self, found: dict[str, Metric], device: Device, twin: Twin) -> None:
        """Add what commands bring, and make what they set writable: by the setpoint's name, reported or not."""
        for key, setpoint in twin.setpoints.items():
            route = twin.route(key)  # of the desired value
            plain = route.partition("@")[0]
            kind, units, spec = declared(setpoint.written), twin.units(key), setpoint.written
            aside = [self._metric(f"{plain}@{variant}", kind, units, spec) for variant in ("desired", "effective")]
            aside.append(self._metric(f"{plain}@event", DataType.STRING, "1", spec))
            found |= {metric.name: metric for metric in aside}
            name = plain.partition("/")[2]
            if name not in found:
                found[name] = self._metric(plain, kind, units, spec)
                found[name].source = _report_of(device, setpoint.reported_by) or route
            for each in (found[name], found[f"{name}@desired"]):
                each.setpoint, each.is_list = route, spec.flags is not None
                each.low = each.low if setpoint.spec.minimum is None else setpoint.spec.minimum
                each.high = each.high if setpoint.spec.maximum is None else setpoint.spec.maximum


def _report_of(device: Device, reported_by: tuple[str, str] | None) -> str | None:
    """Return the route of the reading that reports a setpoint."""
    message = None if reported_by is None else device.messages.get(reported_by[0])
    if message is None or reported_by is None or reported_by[1] not in message.plan.names:
        return None
    return f"{device.name}/{message.family}/{message.streams[message.plan.names.index(reported_by[1])]}"
