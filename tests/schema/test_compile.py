"""What is generated, from what, and what it needs."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.profile.load import load_profile, shipped_profiles
from gateway.schema.compile import compile_message
from gateway.schema.reference import reference_decode, reference_decode_raw
from gateway.schema.spec import MessageSpec
from tests.schema.made import plan_of, values
from tests.schema.strategies import bodies
from tests.schema.test_reference import outcome


def shipped_messages() -> dict[str, MessageSpec]:
    found = {}
    for name, path in shipped_profiles().items():
        for message, spec in load_profile(path).message.items():
            if spec.format in {"binary", "tlv"} and spec.construct is None:
                found[f"{name}/{message}"] = msgspec.structs.replace(spec, transform=None)  # only what is on the wire
    return found


SHIPPED = shipped_messages()


def test_profiles_with_binary_messages_are_shipped():
    assert {"ruuvitag-df5/df5", "pms5003/data", "motor/status"} <= set(SHIPPED)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("name", sorted(SHIPPED))
@given(tail=bodies(100), data=st.data())
def test_shipped_messages_decode_any_body_as_the_reference_does(name, tail, data):
    spec = SHIPPED[name]
    start = bytes((spec.fields[0].const or 0) if isinstance(spec.fields[0].const, int) else 0 for _ in range(1))
    body = data.draw(st.sampled_from([tail, start + tail]))
    plan = compile_message(name, spec)
    assert outcome(plan.decode, body) == outcome(reference_decode(spec), body)
    assert outcome(plan.decode_raw, body) == outcome(reference_decode_raw(spec), body)


def test_decoding_loads_neither_construct_nor_cantools():
    code = (
        "import sys, msgspec\n"
        "from gateway.schema.compile import compile_message\n"
        "from gateway.schema.spec import MessageSpec\n"
        "fields = [{'name': 'n', 'type': 'u8'}, {'name': 'v', 'type': 'struct', 'array': 'n',"
        " 'fields': [{'name': 'a', 'type': 'u16be', 'invalid': 9}]}]\n"
        "plan = compile_message('m', msgspec.convert({'fields': fields}, MessageSpec))\n"
        "print(plan.decode(b'\\2\\0\\1\\0'), plan.decode_raw(b'\\0'), {'construct', 'cantools'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(2, [{'a': 1}, {'a': None}], 4) {'n': 0, 'v': []} set()"


def test_names_and_texts_of_a_profile_never_become_source():
    hostile = "x'\"; raise SystemExit\n#"
    plan = plan_of(
        {"name": hostile, "type": "u8", "labels": {"1": hostile}},
        {"name": "s", "type": "struct", "array": 2, "fields": [{"name": hostile + "y", "type": "u8"}]},
        {"name": "t", "type": "text", "length": "rest", "if": {hostile: 1}},
    )
    assert values(plan, "01 02 03 41") == {hostile: hostile, "s": [{hostile + "y": 2}, {hostile + "y": 3}], "t": "A"}
    assert plan.encode({hostile: hostile, "s": [{hostile + "y": 2}, {hostile + "y": 3}], "t": "A"}).hex() == "01020341"


def test_a_plan_tells_how_it_decodes():
    assert "one unpack" in plan_of({"name": "a", "type": "u8"}).why
    assert "field by field" in plan_of({"name": "a", "type": "text", "length": "null"}).why


def test_a_message_without_values_gives_only_its_taint():
    plan = plan_of({"type": "u8", "const": 1}, {"name": "_a", "type": "u16le"})
    assert (plan.names, plan.decode(b"\1\2\0")) == ((), (0,))
    assert plan.decode_raw(b"\1\2\0") == {"_a": 2}
