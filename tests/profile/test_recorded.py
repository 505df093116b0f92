"""Readings are decoded with the schema of their time, from nothing but what the ledger holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import RecordError
from gateway.ledger.reading import Reading
from gateway.ledger.record import MAX_BODY_BYTES, encode_body
from gateway.profile.build import CompiledProfile
from gateway.profile.load import example_profile, load_profile, shipped_profiles
from gateway.profile.recorded import Recorded, Schema, Schemas, layout_of, plan_of, read_layout, schema_of
from gateway.schema.compile import compile_message
from gateway.schema.plan import MessagePlan, Refused, Row
from gateway.schema.spec import FieldSpec, MessageSpec, TransformSpec, WhenSpec
from gateway.taint import DELIVERY_DROPPED, TRUST_ADJUSTED
from tests.schema.strategies import binary_specs, signal_specs

SHIPPED = {name: CompiledProfile(example_profile(path)) for name, path in shipped_profiles().items()}
MESSAGES = [(name, message) for name, profile in SHIPPED.items() for message in profile.profile.message]


def stored(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a body as it comes back from a ledger."""
    raw, _ = encode_body(dict(body))
    assert len(raw) <= MAX_BODY_BYTES
    return dict(json.loads(raw))


def schema_in(specs_of: Mapping[str, MessageSpec], message: str, **adjust: tuple[float, float]) -> Schema:
    layout = layout_of(message, specs_of, adjust)
    return schema_of(layout, compile_message(message, specs_of[message]), "test/thing@1.0.0")


def outcome(decode: Callable[[bytes], Row], body: bytes) -> str:
    try:
        return repr(decode(body))
    except Refused as refused:
        return refused.reason


@pytest.mark.parametrize(("name", "message"), MESSAGES)
@given(data=st.data())
def test_a_shipped_message_reads_the_same_from_its_schema_alone(name: str, message: str, data: st.DataObject) -> None:
    profile = SHIPPED[name]
    schema = schema_of(
        layout_of(message, profile.profile.message), profile.messages[message], profile.profile.profile.id
    )
    recorded = Recorded(read_layout(map(stored, schema.bodies)))
    assert (recorded.plan.names, recorded.plan.units) == (
        profile.messages[message].names,
        profile.messages[message].units,
    )
    body = data.draw(st.binary(max_size=40))
    assert outcome(recorded.plan.decode, body) == outcome(profile.messages[message].decode, body)


@given(spec=binary_specs() | signal_specs(), body=st.binary(max_size=40))
def test_any_layout_reads_the_same_from_its_schema_alone(spec: MessageSpec, body: bytes) -> None:
    plan: MessagePlan = compile_message("m", spec)
    recorded = Recorded(read_layout(map(stored, schema_in({"m": spec}, "m").bodies)))
    assert outcome(recorded.plan.decode, body) == outcome(plan.decode, body)


def test_a_plan_can_be_had_from_one_record() -> None:
    schema = schema_in({"m": MessageSpec(fields=[FieldSpec(type="u8", name="load", units="%")])}, "m")
    plan = plan_of(stored(schema.bodies[0]))
    assert (plan.names, plan.units, plan.decode(b"\x07")) == (("load",), ("%",), (7, 0))


def test_what_only_matching_and_recording_need_makes_no_new_schema() -> None:
    plain = MessageSpec(fields=[FieldSpec(type="u8", name="load")])
    other = MessageSpec(fields=plain.fields, when=WhenSpec(can_id=7), every="1s", family="health")
    assert schema_in({"m": plain}, "m").digest == schema_in({"m": other}, "m").digest
    changed = MessageSpec(fields=[FieldSpec(type="u8", name="load", scale=2)])
    assert schema_in({"m": plain}, "m").digest != schema_in({"m": changed}, "m").digest


@pytest.mark.parametrize(("labels", "is_one"), [(50, True), (500, True), (60_000, False)])
def test_a_layout_of_any_size_fits_into_records_and_comes_back(labels: int, is_one: bool) -> None:
    words = {str(raw): f"state {raw * 7919 % 10_007}-{raw}" for raw in range(labels)}
    spec = MessageSpec(fields=[FieldSpec(type="u16be", name="state", labels=words)])
    schema = schema_in({"m": spec}, "m")
    layout = read_layout(map(stored, schema.bodies))
    assert layout.specs["m"].fields[0].labels == words
    assert (len(schema.bodies) == 1) is is_one


