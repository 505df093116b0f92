"""Every check of `tidegate doctor` on trees of files: what is good is fine, what is bad comes with its fix."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.doctor import access, board, kernel, radio, rules
from gateway.cli.doctor.extras import extras
from gateway.cli.doctor.host import Finding, Host, Space
from gateway.cli.doctor.storage import data_folder
from tests.machine import Machine

GROUPS = "root:x:0:\ndialout:x:20:pi\nspi:x:990:\nbluetooth:x:112:\nnetdev:x:108:\n"
PASSWD = "root:x:0:0::/root:/bin/sh\npi:x:1000:1000::/home/pi:/bin/sh\n"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path)
    machine.write("etc/group", GROUPS)
    machine.write("etc/passwd", PASSWD)
    return machine


def host(machine: Machine, answers: dict[str, str] | None = None, **facts: Any) -> Host:
    facts = {"user": "pi", "session_groups": {20, 990, 112}, **facts}
    return Host(machine.root, run=lambda words: (answers or {}).get(words[0]), **facts)


def said(check: Callable[[Host], Iterable[Finding]], host: Host) -> list[tuple[str, str]]:
    findings = list(check(host))
    assert all(finding.fix for finding in findings if finding.status in {"warn", "fail"}), findings
    return [(finding.status, finding.message) for finding in findings]


def fixes(check: Callable[[Host], Iterable[Finding]], host: Host) -> list[str | None]:
    return [finding.fix for finding in check(host)]


# groups and ports


def test_a_member_of_the_group_may_open_ports(machine: Machine):
    machine.tty("ttyUSB0")
    assert said(access.groups, host(machine)) == [("ok", "pi is in group dialout")]


def test_who_is_in_no_group_gets_the_command(machine: Machine):
    machine.spidev("spidev0.0")
    assert fixes(access.groups, host(machine)) == ["sudo usermod -aG spi pi"]


def test_a_membership_that_this_session_does_not_have_yet_wants_a_new_login(machine: Machine):
    machine.tty("ttyUSB0")
    assert fixes(access.groups, host(machine, session_groups=set())) == ["log out and in again"]


def test_a_user_s_own_group_counts_as_membership(machine: Machine):
    machine.write("etc/passwd", "pi:x:1000:990::/home/pi:/bin/sh\n")
    machine.spidev("spidev0.0")
    assert said(access.groups, host(machine)) == [("ok", "pi is in group spi")]


def test_groups_matter_only_for_what_is_there(machine: Machine):
    assert said(access.groups, host(machine)) == [("skip", "nothing here that a group would open")]


def test_root_needs_no_group(machine: Machine):
    assert said(access.groups, host(machine, user="root"))[0][0] == "ok"


def test_a_free_port_is_told_with_its_best_name(machine: Machine):
    machine.tty("ttyUSB0", machine.usb("1-1", "0403", "6001"))
    machine.link("dev/tidegate/uart-A1", "dev/ttyUSB0")
    assert said(access.ports, host(machine)) == [("ok", "/dev/ttyUSB0 is free; name it /dev/tidegate/uart-A1")]


def test_a_usb_port_without_a_lasting_name_wants_the_rules(machine: Machine):
    machine.tty("ttyUSB0", machine.usb("1-1", "0403", "6001"))
    assert fixes(access.ports, host(machine)) == ["sudo $(command -v tidegate) udev install"]


def test_a_held_port_is_told_with_its_holder(machine: Machine):
    machine.tty("ttyUSB0")
    machine.write("proc/41/comm", "gpsd\n")
    (machine.root / "proc/41/fd").mkdir()
    (machine.root / "proc/41/fd/3").symlink_to("/dev/ttyUSB0")
    assert said(access.ports, host(machine)) == [("ok", "/dev/ttyUSB0 is held by gpsd (process 41)")]


@pytest.mark.parametrize("by", ["getty", "kernel"])
def test_a_console_on_the_pins_of_a_pi_is_in_the_way(machine: Machine, by: str):
    machine.write("proc/device-tree/model", "Raspberry Pi 4 Model B\0")
    machine.tty("ttyAMA0", driver="uart-pl011")
    if by == "getty":
        machine.write("etc/systemd/system/getty.target.wants/serial-getty@ttyAMA0.service", "")
    else:
        machine.write("sys/class/tty/console/active", "ttyAMA0\n")
    ((status, message),) = said(access.ports, host(machine))
    assert (status, "login console" in message) == ("warn", True)


def test_a_console_elsewhere_is_somebody_s_choice(machine: Machine):
    machine.tty("ttyS0", driver="serial8250", uart="4")
    machine.write("sys/class/tty/console/active", "ttyS0\n")
    assert said(access.ports, host(machine)) == [("ok", "/dev/ttyS0 is the kernel's console: not for devices")]


# rules


def install(machine: Machine, data: bytes) -> None:
    machine.write("etc/udev/rules.d/60-tidegate.rules", "").write_bytes(data)


def current() -> bytes:
    return rules.sealed(rules.shipped_rules().read_text())


def test_rules_that_are_installed_and_current_are_fine(machine: Machine):
    install(machine, current())
    assert said(rules.udev, host(machine)) == [("ok", "60-tidegate.rules is installed and current")]


def test_missing_rules_want_to_be_installed(machine: Machine):
    machine.write("etc/udev/udev.conf", "")
    assert said(rules.udev, host(machine))[0][0] == "warn"


def test_rules_of_another_version_want_to_be_installed_anew(machine: Machine):
    install(machine, rules.sealed("# older\n"))
    assert said(rules.udev, host(machine)) == [("warn", "60-tidegate.rules is of another version or site")]


def test_edited_rules_are_respected_unless_they_are_wrong(machine: Machine):
    install(machine, current() + b"# mine\n")
    assert said(rules.udev, host(machine)) == [("ok", "60-tidegate.rules is installed, with changes of your own")]
    install(machine, current() + b'KERNAL=="x"\n')
    assert said(rules.udev, host(machine)) == [("fail", "60-tidegate.rules was edited and has mistakes")]


def test_without_udev_there_is_nothing_to_install(machine: Machine):
    assert said(rules.udev, host(machine)) == [("skip", "no udev here")]


def test_modem_manager_is_a_danger_only_without_our_rules(machine: Machine):
    assert said(rules.rivals, host(machine)) == [("skip", "no ModemManager here")]
    machine.write("usr/sbin/ModemManager", "")
    assert said(rules.rivals, host(machine))[0][0] == "warn"
    install(machine, current())
    assert said(rules.rivals, host(machine))[0][0] == "ok"


# kernel


def test_modules_may_be_loaded_built_in_or_on_disk(machine: Machine):
    machine.write("proc/sys/kernel/osrelease", "6.1.0\n")
    machine.write("proc/modules", "ftdi_sio 1 0\ncp210x 1 0\nch341 1 0\npl2303 1 0\ncdc_acm 1 0\n")
    machine.write("lib/modules/6.1.0/modules.dep", "kernel/net/can/can-raw.ko.xz: x\nkernel/net/can/can.ko:\n")
    machine.write("lib/modules/6.1.0/modules.builtin", "kernel/drivers/spi/spidev.ko\n")
    assert said(kernel.modules, host(machine)) == [
        ("ok", "usb-serial: ftdi_sio, cp210x, ch341, pl2303, cdc_acm are there"),
        ("warn", "can: this kernel has no can_isotp, vcan"),
        ("ok", "spi: spidev are there"),
    ]


def test_without_a_list_of_modules_nothing_is_said_of_them(machine: Machine):
    machine.write("proc/sys/kernel/osrelease", "6.1.0\n")
    assert said(kernel.modules, host(machine))[0][0] == "skip"


def test_an_adapter_that_no_driver_took_is_told_with_the_module(machine: Machine):
    place = "sys/bus/usb/devices/1-1"
    machine.write(f"{place}/idVendor", "0403\n")
    machine.write(f"{place}/product", "FT232R\n")
    machine.write(f"{place}/1-1:1.0/uevent", "")
    assert fixes(kernel.adapters, host(machine)) == ["sudo modprobe ftdi_sio"]
    machine.write(f"{place}/1-1:1.0/driver/x", "")
    assert said(kernel.adapters, host(machine)) == []


def raspberry(machine: Machine, config: str) -> Host:
    machine.write("proc/device-tree/model", "Raspberry Pi 4 Model B\0")
    machine.write("boot/firmware/config.txt", config)
    return host(machine)


def test_another_board_has_no_overlays(machine: Machine):
    assert said(kernel.overlays, host(machine)) == [("skip", "not a Raspberry Pi")]


def test_spi_that_is_off_is_told_with_the_command(machine: Machine):
    found = said(kernel.overlays, raspberry(machine, "#dtparam=spi=on\nenable_uart=1\n"))
    assert found == [("warn", "SPI is off: the pins of SPI chips and CAN hats are dead")]


def test_a_pi_that_is_set_up_is_fine(machine: Machine):
    machine.spidev("spidev0.0")
    machine.can("can0", machine.usb("x", "1d50", "606f"))
    machine.write("dev/ttyAMA0", "")
    machine.link("dev/serial0", "dev/ttyAMA0")
    config = "dtparam=spi=on\ndtoverlay=mcp2515-can0,oscillator=16000000\nenable_uart=1\n"
    assert said(kernel.overlays, raspberry(machine, config)) == [
        ("ok", "SPI is on"),
        ("ok", "mcp2515-can0: can0 is there"),
        ("ok", "the UART on the pins is ttyAMA0"),
    ]


def test_a_can_hat_without_an_interface_is_told_with_where_to_look(machine: Machine):
    machine.spidev("spidev0.0")
    found = said(kernel.overlays, raspberry(machine, "dtparam=i2c=on,spi=on\ndtoverlay=mcp2515-can0\nenable_uart=1"))
    assert ("fail", "mcp2515-can0 is in config.txt, and there is no CAN interface") in found


def test_the_small_uart_on_the_pins_is_warned_of(machine: Machine):
    machine.spidev("spidev0.0")
    machine.write("dev/ttyS0", "")
    machine.link("dev/serial0", "dev/ttyS0")
    assert said(kernel.overlays, raspberry(machine, "enable_uart=1\n"))[-1][0] == "warn"


def test_a_firmware_partition_that_is_not_mounted_is_told(machine: Machine):
    machine.write("proc/device-tree/model", "Raspberry Pi 5\0")
    assert said(kernel.overlays, host(machine)) == [("warn", "no config.txt of the firmware is mounted")]


# Bluetooth


def adapter(machine: Machine) -> None:
    machine.write("sys/class/bluetooth/hci0/uevent", "")
    machine.write("run/dbus/system_bus_socket", "")
    machine.write("proc/77/comm", "bluetoothd\n")


def test_without_an_adapter_bluetooth_is_no_matter(machine: Machine):
    assert said(radio.bluetooth, host(machine)) == [("skip", "no Bluetooth adapter here")]


def test_an_adapter_with_a_new_bluez_that_is_on_is_fine(machine: Machine):
    adapter(machine)
    answers = {"bluetoothctl": "bluetoothctl: 5.66\nPowered: yes\n"}
    assert said(radio.bluetooth, host(machine, answers)) == [("ok", "hci0 with BlueZ 5.66")]


@pytest.mark.parametrize(
    ("break_it", "fix"),
    [
        ("dbus", "sudo apt install dbus bluez"),
        ("daemon", "sudo apt install bluez"),
        ("stopped", "sudo systemctl enable --now bluetooth"),
        ("soft", "sudo rfkill unblock bluetooth"),
        ("hard", "switch it on there"),
    ],
)
def test_each_obstacle_of_bluetooth_has_its_fix(machine: Machine, break_it: str, fix: str):
    adapter(machine)
    if break_it == "dbus":
        (machine.root / "run/dbus/system_bus_socket").unlink()
    if break_it in {"daemon", "stopped"}:
        machine.write("proc/77/comm", "other\n")
    if break_it == "stopped":
        machine.write("usr/libexec/bluetooth/bluetoothd", "")
    if break_it in {"soft", "hard"}:
        machine.write("sys/class/rfkill/rfkill0/type", "bluetooth\n")
        machine.write(f"sys/class/rfkill/rfkill0/{break_it}", "1\n")
    assert fixes(radio.bluetooth, host(machine, {"bluetoothctl": "5.66"}))[0] == fix


def test_an_old_bluez_and_one_that_is_off_are_warned_of(machine: Machine):
    adapter(machine)
    found = said(radio.bluetooth, host(machine, {"bluetoothctl": "5.43\nPowered: no\n"}))
    assert found == [("warn", "BlueZ 5.43 is older than 5.55"), ("warn", "hci0 is switched off")]


# clock, power, card, root


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ("NTP=yes\nNTPSynchronized=yes\n", "ok"),
        ("NTP=no\nNTPSynchronized=no\n", "fail"),
        ("NTP=yes\n", "warn"),
        ("", "skip"),
    ],
)
def test_the_clock_is_set_or_not(machine: Machine, answer: str, status: str):
    assert said(board.clock, host(machine, {"timedatectl": answer}))[0][0] == status


def test_a_board_without_a_battery_clock_is_warned_of(machine: Machine):
    machine.write("proc/device-tree/model", "Raspberry Pi 4\0")
    machine.write("run/systemd/timesync/synchronized", "")
    assert [status for status, _ in said(board.clock, host(machine))] == ["ok", "warn"]
    machine.write("sys/class/rtc/rtc0/name", "ds3231\n")
    assert [status for status, _ in said(board.clock, host(machine))] == ["ok"]


@pytest.mark.parametrize(
    ("text", "status", "message"),
    [
        ("0", "ok", "power and temperature were good since the start"),
        ("50005", "fail", "right now: under-voltage, throttled"),
        ("0x80000", "warn", "since the start: near the temperature limit"),
        ("nonsense", "skip", "this board does not tell of its power"),
    ],
)
def test_the_bits_of_throttling_are_told_in_words(machine: Machine, text: str, status: str, message: str):
    machine.write(board.THROTTLED_FILE, f"{text}\n")
    assert said(board.power, host(machine)) == [(status, message)]


def test_throttling_is_asked_of_the_firmware_where_no_file_tells(machine: Machine):
    machine.write("proc/device-tree/model", "Raspberry Pi 4\0")
    assert said(board.power, host(machine, {"vcgencmd": "throttled=0x1\n"}))[0] == ("fail", "right now: under-voltage")


@pytest.mark.parametrize(
    ("life", "reserve", "status"),
    [
        ("0x01 0x02", "0x01", "ok"),
        ("0x09 0x01", "0x01", "warn"),
        ("0x0b 0x01", "0x01", "fail"),
        ("0x01 0x01", "0x03", "fail"),
        ("0x01 0x01", "0x02", "warn"),
        (None, None, "ok"),
        ("broken", "x", "ok"),
    ],
)
def test_the_wear_of_a_card_is_told(machine: Machine, life: str | None, reserve: str | None, status: str):
    machine.write("sys/block/mmcblk0/device/type", "MMC\n")
    for name, text in (("life_time", life), ("pre_eol_info", reserve)):
        if text is not None:
            machine.write(f"sys/block/mmcblk0/device/{name}", f"{text}\n")
    ((found, message),) = said(board.card, host(machine))
    assert (found, "mmcblk0 (MMC" in message) == (status, True)


@pytest.mark.parametrize(
    ("mounts", "status"),
    [
        ("/dev/root / ext4 rw,noatime 0 0\n", "ok"),
        ("/dev/root / ext4 ro 0 0\n", "ok"),
        ("/dev/root / ext4 ro,errors=remount-ro 0 0\n", "fail"),
        ("overlay / overlay rw 0 0\n", "ok"),
        ("", "skip"),
    ],
)
def test_a_root_that_went_read_only_is_told(machine: Machine, mounts: str, status: str):
    machine.write("proc/mounts", mounts)
    assert said(board.root_file_system, host(machine))[0][0] == status


def test_an_overlay_on_a_pi_forgets_everything(machine: Machine):
    machine.write("proc/device-tree/model", "Raspberry Pi 4\0")
    machine.write("proc/mounts", "overlay / overlay rw 0 0\n")
    assert said(board.root_file_system, host(machine))[0][0] == "warn"


# data folder


def room(free: int, size: int = 10**11, free_inodes: int = 1000, inodes: int = 2000) -> Callable[[Path], Space]:
    return lambda _folder: Space(free, size, free_inodes, inodes)


def of_data(machine: Machine, mounts: str = "/dev/root / ext4 rw 0 0\n", **facts: Any) -> list[str]:
    machine.write("proc/mounts", mounts)
    one = host(machine, **{"space": room(10**10), **facts})
    return [status for status, _ in said(lambda each: data_folder(each, Path("/var/lib/tidegate")), one)]


def test_a_data_folder_with_room_is_fine_also_before_it_exists(machine: Machine):
    assert of_data(machine) == ["ok"]


@pytest.mark.parametrize(
    ("mounts", "status"),
    [
        ("/dev/root / ext4 rw 0 0\n/dev/sda1 /var/lib ext4 ro 0 0\n", "fail"),
        ("/dev/root / ext4 rw 0 0\ntmpfs /var tmpfs rw 0 0\n", "warn"),
        ("/dev/root / ext4 rw 0 0\n/dev/sda1 /var vfat rw 0 0\n", "warn"),
        ("/dev/root / ext4 ro 0 0\n/dev/sda1 /var ext4 rw 0 0\n", None),
    ],
)
def test_a_data_folder_on_a_bad_place_is_told(machine: Machine, mounts: str, status: str | None):
    assert of_data(machine, mounts) == ([status] if status else []) + ["ok"]


@pytest.mark.parametrize(
    ("space", "status"),
    [
        (room(10**7), "fail"),
        (room(3 * 10**8, 8 * 10**9), "warn"),
        (room(3 * 10**8, 10**9), "ok"),
        (room(10**10, free_inodes=1, inodes=1000), "warn"),
        (room(10**10, free_inodes=0, inodes=0), "ok"),
    ],
)
def test_little_room_is_told(machine: Machine, space: Callable[[Path], Space], status: str):
    assert of_data(machine, space=space) == [status]


# libraries


def of_extras(machine: Machine, missing: str, buses: tuple[str, ...] = ()) -> dict[str, str]:
    one = host(machine, has_module=lambda name: name != missing)
    return {finding.message: finding.status for finding in extras(one, buses) if missing in finding.message}


def test_a_library_that_what_is_there_needs_is_missed(machine: Machine):
    machine.spidev("spidev0.0")
    assert of_extras(machine, "spidev") == {"spidev is missing": "fail"}


def test_a_library_that_the_site_needs_is_missed_though_nothing_is_plugged_in(machine: Machine):
    assert of_extras(machine, "bleak", ("ble",)) == {"bleak is missing": "fail"}


def test_a_library_that_nothing_needs_is_not_missed(machine: Machine):
    assert set(of_extras(machine, "spidev").values()) == {"skip"}
