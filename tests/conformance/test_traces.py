"""Every shared capture that a trace can hold goes through one and comes back byte for byte."""

from __future__ import annotations

import shutil

import pytest

from hil.trace import read
from hil.trace.convert import convert
from tests.conformance.dbc_corpus import CAN, NEEDS_DATA

SAMPLES = CAN / "nmea2000/canboat/samples"
pytestmark = [NEEDS_DATA, pytest.mark.conformance]


@pytest.mark.parametrize(("name", "frames"), [("candumpSample2.txt", 100), ("candumpSample3.txt", 2000)])
def test_a_log_of_a_boat_comes_back_byte_for_byte(tmp_path, name, frames):
    source, trace, back = tmp_path / "a.log", tmp_path / "a.trace", tmp_path / "b.log"
    shutil.copyfile(SAMPLES / name, source)
    assert [convert(source, trace).is_whole, convert(trace, back).is_whole] == [True, True]
    assert sum(record.kind == "data" for record in read(trace).records) > frames
    assert back.read_bytes() == source.read_bytes()
