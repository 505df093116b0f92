"""Short ways to make plans in tests."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.schema.compile import compile_message
from gateway.schema.plan import MessagePlan, values_of
from gateway.schema.spec import MessageSpec
from gateway.taint import names_of


def spec_of(*fields: dict[str, Any], **keys: Any) -> MessageSpec:
    return msgspec.convert({"fields": list(fields), **keys}, MessageSpec)


def plan_of(*fields: dict[str, Any], **keys: Any) -> MessagePlan:
    return compile_message("made", spec_of(*fields, **keys))


def values(plan: MessagePlan, text: str) -> dict[str, Any]:
    return values_of(plan, plan.decode(bytes.fromhex(text)))


def taints(plan: MessagePlan, text: str) -> list[str]:
    return names_of(plan.decode(bytes.fromhex(text))[-1])
