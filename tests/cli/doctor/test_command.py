"""`tidegate doctor`: the whole examination, for people and for programs, with and without a site."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli.doctor import command
from gateway.cli.doctor.examine import CHECKS, examine
from gateway.cli.doctor.host import Host
from gateway.errors import ConfigError
from tests.machine import Machine

SITE = """\
[port.meters]
bus = "uart"
path = "usb:0403:6001:A1"

[device.meter]
profile = "sdm120"
port = "meters"
params = { unit = 1 }

[device.gps]
profile = "nmea-gnss"
port = "/dev/ttyUSB0"

[device.motor]
profile = "motor"
port = "can0"

[device.lamp]
profile = "bmp280"
port = "/dev/spidev0.0"

[device.log]
profile = "pms5003"
port = "replay:/x.bin"

[discover.ruuvi]
profile = "ruuvitag-df5"
port = "hci0"
"""


@pytest.fixture(autouse=True)
def _data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_DATA", str(tmp_path / "state"))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "root")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    file = tmp_path / "site.toml"
    file.write_text(SITE)
    return file


def run(machine: Machine, *arguments: str | Path) -> Result:
    machine.root.mkdir(exist_ok=True)
    return CliRunner().invoke(command, [*map(str, arguments), "--root", str(machine.root)])


def of_site(machine: Machine, site: Path) -> dict[str, tuple[str, str | None]]:
    machine.root.mkdir(exist_ok=True)
    return {
        finding.message: (finding.status, finding.fix)
        for finding in examine(Host(machine.root, user="pi"), str(site))
        if finding.check in {"site", "profiles"}
    }


def test_an_empty_machine_is_examined_without_a_fall(machine: Machine):
    result = run(machine, "--json")
    findings = json.loads(result.output)
    assert {finding["check"] for finding in findings} >= {
        "groups",
        "ports",
        "udev",
        "modules",
        "clock",
        "data",
        "extras",
    }
    assert all(finding["fix"] for finding in findings if finding["status"] in {"warn", "fail"})


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_files_full_of_nonsense_make_no_check_raise(machine: Machine, check):
    for path in (
        "proc/mounts",
        "proc/modules",
        "proc/locks",
        "proc/device-tree/model",
        "etc/group",
        "etc/passwd",
        "boot/config.txt",
        "sys/class/rfkill/rfkill0/type",
        "sys/block/mmcblk0/device/life_time",
        "sys/devices/platform/soc/soc:firmware/get_throttled",
        "etc/udev/rules.d/60-tidegate.rules",
        "sys/class/tty/console/active",
        "run/lock/LCK..ttyUSB0",
        "lib/modules/x/modules.dep",
        "proc/sys/kernel/osrelease",
    ):
        machine.write(path, "").write_bytes(b"\xff\x00: :,= Raspberry\n\n" * 3)
    machine.tty("ttyUSB0")
    list(check(Host(machine.root)))


def test_the_exit_code_says_whether_something_is_to_mend(machine: Machine, monkeypatch: pytest.MonkeyPatch):
    from gateway.cli.doctor import examine as module
    from gateway.cli.doctor.host import Finding

    for status, code in (("ok", 0), ("skip", 0), ("warn", 1), ("fail", 1)):
        finding = Finding("x", status, "something", "a command")
        monkeypatch.setattr(module, "examine", lambda *_facts, finding=finding: [finding])
        assert run(machine).exit_code == code


@pytest.mark.parametrize("columns", [44, 160])
def test_the_screen_fits_the_terminal_and_shows_each_fix(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, columns: int
):
    monkeypatch.setenv("COLUMNS", str(columns))
    machine.tty("ttyUSB0", machine.usb("1-1", "0403", "6001"))
    result = run(machine, "--data", "/d")
    assert "-> sudo $(command -v tidegate) udev install" in " ".join(result.stdout.split())
    assert max(map(len, result.stdout.splitlines())) <= max(columns, 60)
    assert "to mend" in result.stderr


def test_what_a_site_wants_and_is_not_there_is_told_with_the_next_step(machine: Machine, site: Path):
    found = of_site(machine, site)
    assert found == {
        "meters: usb:0403:6001:A1 is not there": ("fail", "plug it in, or correct `port`"),
        "gps: /dev/ttyUSB0 is not there": ("fail", "plug it in, or correct `port`: tidegate scan uart"),
        "motor: can0 is not there": ("fail", "plug it in, or correct `port`: tidegate scan can"),
        "lamp: /dev/spidev0.0 is not there": ("fail", "plug it in, or correct `port`: tidegate scan spi"),
        "ruuvi: hci0 is not there": (
            "fail",
            "sudo systemctl start bluetooth, or name another adapter: tidegate scan ble",
        ),
    }


def test_a_site_whose_ports_are_there_is_fine_but_for_a_name_that_swaps(machine: Machine, site: Path):
    machine.tty("ttyUSB0", machine.usb("1-1", "10c4", "ea60", "B2"))
    machine.tty("ttyUSB1", machine.usb("1-2", "0403", "6001", "A1"))
    machine.can("can0")
    machine.spidev("spidev0.0")
    machine.write("sys/class/bluetooth/hci0/uevent", "")
    found = of_site(machine, site)
    assert {message: status for message, (status, _) in found.items()} == {
        "meters: usb:0403:6001:A1 is there and free": "ok",
        "gps: /dev/ttyUSB0 may be another device after the next plug": "warn",
        "motor: can0 is up": "ok",
        "lamp: /dev/spidev0.0 is there and free": "ok",
    }
    assert found["gps: /dev/ttyUSB0 may be another device after the next plug"][1] == 'write port = "usb:10c4:ea60:B2"'


def test_a_can_interface_that_is_down_gets_the_rate_of_its_profile(machine: Machine, site: Path):
    machine.can("can0", machine.usb("1-3", "1d50", "606f"), flags="0x40080")
    status, fix = of_site(machine, site)["motor: can0 is down"]
    assert status == "fail"
    assert fix is not None
    assert fix.startswith("sudo ip link set can0 up type can bitrate 500000;")


def test_two_adapters_that_fit_one_port_text_are_told(machine: Machine, site: Path):
    site.write_text(SITE.replace("usb:0403:6001:A1", "usb:0403:6001"))
    machine.tty("ttyUSB1", machine.usb("1-1", "0403", "6001", "A1"))
    machine.tty("ttyUSB2", machine.usb("1-2", "0403", "6001", "A2"))
    assert of_site(machine, site)["meters: 2 adapters fit usb:0403:6001"][0] == "fail"


def test_a_port_that_another_program_holds_is_told(machine: Machine, site: Path):
    machine.tty("ttyUSB0")
    machine.write("proc/41/comm", "gpsd\n")
    (machine.root / "proc/41/fd").mkdir()
    (machine.root / "proc/41/fd/3").symlink_to("/dev/ttyUSB0")
    assert of_site(machine, site)["gps: /dev/ttyUSB0 is held by gpsd (process 41)"] == (
        "warn",
        "stop that program first",
    )


def test_a_profile_that_is_not_there_is_told_and_stops_no_other_check(machine: Machine, site: Path):
    site.write_text(SITE.replace('"nmea-gnss"', '"nmea-gns"'))
    found = of_site(machine, site)
    assert any(message.startswith("device.gps: no profile 'nmea-gns'") for message in found)
    assert "motor: can0 is not there" in found


def test_the_rules_of_the_site_want_to_be_installed_and_then_are_fine(machine: Machine, site: Path):
    from gateway.cli.udev_install import install

    machine.write("etc/udev/udev.conf", "")

    def told() -> list[tuple[str, str]]:
        findings = examine(Host(machine.root), str(site))
        return [(each.status, each.message) for each in findings if "61-tidegate-site" in each.message]

    assert told() == [("warn", "61-tidegate-site.rules is not installed: adapters have no names that last")]
    install(str(site), machine.root, force=False)
    assert told() == [("ok", "61-tidegate-site.rules is installed and current")]


def test_a_site_that_is_wrong_is_bad_input(machine: Machine, site: Path):
    site.write_text("[device.x]\n")
    assert isinstance(run(machine, site).exception, ConfigError)


def test_a_root_that_is_not_there_is_a_mistake_and_not_a_fine_machine(tmp_path: Path) -> None:
    result = CliRunner().invoke(command, ["--root", str(tmp_path / "typo")])
    assert result.exit_code == 2
    assert "typo" in result.output
