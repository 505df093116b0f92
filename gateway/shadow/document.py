"""Layer 2: the shadow of one device: desired, reported, effective and ack of each setpoint, and who wins a merge. Pure.

Facts only ever get newer: every change is a join, which is commutative, associative and idempotent, so records may be
folded twice, late or in pieces. Effective and ack belong to one desired value and go when another takes its place.
How the document is stored is not decided here, nor what a command makes of a report (`gateway.shadow.command`).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, Final, Self

import msgspec

from gateway.shadow.reconcile import Coherence, agree, coherence, is_storable
from gateway.taint import names_of

_SECOND_NS: Final = 1_000_000_000


class Fact(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One value with where it stands in the order of things."""

    value: Any  # None, of a desired: withdrawn
    boot: int  # of the gateway; rises; monotonic times and sequences are comparable within one
    seq: int  # a report's: of the device's message; a desired's: of its record in the ledger
    wall_ns: int  # since 1970
    mono_ns: int = 0  # of that boot
    taints: int = 0  # bits of gateway.taint
    version: int = 0  # of the document: what this desired made it, or the desired's that this belongs to; 0: a report

    @property
    def order(self) -> tuple[int, int, int]:
        """Return what tells newer from older, for facts of the same part of the same setpoint."""
        return self.version, self.boot, self.seq


def newest(one: Fact | None, other: Fact | None) -> Fact | None:
    """Return the join of two facts: the newer one; marks unite where they are the same fact."""
    if one is None or other is None:
        return other if one is None else one
    if one.order != other.order:
        return one if one.order > other.order else other
    mine, yours = _identity(one), _identity(other)
    if mine != yours:
        return one if mine > yours else other
    return msgspec.structs.replace(one, taints=one.taints | other.taints)


class SetpointShadow(msgspec.Struct, frozen=True, omit_defaults=True):
    """The four parts of one setpoint."""

    desired: Fact | None = None
    reported: Fact | None = None
    effective: Fact | None = None  # what a settled report made of this desired
    ack: Fact | None = None  # of this desired

    @property
    def version(self) -> int:
        """Return the version of the document that its desired made; 0: none."""
        return self.desired.version if self.desired is not None else 0

    @property
    def wanted(self) -> Any:
        """Return the desired value; None where there is none or it was withdrawn."""
        return self.desired.value if self.desired is not None else None

    def join(self, other: SetpointShadow) -> SetpointShadow:
        """Return what both know."""
        desired = newest(self.desired, other.desired)
        reported = newest(self.reported, other.reported)
        effective = ack = None
        for side in (self, other):
            if _is_same(side.desired, desired):
                effective, ack = newest(effective, side.effective), newest(ack, side.ack)
        return SetpointShadow(desired, reported, effective, ack)


class Rule(msgspec.Struct, frozen=True):
    """What a profile says of one setpoint's values."""

    tolerance: float = 0.0
    stale_after_ns: int | None = None  # of the report's message; None: never by age alone


class Moment(msgspec.Struct, frozen=True):
    """Now, as the staleness of one device needs it."""

    boot: int
    now_ns: int  # monotonic
    heard_ns: int | None = None  # monotonic: when the device last spoke in this boot; None: not yet
    lost_ns: int | None = None  # monotonic: when the connection was last lost in this boot; None: never

    @property
    def is_silent(self) -> bool:
        """Return whether the device has not spoken since this boot or since it was last lost."""
        return self.heard_ns is None or (self.lost_ns is not None and self.heard_ns <= self.lost_ns)

    def is_stale(self, reported: Fact, rule: Rule) -> bool:
        """Return whether a report says nothing about now: of an earlier boot, from before a loss, or too old."""
        if reported.boot != self.boot or (self.lost_ns is not None and reported.mono_ns <= self.lost_ns):
            return True
        return rule.stale_after_ns is not None and self.now_ns - reported.mono_ns > rule.stale_after_ns


