"""`tidegate trace convert|show|diff`: exit codes, and what is said where."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEADER = '{"trace":1,"started":"2026-01-01T00:00:00Z","seed":1,"buses":{"can0":{"protocol":"can"}}}\n'
FRAMES = [
    f'{{"t_ns":{number + 1}000000,"bus":"can0","dir":"rx","kind":"data","data":"0{number}","id":"123"}}\n'
    for number in range(5)
]


def tidegate(*words, folder):
    """Run the real command."""
    command = [sys.executable, "-m", "gateway", "trace", *map(str, words)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {
        "whole.trace": HEADER + "".join(FRAMES),
        "torn.trace": HEADER + "".join(FRAMES)[:-5],
        "damaged.trace": HEADER + FRAMES[0] + "{]\n" + FRAMES[1],
        "other.trace": HEADER + "".join(FRAMES[:3]) + FRAMES[3].replace('"03"', '"ff"') + FRAMES[4],
        "shorter.trace": HEADER + "".join(FRAMES[:3]),
        "elsewhen.trace": HEADER.replace('"seed":1', '"seed":2') + "".join(FRAMES),
        "future.trace": HEADER.replace('"trace":1', '"trace":99') + "".join(FRAMES),
        "headless.trace": "".join(FRAMES),
        "error.trace": HEADER
        + FRAMES[0].replace('"data","data":"00","id":"123"', f'"error","data":"{"00" * 8}","id":"20000080"'),
    }
    frame = "(1436509052.000000) can0 123#01\n"
    files |= {"damaged.log": f"{frame}(14365090\n{frame}", "remarked.log": f"{frame}\n# a remark\n{frame}"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("source", "target", "code", "told"),
    [
        ("whole.trace", "out.log", 0, ""),
        ("torn.trace", "out.log", 0, "torn.trace:6"),
        ("damaged.trace", "out.log", 1, "damaged.trace:3"),
        ("damaged.log", "out.trace", 1, "damaged.log:2"),
        ("remarked.log", "out.trace", 0, ""),
        ("future.trace", "out.log", 2, "99"),
        ("headless.trace", "out.log", 2, "headless.trace:1"),
        ("error.trace", "out.trc", 1, "1"),
        ("nowhere.trace", "out.log", 2, "nowhere.trace"),
        ("whole.trace", "out.xyz", 2, "xyz"),
        ("whole.trace", "no/out.log", 2, "no/out.log"),
    ],
)
def test_convert_says_by_its_exit_code_how_it_went(folder, source, target, code, told):
    done = tidegate("convert", source, target, folder=folder)
    assert done.returncode == code, done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_before_a_torn_tail_is_used(folder):
    tidegate("convert", "torn.trace", "out.log", folder=folder)
    assert len((folder / "out.log").read_text().splitlines()) == 4


@pytest.mark.parametrize(
    ("a", "b", "code", "record"),
    [
        ("whole.trace", "whole.trace", 0, None),
        ("whole.trace", "elsewhen.trace", 0, None),
        ("whole.trace", "other.trace", 1, 4),
        ("whole.trace", "shorter.trace", 1, 4),
        ("shorter.trace", "whole.trace", 1, 4),
    ],
)
def test_diff_names_the_first_record_that_differs(folder, a, b, code, record):
    done = tidegate("diff", a, b, "--json", folder=folder)
    answer = json.loads(done.stdout)
    assert done.returncode == code
    assert set(answer) == {"equal", "record", "a", "b", "context"}
    assert (answer["equal"], answer["record"]) == (code == 0, record)


def test_a_trace_that_ends_because_it_is_torn_is_told(folder):
    done = tidegate("diff", "whole.trace", "torn.trace", "--json", folder=folder)
    assert (done.returncode, json.loads(done.stdout)["b"]) == (1, None)
    assert "torn.trace:6" in done.stderr


def test_the_readable_diff_shows_both_sides(folder):
    done = tidegate("diff", "whole.trace", "other.trace", folder=folder)
    assert done.returncode == 1
    assert "03" in done.stdout
    assert "ff" in done.stdout


def test_show_shows_what_was_asked_for_and_no_more(folder):
    done = tidegate("show", "whole.trace", "--bus", "can0", folder=folder)
    assert (done.returncode, done.stdout.count("123")) == (0, 5)
    done = tidegate("show", "whole.trace", "--dir", "tx", folder=folder)
    assert (done.returncode, done.stdout.count("123")) == (0, 0)


def test_a_reader_that_leaves_is_no_failure(folder):
    script = f"'{sys.executable}' -m gateway trace show whole.trace | head -n 1"
    done = subprocess.run(script, shell=True, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    assert done.stderr == ""
