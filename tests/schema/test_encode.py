"""What is written reads back as what was meant; what cannot be written is refused with a reason."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from gateway.errors import EncodeError
from gateway.schema.compile import compile_message
from gateway.schema.plan import MessagePlan, Refused, values_of
from gateway.schema.spec import FieldSpec, MessageSpec
from tests.schema.strategies import binary_specs, bodies, signal_specs, writable

SETTINGS = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


def plan_of(*fields: dict[str, Any], **keys: Any) -> MessagePlan:
    return compile_message("made", msgspec.convert({"fields": list(fields), **keys}, MessageSpec))


def has_null(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(has_null, value.values()))
    return value is None or (isinstance(value, list) and any(map(has_null, value)))


def assert_written_values_read_back(spec: MessageSpec, body: bytes) -> None:
    plan = compile_message("made", spec)
    try:
        row = plan.decode(body)
    except Refused:
        return
    values = values_of(plan, row)
    if row[-1] or has_null(values):
        return
    try:
        written = plan.encode(values)
    except EncodeError as error:
        assume("`invalid` mark" in str(error) or "has no" not in str(error))
        assert "`invalid` mark" in str(error), error  # flags and bools read several raw numbers as one value
        return
    assert repr(values_of(plan, plan.decode(written))) == repr(values)


@SETTINGS
@given(spec=binary_specs().filter(writable), some=st.lists(bodies(), min_size=1, max_size=8))
def test_values_of_any_body_can_be_written_and_read_back(spec, some):
    for body in some:
        assert_written_values_read_back(spec, body)