class Shadow(msgspec.Struct, frozen=True, omit_defaults=True):
    """The document of one device. Every change gives a new one; a change that is no news gives the same one."""

    device: str
    setpoints: dict[str, SetpointShadow] = msgspec.field(default_factory=dict)

    @property
    def version(self) -> int:
        """Return how many desired values were taken: reports change no version, so a writer's lock holds under them."""
        return max((setpoint.version for setpoint in self.setpoints.values()), default=0)

    def is_at(self, version: int | None) -> bool:
        """Return whether a writer who has seen `version` may write; None: it does not ask."""
        return version is None or version == self.version

    def of(self, name: str) -> SetpointShadow:
        """Return one setpoint's parts; all None for one that nothing is known of."""
        return self.setpoints.get(name, _NOTHING)

    def desire(self, name: str, fact: Fact) -> Self:
        """Take a desired value; effective and ack of the previous one go.

        A fact without version is given the next one. One that is not newer, as in a replay, changes nothing.
        """
        if fact.value is not None and not is_storable(fact.value):
            return self
        numbered = fact if fact.version else msgspec.structs.replace(fact, version=self.version + 1)
        return self._joined(name, SetpointShadow(desired=numbered))

    def report(self, name: str, fact: Fact, tolerance: float, *, is_open: bool = False) -> Self:
        """Take what the device says. A value that cannot be stored, or is not newer, changes nothing.

        Without a command under way (`is_open`) a report that agrees with the desired value settles it, once: late is
        not never. While one is, only its machine says what settles.
        """
        if not is_storable(fact.value):
            return self
        known = self.of(name)
        joined = self._joined(name, SetpointShadow(reported=fact))
        if joined is self or is_open or known.wanted is None or not agree(fact.value, known.wanted, tolerance):
            return joined
        if known.effective is not None and agree(known.effective.value, known.wanted, tolerance):
            return joined
        return joined.settle(name, known.version, fact)

    def settle(self, name: str, version: int, fact: Fact) -> Self:
        """Take what became of the desired value of `version`; nothing changes if another one stands by now."""
        return self._belonging(name, version, fact, "effective")

    def acknowledge(self, name: str, version: int, fact: Fact) -> Self:
        """Take the device's word that it took the desired value of `version`."""
        return self._belonging(name, version, fact, "ack")

    def join(self, other: Shadow) -> Self:
        """Return what both documents know. Raises: ValueError for shadows of two devices."""
        if other.device != self.device:
            raise ValueError(f"shadows of {self.device!r} and {other.device!r} do not merge; they are two devices")
        joined = self
        for name, setpoint in other.setpoints.items():
            joined = joined._joined(name, setpoint)
        return joined

    def coherence(self, name: str, rule: Rule, moment: Moment, *, is_open: bool) -> Coherence:
        """Return how far one setpoint can be trusted now."""
        known = self.of(name)
        reported = known.reported
        return coherence(
            known.wanted,
            reported.value if reported is not None else None,
            known.effective.value if known.effective is not None else None,
            tolerance=rule.tolerance,
            is_stale=reported is not None and moment.is_stale(reported, rule),
            is_open=is_open,
        )

    def is_stale(self, rules: Mapping[str, Rule], moment: Moment) -> bool:
        """Return whether the device is silent, or any of its reports too old."""
        reports = {name: self.of(name).reported for name in rules}
        return moment.is_silent or any(
            fact is not None and moment.is_stale(fact, rules[name]) for name, fact in reports.items()
        )

    def view(self, rules: Mapping[str, Rule], moment: Moment, open_setpoints: Collection[str]) -> dict[str, Any]:
        """Return the document as people and programs read it: AWS's shape, with effective, coherence and stale.

        `rules` names the setpoints of the profile; `open_setpoints` those with a command under way.
        """
        known = {name: self.of(name) for name in rules}
        parts = {
            part: {name: fact for name, setpoint in known.items() if (fact := _held(setpoint, part)) is not None}
            for part in _PARTS
        }
        state = {part: {name: fact.value for name, fact in facts.items()} for part, facts in parts.items()}
        reported = state["reported"]
        delta = {
            name: value
            for name, value in state["desired"].items()
            if name not in reported or not agree(reported[name], value, rules[name].tolerance)
        }
        words = {
            name: self.coherence(name, rule, moment, is_open=name in open_setpoints) for name, rule in rules.items()
        }
        return {
            "device": self.device,
            "version": self.version,
            "state": state | {"delta": delta},
            "metadata": {
                part: {name: _metadata(fact) for name, fact in facts.items()} for part, facts in parts.items()
            },
            "coherence": {name: str(word) for name, word in words.items()},
            "stale": self.is_stale(rules, moment),
        }

    def _belonging(self, name: str, version: int, fact: Fact, part: str) -> Self:
        known = self.of(name)
        if known.desired is None or known.version != version or not is_storable(fact.value):
            return self
        mine = msgspec.structs.replace(fact, version=version)
        return self._joined(name, SetpointShadow(**{"desired": known.desired, part: mine}))

    def _joined(self, name: str, setpoint: SetpointShadow) -> Self:
        known = self.of(name)
        joined = known.join(setpoint)
        if joined == known:
            return self
        return msgspec.structs.replace(self, setpoints=self.setpoints | {name: joined})


