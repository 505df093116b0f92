"""Messages with a transform: pure plans, and the memory that shares last fields between the messages of one device."""

from __future__ import annotations

import pytest

from gateway.errors import EncodeError
from gateway.schema.compile import compile_message
from gateway.schema.plan import ABSENT, Refused
from gateway.schema.spec import FieldSpec, MessageSpec, TransformSpec
from gateway.schema.transformed import Memory
from gateway.taint import TRUST_NAN, TRUST_RANGE, TRUST_TRUNCATED


def weighed(fields):
    gain, count = fields.get("_gain"), fields.get("_count")
    if gain is None or count is None:
        return {}
    return {"weight": (count - fields["zero"]) * gain / 10, "gain_used": gain}


def broken(fields):
    return {"weight": 1 / (fields["_count"] - fields["_count"])}


CALIBRATION = MessageSpec(fields=[FieldSpec(name="_gain", type="u8", invalid=0), FieldSpec(name="serial", type="u8")])
SAMPLE = MessageSpec(
    fields=[FieldSpec(name="_count", type="u16be", invalid=[0xFFFF]), FieldSpec(name="status", type="u8")],
    transform=TransformSpec(
        use="weigh",
        with_=["calibration"],
        constants={"zero": "100"},
        gives=[FieldSpec(name="weight", units="g", maximum=50), FieldSpec(name="gain_used")],
    ),
)
SPECS = {"calibration": CALIBRATION, "sample": SAMPLE}


def plans(function=weighed):
    known = {} if function is None else {"weigh": function}
    return {name: compile_message(name, spec, known) for name, spec in SPECS.items()}


def memory(function=weighed):
    return Memory(plans(function), SPECS)


def sample(count, status=1):
    return count.to_bytes(2, "big") + bytes([status])


def test_a_plan_names_its_own_values_then_what_the_transform_gives():
    plan = plans()["sample"]
    assert plan.names == ("status", "weight", "gain_used")
    assert plan.units == ("1", "g", "1")
    assert "weigh" in plan.why


def test_before_the_other_message_came_what_depends_on_it_is_null():
    decode = memory().decoder("sample")
    assert decode(sample(200)) == (1, None, None, 0)


def test_a_plan_alone_stays_pure():
    shared, plan = memory(), plans()["sample"]
    shared.decoder("calibration")(b"\x02\x01")
    assert plan.decode(sample(200)) == (1, None, None, 0)


def test_the_last_fields_of_the_other_message_are_used():
    shared = memory()
    calibrate, decode = shared.decoder("calibration"), shared.decoder("sample")
    assert calibrate(b"\x02\x07") == (7, 0)
    assert decode(sample(200)) == (1, 20.0, 2, 0)
    calibrate(b"\x04\x07")
    assert decode(sample(200)) == (1, 40.0, 4, 0)


def test_two_devices_share_nothing():
    one, other = memory(), memory()
    one.decoder("calibration")(b"\x02\x07")
    assert other.decoder("sample")(sample(200)) == (1, None, None, 0)


def test_what_was_forgotten_is_null_again():
    shared = memory()
    shared.decoder("calibration")(b"\x02\x07")
    shared.forget()
    assert shared.decoder("sample")(sample(200)) == (1, None, None, 0)


def test_sentinels_are_null_to_a_transform():
    shared = memory()
    shared.decoder("calibration")(b"\x02\x07")
    assert shared.decoder("sample")(sample(0xFFFF)) == (1, None, None, 0)
    shared.decoder("calibration")(b"\x00\x07")
    assert shared.decoder("sample")(sample(200)) == (1, None, None, 0)


def test_a_value_out_of_its_range_is_kept_and_marked():
    shared = memory()
    shared.decoder("calibration")(b"\x0a\x07")
    assert shared.decoder("sample")(sample(200)) == (1, 100.0, 10, TRUST_RANGE)


def test_marks_of_what_went_in_mark_what_comes_out():
    shared = memory()
    assert shared.decoder("calibration")(b"\x02") == (None, TRUST_TRUNCATED)
    assert shared.decoder("sample")(sample(200)) == (1, 20.0, 2, TRUST_TRUNCATED)


def test_a_cut_sample_gives_what_is_there():
    shared = memory()
    shared.decoder("calibration")(b"\x02\x07")
    assert shared.decoder("sample")(b"\x00") == (None, None, None, TRUST_TRUNCATED)


def test_a_refused_message_leaves_the_last_one_standing():
    specs = {**SPECS, "calibration": MessageSpec(fields=[*CALIBRATION.fields, FieldSpec(type="u8", const=9)])}
    shared = Memory({name: compile_message(name, spec, {"weigh": weighed}) for name, spec in specs.items()}, specs)
    shared.decoder("calibration")(b"\x02\x07\x09")
    with pytest.raises(Refused):
        shared.decoder("calibration")(b"\x08\x07\x00")
    assert shared.decoder("sample")(sample(200)) == (1, 20.0, 2, 0)


def test_a_transform_that_is_not_installed_gives_nulls_and_says_so():
    shared = memory(None)
    shared.decoder("calibration")(b"\x02\x07")
    assert shared.decoder("sample")(sample(200)) == (1, None, None, 0)
    assert "not installed" in plans(None)["sample"].why


def test_numbers_that_a_formula_does_not_hold_for_give_nulls():
    assert memory(broken).decoder("sample")(sample(200)) == (1, None, None, 0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_no_number_is_null_and_marked(bad):
    assert memory(lambda _: {"weight": bad}).decoder("sample")(sample(200)) == (1, None, None, TRUST_NAN)


def test_a_transform_may_use_what_another_gives():
    specs = {
        **SPECS,
        "total": MessageSpec(
            fields=[FieldSpec(name="_parts", type="u8")],
            transform=TransformSpec(use="sum", with_=["sample"], gives=[FieldSpec(name="total")]),
        ),
    }
    known = {"weigh": weighed, "sum": lambda fields: {"total": fields["_parts"] * fields["weight"]}}
    shared = Memory({name: compile_message(name, spec, known) for name, spec in specs.items()}, specs)
    shared.decoder("calibration")(b"\x02\x07")
    shared.decoder("sample")(sample(200))
    assert shared.decoder("total")(b"\x03") == (60.0, 0)


def test_raw_numbers_have_no_computed_ones():
    assert plans()["sample"].decode_raw(sample(0xFFFF)) == {"_count": 0xFFFF, "status": 1}


def test_computed_values_are_not_written():
    with pytest.raises(EncodeError, match="weight"):
        plans()["sample"].encode({"status": 1, "weight": 3.0})


def test_messages_that_nobody_needs_decode_by_their_plan_itself():
    specs = {"alone": MessageSpec(fields=[FieldSpec(name="a", type="u8")])}
    known = {"alone": compile_message("alone", specs["alone"])}
    assert Memory(known, specs).decoder("alone") is known["alone"].decode


def test_a_branch_that_is_not_active_is_no_input():
    specs = {
        "m": MessageSpec(
            fields=[FieldSpec(name="_on", type="u8"), FieldSpec(name="x", type="u8", condition="_on")],
            transform=TransformSpec(use="double", gives=[FieldSpec(name="y")]),
        )
    }
    known = {"double": lambda fields: {"y": 2 * fields["x"]} if fields.get("x") is not None else {}}
    decode = Memory({"m": compile_message("m", specs["m"], known)}, specs).decoder("m")
    assert decode(b"\x01\x04") == (4, 8, 0)
    assert decode(b"\x00\x04") == (ABSENT, None, 0)
