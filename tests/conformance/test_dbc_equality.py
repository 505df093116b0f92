"""Every message of every recorded DBC means to us what it means to cantools.

Known differences, each by intent: NaN and infinity are null; an unknown multiplexer value does not refuse the frame,
its other signals are decoded and tainted; what a short frame cuts off is null where cantools leaves it out.
"""

from __future__ import annotations

import json
from functools import cache

import cantools.database
import pytest

from gateway import taint
from gateway.errors import EncodeError, ProfileError
from gateway.profile.dbc import check_dbc, profile_of_dbc, read_dbc
from gateway.profile.dbc_source import text_of
from gateway.schema.compile import compile_message
from gateway.schema.plan import values_of
from tests.conformance.dbc_corpus import (
    CAN,
    NEEDS_DATA,
    accepted,
    bodies,
    differences,
    doubted,
    meaning,
    oracle,
    present,
    rejected,
)

pytestmark = [NEEDS_DATA, pytest.mark.conformance]


@cache
def plans(file, *, strict=True):
    messages = read_dbc(text_of((CAN / file).read_bytes()), file, strict=strict)
    return {name: compile_message(name, spec) for name, spec in messages.items()}


def finite(values):
    return {name: value for name, value in values.items() if value is not None}


def rows(name):
    path = CAN / name
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def test_the_corpus_is_the_one_these_tests_were_written_for():
    assert (len(accepted()) >= 45, len(doubted()) >= 4, len(rejected()) >= 4) == (True, True, True)


@pytest.mark.parametrize("file", accepted())
def test_random_frames_decode_to_the_same_values_and_labels(file):
    for message in oracle(file).messages:
        plan = plans(file)[message.name]
        for body in bodies(message, 6):
            row = plan.decode(body)
            assert differences(values_of(plan, row), meaning(message, body)) == [], (message.name, body.hex())


@pytest.mark.parametrize("file", accepted())
def test_raw_numbers_are_the_same(file):
    for message in oracle(file).messages:
        plan = plans(file)[message.name]
        for body in bodies(message, 2):
            ours, theirs = finite(plan.decode_raw(body)), finite(meaning(message, body, raw=True))
            assert differences(ours, theirs) == [], (message.name, body.hex())