def to_plain(told: Shadow | Fact) -> dict[str, Any]:
    """Return a document or a fact as JSON says it; `shadow_from` and `fact_from` give back an equal one."""
    plain: dict[str, Any] = msgspec.to_builtins(told)
    return plain


def shadow_from(plain: Any) -> Shadow:
    """Return the document that `to_plain` said. Raises: ValueError for what it never says."""
    try:
        shadow = msgspec.convert(plain, Shadow)
    except msgspec.ValidationError as error:
        raise ValueError(f"no shadow: {error}") from error
    facts = [fact for known in shadow.setpoints.values() for fact in (known.reported, known.effective, known.ack)]
    desired = [known.desired for known in shadow.setpoints.values() if known.wanted is not None]
    if not all(fact is None or is_storable(fact.value) for fact in facts + desired):
        raise ValueError(f"no shadow of {shadow.device!r}: a fact holds no value that can be stored")
    return shadow


def fact_from(plain: Any) -> Fact:
    """Return the fact that `to_plain` said; unknown keys are left. Raises: ValueError for what it never says."""
    try:
        return msgspec.convert(plain, Fact)
    except msgspec.ValidationError as error:
        raise ValueError(f"no fact: {error}") from error


def restored(device: str, name: str, *, desired: Fact | None, reported: Fact | None, effective: Fact | None) -> Shadow:
    """Return a document of the newest record of each part of one setpoint; join it with those of the others.

    An effective value that belongs to an older desired is left: the newer one has none yet.
    """
    belongs = desired is not None and effective is not None and effective.version == desired.version
    known = SetpointShadow(desired, reported, effective if belongs else None)
    return Shadow(device, {name: known} if known != _NOTHING else {})


_NOTHING: Final = SetpointShadow()
_PARTS: Final = ("desired", "reported", "effective")


def _identity(fact: Fact) -> tuple[int, int, str]:
    """Return what tells apart two facts of the same order, which only two writers with one number can make."""
    return fact.wall_ns, fact.mono_ns, json.dumps(fact.value, sort_keys=True)


def _is_same(one: Fact | None, other: Fact | None) -> bool:
    if one is None or other is None:
        return one is other
    return one is other or (one.order == other.order and _identity(one) == _identity(other))


def _held(setpoint: SetpointShadow, part: str) -> Fact | None:
    fact: Fact | None = getattr(setpoint, part)
    return fact if fact is not None and fact.value is not None else None


def _metadata(fact: Fact) -> dict[str, Any]:
    told: dict[str, Any] = {"timestamp": fact.wall_ns // _SECOND_NS, "sequence": fact.seq}
    return told | {"taints": names_of(fact.taints)} if fact.taints else told
