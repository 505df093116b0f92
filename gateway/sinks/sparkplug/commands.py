"""Layer 7: what hosts ask for: to be told everything again, and setpoints. Nothing that comes here is trusted.

Everybody behind the broker is one principal, `service:mqtt`, as on every topic: what it may do, grants say. Sparkplug
has no answers: what became of a command is told by `FAMILY/NAME@event`; what was no command, by metrics of the edge
node that count and say why.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

import msgspec

from gateway.api.follow.values import json_bytes
from gateway.errors import GatewayError
from gateway.runtime.crew import Work
from gateway.sinks.mqtt.requests import CALLER, MAX_PAYLOAD_BYTES, code_of
from gateway.sinks.sparkplug.catalogue import Catalogue, Metric
from gateway.sinks.sparkplug.payloads import REBIRTH, Fact
from gateway.sinks.sparkplug.topics import Topics
from gateway.sinks.sparkplug.values import taken
from gateway.sinks.sparkplug.wire import DecodeError, Payload
from gateway.sinks.surroundings import Does

METRICS_MOST: Final = 64  # in one command
TEXT_MOST: Final = 200  # letters of what somebody sent, where it is told back
IGNORED: Final = "Commands/Ignored"  # messages and metrics that are nothing for us
REFUSED: Final = "Commands/Refused"  # commands that were not begun
REFUSAL: Final = "Commands/Last Refusal"

log = logging.getLogger(__name__)


class Commands:
    """Takes one broker's messages while it is connected."""

    def __init__(
        self,
        topics: Topics,
        catalogue: Catalogue,
        facts: dict[str, Fact],
        *,
        does: Does,
        rebirth: Callable[[], None],
        spawn: Callable[[Work, str], bool],
    ) -> None:
        """Take who does what is asked, and what runs work beside; False: not now. `facts` are counted up."""
        self._topics = topics
        self._catalogue = catalogue
        self._facts = facts
        self._does = does
        self._rebirth = rebirth
        self._spawn = spawn

    def take(self, topic: str, data: bytes, *, is_retained: bool, is_again: bool) -> None:
        """Take a message. Never waits, never fails. `is_again`: it may have been delivered before."""
        command = self._topics.parse(topic)
        if command is None or is_retained:
            self._ignore("a retained message is none of now" if is_retained else "not for this edge node")
            return
        if len(data) > MAX_PAYLOAD_BYTES:
            self._ignore(f"a payload of {len(data):,} bytes; at most {MAX_PAYLOAD_BYTES:,}")
            return
        try:
            payload = Payload.FromString(data)
        except DecodeError:
            self._ignore("no payload of Sparkplug B")
            return
        if len(payload.metrics) > METRICS_MOST:
            self._ignore(f"{len(payload.metrics):,} metrics in one command; at most {METRICS_MOST}")
        elif command.device is None:
            for metric in payload.metrics:
                self._order_node(metric)
        else:
            self._order_device(command.device, payload.metrics, is_again=is_again)

    def _order_node(self, metric: Any) -> None:
        if metric.name != REBIRTH:
            self._ignore(f"the edge node has no metric {_shown(metric)} that can be set")
        elif metric.WhichOneof("value") != "boolean_value":
            self._ignore(f"{REBIRTH} takes a Boolean")
        elif metric.boolean_value:
            log.info("sparkplug: a host asks for births")
            self._rebirth()

    def _order_device(self, device: str, metrics: Any, *, is_again: bool) -> None:
        wanted: list[tuple[str, Any]] = []
        for metric in metrics:
            alias = metric.alias if metric.HasField("alias") else None
            found = self._catalogue.find(device, metric.name, alias)
            if found is None or found.setpoint is None:
                self._ignore(f"{device[:TEXT_MOST]} has no metric {_shown(metric)} that can be set")
                continue
            try:
                wanted.append((found.setpoint, self._value(metric, found)))
            except ValueError as error:
                self._refuse(found.setpoint, "type", str(error))
        if is_again:
            for route, _ in wanted:
                self._refuse(route, "redelivered", "the broker may have delivered this before; ask again")
        elif wanted and not self._spawn(self._set(wanted), "set"):
            for route, _ in wanted:
                self._refuse(route, "rate", "too much is under way here; ask again later")

    @staticmethod
    def _value(metric: Any, found: Metric) -> Any:
        return taken(metric, found.datatype, is_list=found.is_list)

    async def _set(self, wanted: list[tuple[str, Any]]) -> None:
        """Have one value after the other set, as far as each is not refused."""
        for route, value in wanted:
            args = {"route": route, "value": value, "expires_s": None, "key": None, "wait_s": 0.0}
            try:
                answer = await self._does.answer("set", args, CALLER)
            except (GatewayError, msgspec.ValidationError) as error:
                self._refuse(route, code_of(error), str(error))
                continue
            if answer["id"] is None:
                self._refuse(route, answer["reason"], answer["detail"])

    # ---- what was no command

    def _ignore(self, why: str) -> None:
        self._count(IGNORED)
        log.debug("sparkplug: ignored: %s", why)

    def _refuse(self, route: str, reason: str, detail: str) -> None:
        self._count(REFUSED)
        told = {"route": route, "reason": reason, "detail": detail[:TEXT_MOST]}
        self._facts[REFUSAL] = self._facts[REFUSAL]._replace(value=json_bytes(told).decode())
        log.debug("sparkplug: %s refused: %s", route, detail)

    def _count(self, name: str) -> None:
        self._facts[name] = self._facts[name]._replace(value=self._facts[name].value + 1)


def _shown(metric: Any) -> str:
    return repr(metric.name[:TEXT_MOST]) if metric.name else f"with alias {metric.alias}"
