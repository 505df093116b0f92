"""Layer 6: the shadow of one device, kept as it speaks, comes and goes. What commands make of it is the commander's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from gateway.clock import Clock
from gateway.ledger.fold import Latest, State
from gateway.lifecycle import Lifecycle
from gateway.lifecycle import State as Standing
from gateway.notation import duration_ns
from gateway.profile.setpoint import Seen, Setpoint
from gateway.profile.setpoints import Setpoints
from gateway.runtime.backoff import bounds_s
from gateway.runtime.device import Device
from gateway.runtime.message import Message
from gateway.schema.plan import Row, values_of
from gateway.shadow.document import Fact, Moment, Rule, SetpointShadow, Shadow, fact_from, restored, to_plain
from gateway.shadow.intent import Policy

_NS: Final = 1_000_000_000


class Twin:
    """One device with its setpoints, their rules and its shadow."""

    def __init__(self, device: Device, compiled: Mapping[str, Setpoint], clock: Clock) -> None:
        """Take a device that is wired, and the setpoints of its profile."""
        self.device = device
        self.setpoints = Setpoints(compiled, device.adjust, first_count=clock.wall_ns() // _NS)
        self._shadow = Shadow(device.name)
        self._folded: dict[str, int] = {}  # setpoint -> number of the report that is in the shadow
        self.open: set[str] = set()  # setpoints with a command under way
        self.boot = 1  # number of this run
        self.version = 0  # of the shadow, with the desired values that are on their way to the medium
        self.on_settled: Callable[[str, Fact], None] | None = None  # told of an effective value that no command brought
        self.policies = {name: _policy(setpoint) for name, setpoint in self.setpoints.items()}
        self.rules = {name: self._rule(setpoint) for name, setpoint in self.setpoints.items()}
        self._clock = clock

    @property
    def shadow(self) -> Shadow:
        """Return the document, with what the device said last: it is folded when somebody looks, not as it comes."""
        for name, setpoint in self.setpoints.items():
            message = self._report_of(setpoint)
            if message is None or message.row is None or message.is_restored:
                continue
            if self._folded.get(name) != message.sequence:
                self._folded[name] = message.sequence
                self._fold(name, message, message.row)
        return self._shadow

    @shadow.setter
    def shadow(self, shadow: Shadow) -> None:
        self._shadow = shadow

    @property
    def is_up(self) -> bool:
        """Return whether the device can be written to."""
        return self.device.is_up

    def route(self, name: str) -> str:
        """Return the route of a setpoint's desired value."""
        return str(self.setpoints[name].route(self.device.name))

    def units(self, name: str) -> str:
        """Return the unit of a setpoint's values, that of its report or else of what it writes."""
        setpoint = self.setpoints[name]
        message, field = setpoint.reported_by or (setpoint.message, setpoint.field)
        plan = self.device.profile.messages[message]
        return dict(zip(plan.names, plan.units, strict=True)).get(field, "")

    def latest(self, message: str) -> Seen | None:
        """Return what a message said last; None: nothing."""
        found = self.device.messages.get(message)
        if found is None or found.row is None:
            return None
        values = values_of(found.plan, found.row)
        return Seen(values, found.received_ns, found.is_stale(self._clock.monotonic_ns()), found.is_restored)

    def moment(self) -> Moment:
        """Return now, as this device's staleness needs it."""
        heard = [
            each.received_ns for each in self.device.all_messages() if each.row is not None and not each.is_restored
        ]
        lost_ns = self.device.lost_ns
        if not self.is_up and lost_ns is None:
            lost_ns = self._clock.monotonic_ns()
        return Moment(self.boot, self._clock.monotonic_ns(), max(heard, default=None), lost_ns)

    def coherence(self, name: str) -> str:
        """Return the word for one setpoint now."""
        return str(self.shadow.coherence(name, self.rules[name], self.moment(), is_open=name in self.open))

    def view(self) -> dict[str, Any]:
        """Return the object of `shadow --json`."""
        return self.shadow.view(self.rules, self.moment(), self.open)

    def changed(self, before: Lifecycle) -> bool:
        """Take a change of the connection; return whether the device came or went: can be written to, or no more."""
        was_up, is_up = before.state is Standing.CONNECTED, self.is_up
        if was_up and not is_up:
            self.setpoints.forget()
        return is_up != was_up

    def restore(self, state: State) -> None:
        """Take what the ledger knows: desired and effective values of earlier runs, and what the device said then."""
        self.boot = state.boots + 1
        for name in self.setpoints:
            route = self.route(name)
            told = restored(
                self.device.name, name, desired=_fact(state.latest("desired").get(route)), reported=self._said(name),
                effective=_fact(state.latest("effective").get(route)),
            )  # fmt: skip
            self.shadow = self.shadow.join(told)
        self.version = self.shadow.version

    def inherit(self, before: Twin) -> None:
        """Take what the device was known for that this one takes the place of, as far as it has the same setpoints."""
        self.boot, self.version = before.boot, before.version
        lost_ns = before.device.lost_ns
        self.device.lost_ns = self._clock.monotonic_ns() if lost_ns is None else lost_ns
        known = before.shadow.setpoints
        same = [name for name in self.setpoints if name in known and before.route(name) == self.route(name)]
        self._shadow = Shadow(self.device.name, {name: known[name] for name in same})

    def recall(self, kept: Mapping[str, SetpointShadow]) -> None:
        """Take the shadow with which the device left, as far as its setpoints are still there."""
        mine = {name: setpoint for name, setpoint in kept.items() if name in self.setpoints}
        self._shadow = self._shadow.join(Shadow(self.device.name, mine))
        self.version = max(self.version, self._shadow.version)

    def _fold(self, name: str, message: Message, row: Row) -> None:
        value = self.setpoints[name].reported(row)
        if value is None:
            return
        fact = Fact(
            value, self.boot, message.sequence, message.wall_ns, mono_ns=message.received_ns,
            taints=row[-1] | message.taints,
        )  # fmt: skip
        before = self._shadow.of(name).effective
        self._shadow = self._shadow.report(name, fact, self.rules[name].tolerance, is_open=name in self.open)
        settled = self._shadow.of(name).effective
        if settled is not None and settled != before and self.on_settled is not None:
            self.on_settled(name, settled)

    def _report_of(self, setpoint: Setpoint) -> Message | None:
        by = setpoint.reported_by
        return self.device.messages.get(by[0]) if by is not None else None

    def _said(self, name: str) -> Fact | None:
        message = self._report_of(self.setpoints[name])
        if message is None or message.row is None or not message.is_restored:
            return None
        value = self.setpoints[name].reported(message.row)
        return None if value is None else Fact(value, self.boot - 1, message.sequence, message.wall_ns)

    def _rule(self, setpoint: Setpoint) -> Rule:
        message = self._report_of(setpoint)
        return Rule(setpoint.tolerance, message.stale_after_ns if message is not None else None)


def fact_body(fact: Fact, command: str) -> dict[str, Any]:
    """Return the body of a record of kind desired or effective."""
    return {**to_plain(fact), "command": command}


def _fact(latest: Latest | None) -> Fact | None:
    if latest is None:
        return None
    try:
        fact = fact_from(latest.body)
    except ValueError:
        return None
    return fact if fact.seq else msgspec.structs.replace(fact, seq=latest.seq)  # a desired's is that of its record


def _policy(setpoint: Setpoint) -> Policy:
    spec = setpoint.spec
    first_s, most_s = bounds_s(spec.backoff)
    return Policy(
        confirm=spec.confirm,
        has_report=spec.report is not None,
        has_ack=spec.ack is not None,
        tolerance=setpoint.tolerance,
        timeout_ns=duration_ns(spec.timeout),
        attempts=spec.attempts,
        backoff_first_ns=int(first_s * _NS),
        backoff_most_ns=int(most_s * _NS),
        is_idempotent=spec.idempotent,
    )
