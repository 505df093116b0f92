"""Layer 7: payloads of one edge node: births, data, deaths; and the sequence number that runs through them.

Every message but NDEATH carries `seq`, 0 at NBIRTH and one more with each message after it, 255 before 0. Births name
metrics and give them aliases, types and properties; data carry the alias alone. Every metric carries when its value was
captured, and `seq` of the ledger as a property, which tells one value from the same sent twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from gateway.api.follow.values import BAD, STALE, Item, Quality
from gateway.clock import Clock
from gateway.sinks.sparkplug.catalogue import Metric
from gateway.sinks.sparkplug.values import DataType, put
from gateway.sinks.sparkplug.wire import Payload

REBIRTH: Final = "Node Control/Rebirth"
BDSEQ: Final = "bdSeq"
QUALITY: Final = {"good": 192, STALE: 500, BAD: 0}
_MS: Final = 1_000_000


class Told(NamedTuple):
    """One value of one metric on its way."""

    metric: Metric
    item: Item | None  # None: no value came yet
    quality: Quality
    is_historical: bool = False


class Fact(NamedTuple):
    """One metric of the edge node itself."""

    name: str
    alias: int
    kind: DataType
    value: Any
    is_historical: bool = False


class Payloads:
    """Makes the payloads of one edge node. Knows what was numbered last, and nothing else."""

    def __init__(self, clock: Clock) -> None:
        """Take the clock that stamps messages."""
        self._clock = clock
        self._seq = 0
        self._odd: set[int] = set()  # aliases whose quality was told last as other than good

    def ndeath(self, bdseq: int) -> bytes:
        """Return the will of a connection."""
        now_ms = self._now_ms()
        payload = Payload(timestamp=now_ms)
        self._add_bdseq(payload, bdseq, now_ms)
        return bytes(payload.SerializeToString())

    def nbirth(self, bdseq: int, facts: Iterable[Fact]) -> bytes:
        """Return the birth of the edge node: sequence numbers begin again."""
        now_ms = self._now_ms()
        self._seq = 0
        self._odd.clear()
        payload = Payload()
        self._add_bdseq(payload, bdseq, now_ms)
        rebirth = payload.metrics.add(name=REBIRTH, timestamp=now_ms, datatype=DataType.BOOLEAN)
        rebirth.boolean_value = False
        for fact in facts:
            metric = self._add_fact(payload, fact, now_ms)
            metric.name, metric.datatype = fact.name, fact.kind
        return self.seal(payload)

    def dbirth(self, values: Iterable[Told]) -> bytes:
        """Return the birth of a device with the current values of all its metrics."""
        now_ms = self._now_ms()
        payload = Payload()
        for told in values:
            metric, item = told.metric, told.item
            place = payload.metrics.add(name=metric.name, alias=metric.alias, datatype=metric.datatype)
            place.timestamp = now_ms if item is None else _ms(item.t)
            put(place, metric.datatype, None if item is None else item.v)
            properties: dict[str, tuple[DataType, Any]] = {
                "Quality": (DataType.INT32, QUALITY[told.quality]),
                "readOnly": (DataType.BOOLEAN, metric.setpoint is None),
            }
            if metric.units not in {"1", ""}:
                properties["engUnit"] = (DataType.STRING, metric.units)
            if metric.datatype is not DataType.STRING:
                limits = {"engLow": metric.low, "engHigh": metric.high}
                properties |= {key: (DataType.DOUBLE, limit) for key, limit in limits.items() if limit is not None}
            self._remember(metric.alias, told.quality)
            _add_properties(place, properties | _identity(item))
        return self.seal(payload)

    def data(self, values: Iterable[Told]) -> Any:
        """Return values of one device as a message that has no number yet."""
        payload = Payload()
        for told in values:
            metric, item = told.metric, told.item
            assert item is not None
            place = payload.metrics.add(alias=metric.alias, timestamp=_ms(item.t))
            if told.is_historical:
                place.is_historical = True
            put(place, metric.datatype, item.v)
            properties = _identity(item)
            if told.quality != "good" or metric.alias in self._odd:
                properties["Quality"] = (DataType.INT32, QUALITY[told.quality])
            self._remember(metric.alias, told.quality)
            _add_properties(place, properties)
        return payload

    def facts(self, facts: Iterable[Fact]) -> Any:
        """Return metrics of the edge node as a message that has no number yet."""
        payload = Payload()
        for fact in facts:
            self._add_fact(payload, fact, self._now_ms())
        return payload

    def ddeath(self) -> bytes:
        """Return the death of a device."""
        return self.seal(Payload())

    def seal(self, payload: Any) -> bytes:
        """Return a message with the next number and the time: it must be the next one that is sent."""
        payload.seq = self._seq
        payload.timestamp = self._now_ms()
        self._seq = (self._seq + 1) % 256
        return bytes(payload.SerializeToString())

    def _add_bdseq(self, payload: Any, bdseq: int, now_ms: int) -> None:
        metric = payload.metrics.add(name=BDSEQ, timestamp=now_ms, datatype=DataType.UINT64)
        metric.long_value = bdseq

    def _add_fact(self, payload: Any, fact: Fact, now_ms: int) -> Any:
        metric = payload.metrics.add(alias=fact.alias, timestamp=now_ms)
        if fact.is_historical:
            metric.is_historical = True
        put(metric, fact.kind, fact.value)
        return metric

    def _remember(self, alias: int, quality: Quality) -> None:
        if quality == "good":
            self._odd.discard(alias)
        else:
            self._odd.add(alias)

    def _now_ms(self) -> int:
        return max(0, self._clock.wall_ns() // _MS)


def _ms(seconds: float) -> int:
    return max(0, round(seconds * 1000))


def _identity(item: Item | None) -> dict[str, tuple[DataType, Any]]:
    """Return what tells a value from the same sent twice, and the marks it carries."""
    if item is None:
        return {}
    found: dict[str, tuple[DataType, Any]] = {"seq": (DataType.UINT64, item.seq)}
    if item.taints:
        found["taints"] = (DataType.STRING, ",".join(item.taints))
    return found


def _add_properties(place: Any, properties: Mapping[str, tuple[DataType, Any]]) -> None:
    keys, values = place.properties.keys, place.properties.values
    for key, (kind, value) in properties.items():
        keys.append(key)
        put(values.add(type=kind), kind, value)
