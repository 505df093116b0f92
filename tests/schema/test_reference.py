"""Generated code means what the construct reference means, for any spec and any bytes."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.schema.compile import compile_message
from gateway.schema.plan import Refused
from gateway.schema.reference import reference_decode, reference_decode_raw
from gateway.schema.rules import message_problems
from gateway.schema.spec import MessageSpec
from tests.schema.made import spec_of
from tests.schema.strategies import binary_specs, bodies, signal_specs

SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def outcome(decode: Any, body: bytes) -> str:
    """The row as text, in which 1, 1.0 and True differ and NaN equals itself; or why it was refused."""
    try:
        return repr(decode(body))
    except Refused as refused:
        return f"refused: {refused.reason}"


def assert_equal_meaning(spec: MessageSpec, body: bytes) -> None:
    plan = compile_message("made", spec)
    assert outcome(plan.decode, body) == outcome(reference_decode(spec), body)
    assert outcome(plan.decode_raw, body) == outcome(reference_decode_raw(spec), body)


@SETTINGS
@given(spec=binary_specs(), some=st.lists(bodies(), min_size=1, max_size=6))
def test_generated_code_decodes_any_body_as_the_reference_does(spec, some):
    for body in some:
        assert_equal_meaning(spec, body)


@SETTINGS
@given(spec=signal_specs(), some=st.lists(bodies(12), min_size=1, max_size=6))
def test_generated_code_reads_dbc_signals_as_they_are_numbered(spec, some):
    for body in some:
        assert_equal_meaning(spec, body)


@SETTINGS
@given(bodies(8))
def test_bits_that_exclusive_conditions_share_are_read_as_the_one_that_holds(body):
    """A number in two parts, as the suspect parameter number of SAE J1939 diagnostics."""
    parts = [{"name": "n", "at": "15:0", "offset": high << 16, "if": {"_high": high}} for high in range(8)]
    bits = [{"name": "_high", "at": "23:21"}, *parts, {"name": "mode", "at": "20:16"}]
    spec = spec_of({"type": "u24le", "bits": bits})
    assert message_problems("made", spec) == []
    assert_equal_meaning(spec, body)
    if len(body) >= 3:
        row = compile_message("made", spec).decode(body)
        assert row == (body[0] | body[1] << 8 | body[2] >> 5 << 16, body[2] & 31, 0)
        values = {"n": row[0], "mode": row[1], "_high": body[2] >> 5}
        assert compile_message("made", spec).encode(values) == body[:3]
