"""Record lines and the progress line of decode."""

import io
import json
import os
import pty
import subprocess
import sys

import pytest

from gateway.cli.output import Progress, Records
from gateway.taint import TRUST_LABEL, TRUST_RANGE


def test_records_are_numbered_from_1_and_marks_have_their_public_names():
    sink = io.BytesIO()
    records = Records(sink)

    records.message(1.5, "123", "status", {"a": None}, TRUST_RANGE | TRUST_LABEL)
    records.garbage(None, None, b"\x01", "noise")
    records.flush()

    assert sink.getvalue().decode().splitlines() == [
        '{"n":1,"t":1.5,"address":"123","message":"status","values":{"a":null},"taints":["trust.range","trust.label"]}',
        '{"n":2,"t":null,"address":null,"garbage":"01","reason":"noise"}',
    ]
    assert (records.count, records.refused) == (2, 1)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_no_number_is_written_that_json_has_not(value):
    sink = io.BytesIO()
    records = Records(sink)

    records.message(None, None, "m", {"x": value, "y": [value]}, 0)
    records.flush()

    assert json.loads(sink.getvalue(), parse_constant=pytest.fail)["values"] == {"x": None, "y": [None]}


def test_records_are_handed_on_in_big_pieces_without_being_asked():
    sink = io.BytesIO()
    records = Records(sink)

    for _ in range(200):
        records.garbage(None, None, bytes(4096), "noise")

    assert len(sink.getvalue()) > 1_000_000


def test_progress_is_told_at_most_twice_a_second():
    terminal = io.StringIO()
    progress = Progress(terminal)

    for _ in range(1000):
        progress.tell(10**9, 10**6)
    progress.end()

    assert terminal.getvalue().count("\r") <= 1


def test_progress_is_shown_on_a_terminal_and_nowhere_else(tmp_path):
    ours, theirs = pty.openpty()
    slow = "import sys, time\nfor _ in range(12): sys.stdout.buffer.write(bytes(70_000)); time.sleep(0.1)"
    with subprocess.Popen([sys.executable, "-c", slow], stdout=subprocess.PIPE) as source:
        command = [sys.executable, "-m", "gateway", "decode", "pms5003"]
        with (tmp_path / "out").open("wb") as out:
            done = subprocess.run(command, stdin=source.stdout, stdout=out, stderr=theirs, timeout=120, check=False)
    os.close(theirs)
    shown = os.read(ours, 4096).decode()
    os.close(ours)

    assert done.returncode == 1
    assert "MB/s" in shown
    assert 1 <= shown.count("\r0.") <= 4
