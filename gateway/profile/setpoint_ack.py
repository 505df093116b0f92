"""Layer 3: what an ack frame says to an attempt: not ours, accepted or rejected (PROFILES 6, `ack`).

Whether it came in time, and after what it answers, is not asked here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from gateway.profile.build import CompiledProfile
from gateway.profile.model import AckSpec
from gateway.schema.facts import Fact, parse_facts
from gateway.schema.plan import Refused, values_of
from gateway.schema.spec import BitSpec, FieldSpec, MessageSpec

Answer = Literal["foreign", "accepted", "rejected"]


class Ack(NamedTuple):
    """What one ack frame says to one attempt."""

    answer: Answer
    reason: str = ""  # of a rejection: the facts that were not as they should be, "result = out_of_range"


FOREIGN = Ack("foreign")


class AckRule:
    """Reads the ack frames of one setpoint."""

    def __init__(self, profile: CompiledProfile, spec: AckSpec) -> None:
        """Take `ack`. Raises: ValueError for facts that can never hold."""
        fields = fields_of(profile.profile.message[spec.message])
        self._profile = profile
        self._message = spec.message
        self._where = parse_facts(dict(spec.where), fields.get) if spec.where else ()
        self._accept = parse_facts(dict(spec.accept), fields.get) if spec.accept else ()
        self._same = tuple(spec.same)

    def judge(self, body: bytes, echo: Mapping[str, Any]) -> Ack:
        """Return what the body of an ack message says; `echo` has the raw numbers that `same` wants, by its field."""
        plan = self._profile.messages[self._message]
        try:
            raw = plan.decode_raw(body)
            values = {**raw, **values_of(plan, plan.decode(body))}  # internal fields have no value but the raw one
        except Refused:
            return FOREIGN
        if not all(fact.holds(values.get(fact.name)) for fact in self._where):
            return FOREIGN
        if any(raw.get(name) is None or raw[name] != echo.get(name) for name in self._same):
            return FOREIGN
        wrong = [fact for fact in self._accept if not fact.holds(values.get(fact.name))]
        return Ack("rejected", ", ".join(_said(fact, values) for fact in wrong)) if wrong else Ack("accepted")


def fields_of(spec: MessageSpec) -> dict[str, FieldSpec | BitSpec]:
    """Return the named fields of a message, bits and what a transform gives too, the first where names are shared."""
    found: dict[str, FieldSpec | BitSpec] = {}
    for field in [*spec.fields, *(spec.transform.gives if spec.transform is not None else ())]:
        bits: list[FieldSpec | BitSpec] = [*(field.bits or ())]
        for part in (field, *bits):
            if part.name:
                found.setdefault(part.name, part)
    return found


def _said(fact: Fact, values: Mapping[str, Any]) -> str:
    value = values.get(fact.name)
    return f"{fact.name} = {'nothing' if value is None else value}"
