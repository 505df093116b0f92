"""Who holds a port, told without opening it."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli.claims import Claims, gateway_ports
from gateway.udev.identity import UsbIdentity
from hil.sim.pty import Cable
from tests.machine import Machine

NODE = "/dev/ttyUSB0"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path)
    machine.tty("ttyUSB0")
    machine.write("proc/41/comm", "gpsd\n")
    return machine


def open_in(machine: Machine, process: int, node: str) -> None:
    folder = machine.root / f"proc/{process}/fd"
    folder.mkdir(parents=True)
    (folder / "3").symlink_to(node)


def test_a_port_that_nobody_holds_is_free(machine: Machine):
    assert Claims(machine.root).holder(NODE) is None


def test_a_process_that_has_the_node_open_is_named(machine: Machine):
    open_in(machine, 41, NODE)
    assert Claims(machine.root).holder(NODE) == "gpsd (process 41)"


def test_a_lock_on_the_node_is_seen_though_its_process_may_not_be_looked_into(machine: Machine):
    status = (machine.root / "dev/ttyUSB0").stat()
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    machine.write("proc/locks", f"1: FLOCK  ADVISORY  WRITE 41 {place} 0 EOF\nbroken line\n2: FLOCK x\n")
    assert Claims(machine.root).holder(NODE) == "gpsd (process 41)"


def test_a_lock_file_of_a_living_process_counts_and_a_stale_one_does_not(machine: Machine):
    machine.write("run/lock/LCK..ttyUSB0", "        41\n")
    assert Claims(machine.root).holder(NODE) == "gpsd (process 41)"
    machine.write("run/lock/LCK..ttyUSB0", "        42\n")
    assert Claims(machine.root).holder(NODE) is None


def test_the_kernel_s_console_is_no_port_for_us(machine: Machine):
    machine.write("sys/class/tty/console/active", "tty0 ttyUSB0\n")
    assert Claims(machine.root).holder(NODE) == "the kernel's console"


@pytest.mark.parametrize("port", [NODE, "/dev/serial/by-id/usb-x", "usb:0403:6001", "usb:0403:6001:A1"])
def test_a_port_that_a_running_gateway_names_is_its_own(machine: Machine, port: str):
    machine.link("dev/serial/by-id/usb-x", "dev/ttyUSB0")
    claims = Claims(machine.root, [port])
    assert claims.holder(NODE, UsbIdentity(0x0403, 0x6001, "A1")) == "the running gateway"


def test_an_adapter_of_a_gateway_is_meant_with_or_without_a_device_behind_it(machine: Machine):
    assert Claims(machine.root, ["hci0/AA:BB:CC:DD:EE:FF"]).holder("hci0") == "the running gateway"
    assert Claims(machine.root, ["can1"]).holder("can0") is None


def test_without_a_gateway_nothing_is_claimed_by_one(tmp_path: Path):
    assert gateway_ports(str(tmp_path)) == []


def test_a_real_process_that_holds_a_real_port_is_seen(tmp_path: Path):
    with Cable(tmp_path / "device") as cable:
        code = "import os, sys; f = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY); print(flush=True); sys.stdin.read()"
        holder = subprocess.Popen(
            [sys.executable, "-c", code, cable.node], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        try:
            assert holder.stdout is not None
            holder.stdout.readline()
            assert f"process {holder.pid}" in (Claims().holder(cable.node) or "")
        finally:
            holder.communicate(b"")


def test_a_real_lock_is_seen(tmp_path: Path):
    with Cable(tmp_path / "device") as cable:
        lock = os.open(cable.node, os.O_RDWR | os.O_NOCTTY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            assert Claims().holder(cable.node) is not None
        finally:
            os.close(lock)
