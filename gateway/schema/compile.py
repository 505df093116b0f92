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
    transforms: Mapping[str, Callable[..., Any]] = _NONE,
) -> MessagePlan:
    """Return the plan of one message. Cheap: code is generated at the first decode.

    `transforms` are those that plugins bring; the built-in ones are known.
    Raises: ValueError for a spec that `gateway.schema.rules` would have refused.
    """
    plan = _layout(name, spec)
    if spec.transform is None:
        return plan
    from gateway.schema.transformed import TransformedPlan
    from gateway.schema.transforms import BUILT_IN
    from gateway.schema.transforms_ble import BLE

    use = spec.transform.use
    return TransformedPlan(plan, spec, transforms.get(use) or BUILT_IN.get(use) or BLE.get(use))


def _layout(name: str, spec: MessageSpec) -> MessagePlan:
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