def test_numbers_that_json_cannot_say_come_back() -> None:
    spec = MessageSpec(
        fields=[FieldSpec(type="f64be", name="x", minimum=float("-inf"), invalid=[float("inf"), 1 << 70])]
    )
    schema = schema_in({"m": spec}, "m")
    assert "packed" in schema.bodies[0]
    assert read_layout(map(stored, schema.bodies)).specs["m"] == spec


def test_what_the_site_adjusts_is_part_of_the_schema_and_tainted() -> None:
    specs_of = {"m": MessageSpec(fields=[FieldSpec(type="u8", name="load")])}
    schema = schema_in(specs_of, "m", load=(2.0, 1.0))
    assert schema.digest != schema_in(specs_of, "m").digest
    assert Recorded(read_layout(schema.bodies)).row(b"\x05") == (11.0, TRUST_ADJUSTED)


def test_a_transform_takes_what_other_messages_said_last_in_the_ledger() -> None:
    profile = CompiledProfile(load_profile(shipped_profiles()["bmp280"]))
    trim = bytes.fromhex("706b436718fc7d8e43d6d00b270b8c00f9ff8c3cf8c67017")  # BMP280 datasheet, section 3.12
    sample = bytes.fromhex("655ac07eed00")
    schemas = Schemas()
    keys = {}
    for name in ("trim", "sample"):
        schema = schema_of(layout_of(name, profile.profile.message), profile.messages[name], "bosch/bmp280@1.0.0")
        keys[name] = schema.key
        for body in schema.bodies:
            schemas.learn(stored(body))
    _, before = schemas.decode("baro", Reading(keys["sample"], 1, 0, sample))
    assert before[:2] == (None, None)
    schemas.decode("baro", Reading(keys["trim"], 1, 0, trim))
    _, row = schemas.decode("baro", Reading(keys["sample"], 2, 0, sample, taints=DELIVERY_DROPPED))
    assert list(row) == [pytest.approx(25.08, abs=0.005), pytest.approx(100653.27, abs=0.01), DELIVERY_DROPPED]
    _, elsewhere = schemas.decode("another", Reading(keys["sample"], 2, 0, sample))
    assert elsewhere[:2] == (None, None)


def test_code_that_is_not_in_the_ledger_is_named() -> None:
    spec = MessageSpec(construct="nowhere.at_all:LAYOUT", fields=[FieldSpec(path="x", name="x")])
    layout = layout_of("m", {"m": spec})
    with pytest.raises(RecordError, match=r"construct object nowhere\.at_all:LAYOUT"):
        Recorded(layout)
    plugin = MessageSpec(
        fields=[FieldSpec(type="u8", name="raw")],
        transform=TransformSpec(use="of-a-plugin", gives=[FieldSpec(name="y", type="f64")]),
    )
    layout = layout_of("m", {"m": plugin})
    assert layout.missing == "transform of-a-plugin"
    assert Recorded(layout).row(b"\x01")[:2] == (1, None)
    given = {"of-a-plugin": lambda fields: {"y": fields["raw"] * 2.0}}
    assert Recorded(layout, given).row(b"\x01")[:2] == (1, 2.0)


def test_a_reading_whose_schema_was_not_met_is_refused_by_name() -> None:
    with pytest.raises(RecordError, match="no schema 0101010101010101"):
        Schemas().decode("d", Reading(b"\x01" * 8, 1, 0, b""))


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"version": 2},
        {"version": 1, "digest": "00" * 32, "layout": {"message": "m", "specs": {}}},
        {"version": 1, "digest": "00" * 32, "layout": {"message": "m", "specs": {"m": {"fields": 7}}}},
        {"version": 1, "digest": "00" * 32, "packed": "zz"},
        {"version": 1, "digest": "00" * 32, "packed": "00"},
        {"version": 1, "digest": "00" * 32, "packed": "00", "part": 1, "parts": 2},
    ],
)
def test_a_schema_record_that_is_none_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(RecordError):
        plan_of(body)
    Schemas().learn(body)
