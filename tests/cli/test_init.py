"""`tidegate init` and `tidegate service show`: files to start from that are right as they are."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from gateway.config import load_site
from gateway.runtime.peer import own_principal
from tests.cli.test_run import tidegate


def test_a_site_file_to_start_from_is_right_and_lets_its_writer_do_everything(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    assert tidegate("init", str(path), "--device", "pump=motor@can0").returncode == 0
    site = load_site(str(path))
    (grant,) = site.grants.values()
    assert (site.devices["pump"].profile, site.devices["pump"].port) == ("motor", "can0")
    assert (grant.principal, grant.verbs) == (own_principal(), ["read", "write", "admin"])


def test_a_file_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_text("mine")
    done = tidegate("init", str(path))
    assert (done.returncode, path.read_text()) == (2, "mine")


@pytest.mark.parametrize("device", ["gps", "=p@q", "Ä=p@q"])
def test_what_is_no_device_leaves_no_file(tmp_path: Path, device: str) -> None:
    path = tmp_path / "site.toml"
    assert tidegate("init", str(path), "--device", device).returncode == 2
    assert not path.exists()


def test_a_unit_runs_the_site_and_is_what_systemd_takes(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    tidegate("init", str(path))
    done = tidegate("service", "show", str(path))
    assert f' run "{path}" --data /var/lib/tidegate' in done.stdout
    if shutil.which("systemd-analyze") is not None:
        unit = tmp_path / "tidegate.service"
        unit.write_text(done.stdout)
        checked = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
        assert "Unknown" not in checked.stderr


def test_a_path_that_a_unit_would_take_apart_is_one_word_of_it(tmp_path: Path) -> None:
    folder = tmp_path / 'my 100% "site"'
    folder.mkdir()
    tidegate("init", str(folder / "site.toml"))
    assert 'my 100%% \\"site\\"/site.toml" --data' in tidegate("service", "show", str(folder / "site.toml")).stdout


def test_a_site_that_is_wrong_gets_no_unit(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_text("[device.x]\nprofile = 1\n")
    done = tidegate("service", "show", str(path))
    assert (done.returncode, "profile" in done.stderr) == (2, True)
