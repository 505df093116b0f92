"""What works on a machine, and which resources of a rig file are there: told from files, no port is opened."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hil.cli.doctor import command
from hil.rigs.doctor import Finding, Machine, examine
from hil.rigs.file import load
from hil.rigs.presence import Present, present
from tests.machine import Machine as Files


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def look(files: Files, name: str, **others: Any) -> Finding:
    given: dict[str, Any] = {"has_module": lambda _: True, "which": lambda _: None, "has_can": lambda: True, **others}
    return next(each for each in examine(Machine(files.root, release="6.1", **given)) if each.name == name)


def test_the_simulated_rig_needs_nothing(files: Files) -> None:
    assert look(files, "simulated").works


def test_a_library_that_is_missing_comes_with_the_command_that_installs_it(files: Files) -> None:
    finding = look(files, "uart", has_module=lambda name: name != "serial")
    assert (finding.works, finding.fix) == (False, "pip install 'tidegate[uart]'")


def test_a_serial_port_that_is_there_works(files: Files) -> None:
    files.tty("ttyUSB0")
    assert look(files, "uart") == Finding("uart", True, "/dev/ttyUSB0 may be opened")


def test_a_kernel_without_can_is_told_and_one_that_could_load_it_too(files: Files) -> None:
    assert "make rig" in look(files, "socketcan", has_can=lambda: False).fix
    files.write("lib/modules/6.1/modules.dep", "kernel/net/can/can-raw.ko:\nkernel/net/can/can_raw.ko.xz:\n")
    assert look(files, "socketcan", has_can=lambda: False).fix == "sudo modprobe can_raw"


def test_an_interface_that_is_down_comes_with_the_command_that_brings_it_up(files: Files) -> None:
    files.can("can0", files.usb("1-2", "1d50", "606f"), flags="0x40080")
    finding = look(files, "socketcan")
    assert (finding.works, finding.fix) == (False, "sudo ip link set can0 up type can bitrate 500000")


def test_a_vcan_that_could_be_made_comes_with_how(files: Files) -> None:
    files.write("sys/module/vcan/refcnt", "0")
    assert "ip link add vcan0 type vcan" in look(files, "vcan").fix
    files.can("vcan0")
    assert look(files, "vcan") == Finding("vcan", True, "vcan0 is up")


def test_bluetooth_needs_an_adapter_and_a_bus(files: Files) -> None:
    assert look(files, "ble").message == "no Bluetooth adapter is here"
    files.write("sys/class/bluetooth/hci0/uevent", "")
    assert look(files, "ble").fix == "sudo apt install bluez dbus"
    files.write("run/dbus/system_bus_socket", "")
    assert look(files, "ble") == Finding("ble", True, "hci0 by BlueZ")


def test_a_kernel_that_has_the_virtual_controller_is_told_how_to_load_it(files: Files) -> None:
    files.write("lib/modules/6.1/modules.builtin", "kernel/drivers/bluetooth/hci_vhci.ko\n")
    assert look(files, "vhci").fix == "sudo modprobe hci_vhci"


def test_hubs_spi_gpio_and_the_kernel_rig_are_found(files: Files) -> None:
    files.write("sys/bus/usb/devices/1-1:1.0/1-1-port2/disable", "0")
    files.spidev("spidev0.0")
    files.write("dev/gpiochip0", "")
    names = ("usb hub", "spi", "gpio", "kernel rig")
    assert all(look(files, name, which=lambda name: f"/usr/bin/{name}").works for name in names)


@pytest.mark.parametrize("name", ["spi", "usb hub", "gpio", "vhci", "vcan", "kernel rig", "ble", "uart"])
def test_what_does_not_work_says_the_next_step(files: Files, name: str) -> None:
    finding = look(files, name)
    assert not finding.works
    assert finding.fix


def resources(files: Files, text: str, **others: Any) -> dict[str, Present]:
    (files.root / "rig.toml").write_text('[rig]\nname = "r"\n' + text)
    machine = Machine(files.root, **{"which": lambda _: None, **others})
    return {each.resource: each for each in present(load(files.root / "rig.toml"), machine)}


UART = '[target.a.resource.uart0]\nprotocol = "uart"\nport = "usb:0403:6001:{}"\n'


def test_a_board_is_matched_to_its_node_by_its_serial_number(files: Files) -> None:
    for number, serial in enumerate(("AAA", "BBB")):
        files.tty(f"ttyUSB{number}", files.usb(f"1-{number}", "0403", "6001", serial))
    (found,) = resources(files, UART.format("BBB")).values()
    assert (found.works, found.node) == (True, "/dev/ttyUSB1")


def test_a_board_that_is_not_plugged_in_says_so(files: Files) -> None:
    (found,) = resources(files, UART.format("CCC")).values()
    assert (found.works, found.node) == (False, "")
    assert found.fix.startswith("plug it in")


def test_a_name_under_by_id_is_followed_and_a_wrong_one_told_with_the_nearest(files: Files) -> None:
    files.tty("ttyUSB3", files.usb("1-1", "0403", "6001", "AAA"))
    files.link("dev/serial/by-id/usb-FTDI-if00", "dev/ttyUSB3")
    right = UART.replace("usb:0403:6001:{}", "/dev/serial/by-id/usb-FTDI-if00")
    wrong = right.replace("uart0", "uart1").replace("if00", "if01")
    found = resources(files, right + wrong)
    assert (found["uart0"].node, "did you mean '/dev/serial/by-id/usb-FTDI-if00'" in found["uart1"].message) == (
        "/dev/ttyUSB3",
        True,
    )


def test_each_protocol_is_looked_for_where_it_is(files: Files) -> None:
    files.can("can0", files.usb("1-2", "1d50", "606f", "42"))
    files.write("sys/class/bluetooth/hci0/uevent", "")
    files.spidev("spidev0.1")
    text = "".join(
        f'[target.a.resource.{name}]\nprotocol = "{name[:-1]}"\nport = "{port}"\n'
        for name, port in (
            ("can0", "usb:1d50:606f:42"),
            ("can1", "can7"),
            ("can2", "virtual:x"),
            ("ble0", "hci0/AA:BB:CC:DD:EE:FF"),
            ("ble1", "hci1"),
            ("spi0", "spi0.1"),
        )
    )
    found = resources(files, text)
    nodes = {name: each.node for name, each in found.items()}
    assert nodes == {
        "can0": "can0",
        "can1": "",
        "can2": "virtual:x",
        "ble0": "hci0",
        "ble1": "",
        "spi0": "/dev/spidev0.1",
    }
    assert found["can1"].message == "no interface can7; did you mean 'can0'?"


@pytest.mark.parametrize(
    ("way", "works", "message"),
    [
        ("hand = true", True, "a person is asked"),
        ('hub = "1-1"\nhub_port = 2', False, "is not there, and there is no uhubctl"),
        ('gpiochip = "gpiochip0"\nline = 1', False, "no GPIO chip is here"),
        ('command_on = "relay on"\ncommand_off = "relay off"', False, "no program 'relay'"),
        ("sim = true", True, "simulated"),
    ],
)
def test_a_switch_is_looked_for(files: Files, way: str, works: bool, message: str) -> None:
    found = resources(files, f'[target.a.resource.power]\nprotocol = "power"\n{way}\n')["power"]
    assert (found.works, message in found.message) == (works, True)


def test_the_command_tells_all_and_ends_in_1_where_a_resource_is_missing(files: Files) -> None:
    (files.root / "rig.toml").write_text('[rig]\nname = "r"\n' + UART.format("AAA"))
    answer = CliRunner().invoke(command, [str(files.root / "rig.toml"), "--root", str(files.root)])
    assert answer.exit_code == 1
    assert "no  a.uart0      usb:0403:6001:AAA: no USB adapter with these ids is plugged in" in answer.stdout


def test_the_command_gives_json_and_without_a_file_ends_in_0(files: Files) -> None:
    answer = CliRunner().invoke(command, ["--json", "--root", str(files.root)])
    told = json.loads(answer.stdout)
    assert (answer.exit_code, told["resources"]) == (0, [])
    assert {key: told["backends"][0][key] for key in ("name", "works")} == {"name": "simulated", "works": True}


def test_mistakes_of_the_file_are_told_as_check_tells_them(files: Files) -> None:
    (files.root / "rig.toml").write_text('[rig]\nname = "r"\n')
    answer = CliRunner().invoke(command, [str(files.root / "rig.toml")])
    assert (answer.exit_code, "rig.toml:1: target: no target" in answer.stdout) == (1, True)
