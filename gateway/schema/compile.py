"""Layer 2: from a message's document to its plan: the one place that decides how a layout is decoded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from gateway.schema.binary import BinaryPlan
from gateway.schema.plan import MessagePlan
from gateway.schema.spec import MessageSpec

_NONE: Mapping[str, Callable[..., Any]] = MappingProxyType({})


def compile_message(
    name: str,
    spec: MessageSpec,
    transforms: Mapping[str, Callable[..., Any]] = _NONE,  # noqa: ARG001 - raw fields in, new fields out: not run here
) -> MessagePlan:
    """Return the plan of one message. Cheap: code is generated at the first decode.

    Raises: ValueError for a spec that `gateway.schema.rules` would have refused.
    """
    if spec.construct is not None:
        from gateway.schema.foreign import ConstructPlan

        return ConstructPlan(name, spec)
    if spec.format == "binary":
        return BinaryPlan(name, spec)
    if spec.format == "tlv":
        from gateway.schema.tlv import TlvPlan

        return TlvPlan(name, spec)
    from gateway.schema.text import compile_text

    return compile_text(name, spec)
