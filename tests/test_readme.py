"""The README says exactly what works: its commands are run, as written, from top to bottom."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from shlex import quote

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def run(script: str, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env={**os.environ, "PATH": path, "TIDEGATE_DATA": str(folder / "data"), **more},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def transcript(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Every `sh` block in one folder, in order; the activation of the virtual environment is the test's own."""
    folder = tmp_path_factory.mktemp("readme")
    script = "\n".join(block for block in BLOCKS if "activate" not in block)
    done = run(script, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_first_profile_decodes_what_the_readme_says(transcript: str) -> None:
    assert '"values":{"temperature":21.5,"humidity":40}' in transcript.replace(", ", ",").replace(": ", ":")


def test_the_first_profile_encodes_the_bytes_it_decodes(transcript: str) -> None:
    assert re.search(r"^aa ?55 ?03 ?08 ?66 ?28 ?98$", transcript, re.MULTILINE)


def test_a_capture_with_noise_is_decoded_and_its_garbage_counted(transcript: str) -> None:
    assert transcript.count('"temperature":21.5') == 2
    assert '"garbage":"6e6f697365"' in transcript
    assert "exit 1: something was refused" in transcript


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed: sudo apt install make")
def test_make_run_shows_values_of_all_simulated_devices_without_a_terminal(tmp_path: Path) -> None:
    done = run(f"make -s -C {quote(str(ROOT))} run ARGS='--seconds 6'", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    values = [line.split() for line in done.stdout.splitlines() if re.match(r"^\S+ \S+/\S+/\S+ ", line)]
    assert len({fields[1].split("/")[0] for fields in values}) >= 4, done.stdout[-2000:]
    assert "\x1b" not in done.stdout


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed: sudo apt install make")
@pytest.mark.parametrize("target", ["run", "test", "check", "bench"])
def test_every_make_target_that_the_readme_names_exists(target: str, tmp_path: Path) -> None:
    assert f"make {target}" in README
    assert run(f"make -n -C {quote(str(ROOT))} {target}", tmp_path).returncode == 0


@pytest.mark.parametrize(
    "name", re.findall(r"`(?:tidegate )?((?:decode|encode|monitor|send|run|watch|status|routes|devices|demo))`", README)
)
def test_every_command_that_the_readme_names_has_help(name: str, tmp_path: Path) -> None:
    done = run(f"tidegate {name} --help", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout
