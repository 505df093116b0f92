"""`tidegate udev`: generate, check, install."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli import udev_install
from gateway.cli.udev import group, problems_told

SITE = """\
[port.meters]
bus = "uart"
path = "usb:0403:6001:A50285BI"

[device.meter-1]
profile = "sdm120"
port = "meters"
params = { unit = 1 }

[device.meter-2]
profile = "sdm120"
port = "meters"
params = { unit = 2 }

[device.motor]
profile = "motor"
port = "can0"

[device.fixed]
profile = "pms5003"
port = "/dev/serial/by-id/usb-x"
"""


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(group, [str(argument) for argument in arguments])


@pytest.fixture(autouse=True)
def _data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_DATA", str(tmp_path / "state"))


@pytest.fixture
def site(tmp_path: Path) -> Path:
    file = tmp_path / "site.toml"
    file.write_text(SITE)
    return file


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    (folder / "etc").mkdir(parents=True)
    (folder / "etc" / "group").write_text("root:x:0:\ndialout:x:20:\n")
    return folder


def rules(root: Path, name: str = "60-tidegate.rules") -> Path:
    return root / "etc" / "udev" / "rules.d" / name


def test_generate_without_a_site_prints_the_shipped_rules():
    assert "tidegate/uart-$env{ID_SERIAL_SHORT}" in run("generate").output


def test_generate_makes_one_link_for_each_wire_and_brings_can_up_with_the_profile_s_rate(site: Path):
    output = run("generate", site).output
    assert output.count('SYMLINK+="tidegate/') == 1
    assert 'SYMLINK+="tidegate/meters"' in output
    assert "type can bitrate 500000" in output


def test_generated_rules_have_no_mistake(site: Path, tmp_path: Path):
    file = tmp_path / "61-site.rules"
    file.write_text(run("generate", site).output)
    result = run("check", file)
    assert (result.exit_code, result.output) == (0, f"{file}: fine\n")


def test_a_device_that_no_rule_can_be_made_for_is_told_and_stops_no_other(site: Path):
    site.write_text(SITE + '[device.odd]\nprofile = "nosuch"\nport = "can7"\n')
    result = run("generate", site)
    assert "device.odd: left out: no profile 'nosuch'" in result.stderr
    assert "tidegate/meters" in result.stdout


def test_check_prints_all_mistakes_and_says_no(tmp_path: Path):
    file = tmp_path / "60-bad.rules"
    file.write_text('KERNEL="x", MODE="9"\nGROUP=="a"\n')
    result = run("check", file)
    assert result.exit_code == 1
    assert result.stdout.splitlines()[0] == f"{file}:1: KERNEL: KERNEL is only compared, never assigned; write KERNEL=="
    assert "2 rules in 1 file: 5 errors" in result.stderr


def test_check_as_json_counts(tmp_path: Path):
    file = tmp_path / "60-bad.rules"
    file.write_text('KERNEL="x", MODE="9"\nKERNEL=="x", LABEL="end"\n')
    document = json.loads(run("check", "--json", file).stdout)
    assert (document["rules"], document["errors"], document["warnings"]) == (2, 3, 1)
    assert {(each["line"], each["key"]) for each in document["problems"]} == {(1, "KERNEL"), (1, "MODE"), (2, "LABEL")}


def test_check_of_a_file_that_is_not_there_is_bad_input(tmp_path: Path):
    result = run("check", tmp_path / "none.rules")
    assert result.exit_code == 2
    assert "cannot be read" in result.output


def test_the_groups_that_count_are_those_of_the_root(root: Path, tmp_path: Path):
    file = tmp_path / "60-x.rules"
    file.write_text('KERNEL=="x", GROUP="dialout"\nKERNEL=="y", GROUP="spi"\n')
    result = run("check", file, "--root", root)
    assert result.stdout.startswith(f"{file}:2: GROUP: there is no group 'spi'")


def test_check_without_files_looks_at_what_is_installed(root: Path):
    assert run("check", "--root", root).stdout.endswith("udev/60-tidegate.rules: fine\n")
    run("install", "--root", root)
    assert run("check", "--root", root).stdout == f"{rules(root)}: fine\n"


def test_udevadm_s_own_objections_are_told_with_their_line():
    lines = (":3 Invalid key 'FOO'.", ":4 style: stray comma.", ": udev rules check failed.")
    told = "".join(f"/x/60.rules{line}\n" for line in lines) + "other\n"
    assert [(each.line, each.message, each.severity) for each in problems_told("/x/60.rules", told)] == [
        (3, "udevadm: Invalid key 'FOO'.", "error"),
        (4, "udevadm: style: stray comma.", "warning"),
    ]


def test_install_into_a_root_writes_whole_files_and_leaves_udevd_alone(root: Path, site: Path):
    result = run("install", site, "--root", root)
    assert result.exit_code == 0
    assert "udevd is not told" in result.output
    assert "tidegate/meters" in rules(root, "61-tidegate-site.rules").read_text()
    assert stat.S_IMODE(rules(root).stat().st_mode) == 0o644
    assert sorted(path.name for path in rules(root).parent.iterdir()) == ["60-tidegate.rules", "61-tidegate-site.rules"]


def test_installing_twice_changes_nothing(root: Path):
    run("install", "--root", root)
    before = rules(root).stat().st_mtime_ns
    assert "is as it should be" in run("install", "--root", root).output
    assert rules(root).stat().st_mtime_ns == before


def test_an_edited_file_is_kept_until_force_and_then_beside(root: Path):
    run("install", "--root", root)
    edited = rules(root).read_text() + "# mine\n"
    rules(root).write_text(edited)
    result = run("install", "--root", root)
    assert (result.exit_code, rules(root).read_text()) == (1, edited)
    assert "--force" in result.output
    assert run("install", "--root", root, "--force").exit_code == 0
    assert rules(root, "60-tidegate.rules.old").read_text() == edited
    assert rules(root).read_text() != edited


def test_a_second_backup_overwrites_no_first(root: Path):
    for text in ("first", "second"):
        rules(root).parent.mkdir(parents=True, exist_ok=True)
        rules(root).write_text(text)
        run("install", "--root", root, "--force")
    assert rules(root, "60-tidegate.rules.old").read_text() == "first"
    assert rules(root, "60-tidegate.rules.old2").read_text() == "second"


def test_an_older_file_of_ours_is_replaced_without_ado(root: Path):
    from gateway.udev.make import sealed

    rules(root).parent.mkdir(parents=True)
    rules(root).write_bytes(sealed("# an older version\n"))
    assert run("install", "--root", root).output.startswith(f"{rules(root)} replaced\n")
    assert not rules(root, "60-tidegate.rules.old").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_without_root_the_command_to_run_is_printed(root: Path):
    (root / "etc").chmod(0o555)
    result = run("install", "--root", root)
    assert result.exit_code == 3
    assert "needs root: sudo /" in result.output


def test_a_folder_that_may_not_be_written_names_the_command(root: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(path: Path, _content: bytes) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(udev_install, "put", refuse)
    result = run("install", "--root", root)
    assert result.exit_code == 3
    assert f"{rules(root)} needs root: sudo /" in result.output


def test_a_failed_write_leaves_the_old_file(root: Path, monkeypatch: pytest.MonkeyPatch):
    run("install", "--root", root)
    before = rules(root).read_bytes()

    def fail(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(udev_install.os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        udev_install.put(rules(root), b"new")
    assert rules(root).read_bytes() == before
    assert [path.name for path in rules(root).parent.iterdir()] == ["60-tidegate.rules"]
