"""The COBS node's own firmware, on an emulated Cortex-M3, tested on a bench that a rig file describes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from hil.kernel.firmware import Microcontroller, build, missing_tools

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        bool(missing_tools()),
        reason=f"missing: {', '.join(missing_tools())}; sudo apt install qemu-system-arm gcc-arm-none-eabi make",
    ),
]

RIG = """
[rig]
name = "desk"
[target.node]
firmware = "cobs-node 1.0"
[target.node.resource.uart0]
protocol = "uart"
port = "{port}"
baud = 115200
"""
TESTS = """
import pytest

@pytest.fixture
def node(gateway):
    gateway.add("node", profile="cobs-node", port="uart0")
    gateway.wait("node/node/temperature", timeout=20)
    return gateway

def test_it_measures(node, recorder):
    temperature = node.wait("node/node/temperature", timeout=20)
    assert temperature.units == "Cel"
    recorder.measure("temperature", temperature.value, "Cel", minimum=15, maximum=30)

def test_the_valve_goes_where_it_is_sent(node):
    assert node.set("node/node/valve", 30, timeout=20).outcome == "reported"

def test_noise_on_the_line_costs_frames_and_no_wrong_value(node, faults):
    noise = faults.add("bit_flip", bus="uart0", probability=0.3)
    for _ in range(10):
        assert 15 < node.wait("node/node/temperature", timeout=20).value < 30
    [port] = node.status()["ports"]
    assert noise.hits > 0
    assert port["garbage"] > 0
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Test the board once, as anybody would."""
    folder: Path = tmp_path_factory.mktemp("desk")
    (folder / "test_node.py").write_text(TESTS)
    with Microcontroller(build()) as board:
        (folder / "rig.toml").write_text(RIG.format(port=board.tty))
        words = ["-q", "-p", "no:cacheprovider", "--hil-rig=rig.toml", "--hil-record=run", "--junitxml=junit.xml"]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *words], cwd=folder, env={**os.environ, "CI": ""}, capture_output=True,
            text=True, check=False, timeout=120,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_firmware_passes_its_tests_on_the_bench_with_and_without_noise(run):
    assert {path.stem for path in (run / "run").rglob("*.trace")} >= {"test_it_measures[node]"}


def test_the_report_names_firmware_and_rig_and_what_passed_on_the_wire(run):
    [case] = [
        each for each in ET.parse(run / "junit.xml").iter("testcase") if each.get("name") == "test_it_measures[node]"
    ]
    properties = {each.get("name"): each.get("value") for each in case.iter("property")}
    assert (properties["hil.firmware"], properties["hil.rig"]) == ("cobs-node 1.0", "desk")
    assert properties["temperature"].endswith(" Cel")
    assert "uart0 rx " in "".join(each.text or "" for each in case.iter("system-out"))


def test_what_the_profile_has_and_the_run_exercised_is_known(run):
    [path] = (run / "run").rglob("test_the_valve*.json")
    covered = json.loads(path.read_text())["covered"]["node"]
    assert covered["setpoints"]["exercised"] == ["node/valve"]
    assert "node/temperature" in covered["values"]["exercised"]
