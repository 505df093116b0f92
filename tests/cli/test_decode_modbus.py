"""`tidegate decode --format modbus`: every line exactly one record, and a spoilt pair never a value."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.cli.decode import command, likely_format
from gateway.framing.modbus_pdu import Question, request_of, sealed

ENERGY = Question(1, 4, 0x46, 6)
VALUES = {"frequency": 50.0, "import_active_energy": 12.5, "export_active_energy": 0.25}


def answer(unit: int = 1, function: int = 4, body: bytes = struct.pack(">3f", *VALUES.values())) -> bytes:
    return sealed(bytes([unit, function, len(body)]) + body)


def line(request: bytes, response: bytes, **more: Any) -> str:
    return json.dumps({"request": request.hex(), "response": response.hex(), **more})


def decoded(text: str, *options: str, profile: str = "sdm120") -> list[dict[str, Any]]:
    result = CliRunner().invoke(command, [profile, "--format", "modbus", *options], input=text)
    assert result.exit_code in {0, 1}, result.output
    return [json.loads(record) for record in result.stdout.splitlines()]


def test_a_pair_becomes_the_message_that_asks_it():
    (record,) = decoded(line(request_of(ENERGY), answer(), t=12.5))
    assert record == {
        "n": 1,
        "t": 12.5,
        "address": None,
        "message": "energy",
        "values": VALUES,
        "taints": [],
    }


def test_two_messages_of_equal_size_are_told_apart_by_the_request():
    body = struct.pack(">2f", 1.0, 2.0)
    lines = [line(request_of(Question(1, 4, start, 4)), answer(body=body)) for start in (0x4C, 0x156)]
    assert [record["message"] for record in decoded("\n".join(lines))] == ["reactive_energy", "total_energy"]


@pytest.mark.parametrize(
    ("request_", "response", "reason"),
    [
        (request_of(ENERGY)[:-1] + b"\x00", answer(), "request check"),
        (request_of(ENERGY)[:3], answer(), "request cut"),
        (request_of(ENERGY), answer()[:-1] + b"\x00", "check"),
        (request_of(ENERGY), answer()[:-2], "check"),
        (request_of(ENERGY), b"", "no answer"),
        (request_of(ENERGY), answer(unit=2), "unit"),
        (request_of(ENERGY), answer(function=3), "function"),
        (request_of(ENERGY), sealed(b"\x01\x84\x02"), "exception 2 (illegal data address)"),
        (request_of(ENERGY), answer(body=bytes(10)), "length"),
        (request_of(ENERGY._replace(unit=2)), answer(unit=2), "unit"),
        (request_of(ENERGY._replace(function=3)), answer(function=3), "unknown"),
        (request_of(ENERGY._replace(quantity=4)), answer(body=bytes(8)), "unknown"),
        (request_of(ENERGY._replace(start=0, quantity=80)), answer(body=bytes(160)), "unknown"),
    ],
)
def test_a_spoilt_pair_is_one_garbage_record(request_, response, reason):
    (record,) = decoded(line(request_, response))
    spoilt = request_ if reason.startswith("request") else response
    assert (reason, spoilt.hex()) == (record["reason"], record["garbage"])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nonsense", "not json"),
        ('{"request": "01"}', "no response"),
        ('{"response": "01"}', "no request"),
        ('{"request": 1, "response": "01"}', "not a pair"),
        ('{"request": "0g", "response": "01"}', "not hex"),
    ],
)
def test_a_line_that_is_no_pair_says_what_is_missing(text, reason):
    (record,) = decoded(text)
    assert (reason, text.encode().hex()) == (record["reason"], record["garbage"])


def test_the_unit_parameter_chooses_whose_pairs_count():
    lines = "\n".join(line(request_of(ENERGY._replace(unit=unit)), answer(unit=unit)) for unit in (1, 7))
    assert [record.get("message") for record in decoded(lines, "--param", "unit=7")] == [None, "energy"]
    assert [record.get("message") for record in decoded(lines)] == ["energy", None]


def test_a_profile_that_does_not_speak_modbus_is_refused_the_format():
    result = CliRunner().invoke(command, ["pms5003", "--format", "modbus"], input="{}")
    assert "modbus-rtu" in str(result.exception)


def test_a_pair_is_recognised_in_input_of_another_format():
    assert likely_format(line(request_of(ENERGY), answer()).encode()) == "modbus"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.binary(max_size=12), st.binary(max_size=20)), min_size=1, max_size=5))
def test_every_line_of_any_bytes_is_exactly_one_record(pairs):
    records = decoded("\n".join(line(*pair) for pair in pairs))
    assert list(range(1, len(pairs) + 1)) == [record["n"] for record in records]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 8 * 17 - 1))
def test_no_flipped_bit_of_an_answer_becomes_a_value(bit):
    frame = bytearray(answer())
    frame[bit // 8] ^= 1 << bit % 8
    (record,) = decoded(line(request_of(ENERGY), bytes(frame)))
    assert "garbage" in record