@pytest.mark.parametrize("file", accepted())
def test_short_frames_give_what_is_there(file):
    for message in oracle(file).messages:
        plan = plans(file)[message.name]
        body = bodies(message, 1)[-1]
        for length in {0, 1, message.length // 2, max(0, message.length - 1)}:
            row = plan.decode(body[:length])
            theirs = finite(meaning(message, body[:length]))
            assert differences(present(values_of(plan, row)), theirs) == [], (message.name, length)
            everything = meaning(message, body).keys()
            assert bool(row[-1] & taint.TRUST_TRUNCATED) or everything == theirs.keys(), (message.name, length)


@pytest.mark.parametrize("file", accepted())
def test_a_frame_longer_than_declared_decodes(file):
    for message in oracle(file).messages:
        plan = plans(file)[message.name]
        body = bodies(message, 1)[-1]
        assert plan.decode(body + b"\x55\xaa")[:-1] == plan.decode(body)[:-1]


@pytest.mark.parametrize("file", accepted())
def test_values_are_encoded_to_the_same_bytes(file):
    for message in oracle(file).messages:
        plan = plans(file)[message.name]
        for body in bodies(message, 2):
            values = meaning(message, body)
            if None in values.values():
                continue
            try:
                theirs = message.encode(values)
            except (cantools.database.Error, ValueError, KeyError, OverflowError):  # refusals are compared below
                continue
            assert plan.encode(values).hex() == theirs.hex(), (message.name, values)


def test_values_outside_the_declared_limits_are_refused_as_there():
    refused = 0
    for file in accepted():
        for message in oracle(file).messages:
            for body in bodies(message, 1):
                values = meaning(message, body)
                limits = [
                    signal
                    for signal in message.signals
                    if isinstance(values.get(signal.name), int | float)
                    and signal.maximum is not None
                    and values[signal.name] > signal.maximum + abs(signal.conversion.scale)
                    and signal.conversion.scale != 0
                ]
                if limits and None not in values.values():
                    with pytest.raises(EncodeError):
                        plans(file)[message.name].encode(values)
                    refused += 1
    assert refused > 50


def test_an_unknown_multiplexer_value_is_told_and_the_rest_decodes():
    told = 0
    for row in rows("oracle/cantools_decode.jsonl"):
        if row["error"] and "multiplexer id" in row["error"]:
            plan = plans(row["file"])[row["message"]]
            decoded = plan.decode(bytes.fromhex(row["data"]["hex"]))
            assert decoded[-1] & taint.TRUST_CASE, row["message"]
            assert values_of(plan, decoded), row["message"]
            told += 1
    assert told > 30


@pytest.mark.parametrize("file", accepted())
def test_a_known_multiplexer_value_is_not_called_unknown(file):
    for message in oracle(file).messages:
        plan = plans(file)[message.name]
        for body in bodies(message, 6):
            try:
                message.decode(body)
            except cantools.database.Error:
                continue
            assert not plan.decode(body)[-1] & taint.TRUST_CASE, (message.name, body.hex())


def test_all_recorded_decodings_are_met():
    """Files that cantools takes only without its checks are read likewise here; their broken messages are left out."""
    met = 0
    for row in rows("oracle/cantools_decode.jsonl"):
        if row["error"]:
            continue
        plan = plans(row["file"], strict=oracle(row["file"]) is not None)[row["message"]]
        body = bytes.fromhex(row["data"]["hex"])
        assert differences(finite(plan.decode_raw(body)), finite(row["raw"])) == [], row["message"]
        labels = {spec.name for spec in plan.fields if spec.labels}
        values = {name: value for name, value in values_of(plan, plan.decode(body)).items() if name not in labels}
        theirs = {name: value for name, value in row["phys"].items() if name not in labels}
        assert differences(finite(values), finite(theirs)) == [], row["message"]
        met += 1
    assert met > 900


def vectors(operation):
    found = []
    for row in rows("cantools/cantools_vectors.jsonl"):
        file = (row.get("msg") or {}).get("file") or ""
        path = "cantools/files/dbc/" + file.rpartition("/")[2]
        if row["op"] == operation and file.endswith(".dbc") and not row["error"] and (CAN / path).is_file():
            found.append((path, row))
    return found


def test_decodings_of_its_own_test_suite_are_met():
    met = 0
    for file, row in vectors("decode"):
        if row["kw"].get("decode_choices", True) is False or row["args"][:1] == [False]:
            continue
        plan = plans(file)[row["msg"]["message"]]
        body = bytes.fromhex(row["data"]["hex"])
        theirs = {name: value.strip("'") if isinstance(value, str) else value for name, value in row["expect"].items()}
        assert differences(values_of(plan, plan.decode(body)), theirs) == [], row["test"]
        met += 1
    assert met >= 10


def test_encodings_of_its_own_test_suite_are_met():
    met = 0
    for file, row in vectors("encode"):
        if row["kw"].get("padding") or row["args"][1:2] == [True]:
            continue  # there, unused bits are one on request; here they are zero
        plan = plans(file)[row["msg"]["message"]]
        assert plan.encode(row["values"]).hex() == row["expect"]["hex"], row["test"]
        met += 1
    assert met >= 10


@pytest.mark.parametrize("file", doubted())
def test_signals_that_overlap_or_do_not_fit_are_a_warning_and_the_others_decode(file):
    data = (CAN / file).read_bytes()
    doubts = [
        problem for problem in check_dbc(file, data) if "overlapping" in problem.message or "fit" in problem.message
    ]
    assert {problem.severity for problem in doubts} == {"warning"}
    assert all(problem.line > 1 for problem in doubts)
    lenient = plans(file, strict=False)
    assert set(profile_of_dbc(file, data).message) == set(lenient)


@pytest.mark.parametrize("file", rejected())
def test_what_cantools_rejects_is_refused_with_file_and_line(file):
    data = (CAN / file).read_bytes()
    with pytest.raises(ProfileError) as refused:
        profile_of_dbc(file, data)
    for problem in refused.value.problems:
        assert problem.file == file
        named = problem.key.rpartition(".")[2]
        assert named in data.decode("cp1252").split("\n")[problem.line - 1], str(problem)
        assert problem.line > 1


@pytest.mark.parametrize("file", accepted())
def test_values_are_tainted_where_they_lie_outside_the_declared_limits_and_labels(file):
    for message in oracle(file).messages:
        plan = plans(file)[message.name]
        for body in bodies(message, 3):
            values = finite(meaning(message, body))
            outside = unlabelled = False
            for signal in message.signals:
                value = values.get(signal.name)
                if isinstance(value, int | float):
                    slack = abs(signal.conversion.scale) * 1e-6
                    outside |= signal.minimum is not None and value < signal.minimum - slack
                    outside |= signal.maximum is not None and value > signal.maximum + slack
                    unlabelled |= bool(signal.conversion.choices)
            bits = plan.decode(body)[-1]
            assert bool(bits & taint.TRUST_RANGE) is outside, (message.name, body.hex())
            assert bool(bits & taint.TRUST_LABEL) is unlabelled, (message.name, body.hex())
