"""What switches a board: a person, a hub, a GPIO line, a program."""

from __future__ import annotations

import os
import pty
import struct
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from hil.rigs.base import RigError
from hil.rigs.bench.gpio import GET_CHIP_INFO, GET_LINE, SET_VALUES, Line
from hil.rigs.bench.power import Command, Gpio, Hand, Hub, Pretence, switch_of
from hil.rigs.model import ResourceSpec
from tests.waiting import WITHIN_S


def spec(**keys: Any) -> ResourceSpec:
    return ResourceSpec(protocol="power", **keys)


@pytest.mark.parametrize(
    ("keys", "kind"),
    [
        ({"hand": True}, Hand),
        ({"hub": "1-1", "hub_port": 2}, Hub),
        ({"gpiochip": "gpiochip0", "line": 3}, Gpio),
        ({"command_on": "true", "command_off": "false"}, Command),
        ({"sim": True}, Pretence),
    ],
)
def test_each_way_has_its_switch(keys: dict[str, Any], kind: type) -> None:
    assert type(switch_of("a.power", spec(**keys))) is kind


@pytest.mark.parametrize(("hub", "folder"), [("1-1.4", "1-1.4:1.0/1-1.4-port2"), ("usb1", "1-0:1.0/usb1-port2")])
def test_a_hub_port_is_switched_where_the_kernel_has_its_switch(tmp_path: Path, hub: str, folder: str) -> None:
    switch = tmp_path / "sys/bus/usb/devices" / folder / "disable"
    switch.parent.mkdir(parents=True)
    told = []
    for on in (False, True):
        Hub("a.power", hub, 2, tmp_path).set(on=on)
        told.append(switch.read_text())
    assert told == ["1\n", "0\n"]


def test_a_hub_that_is_not_there_is_told_with_its_place_and_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RigError, match=r"port 2 of hub 1-1 cannot be switched.*lsusb -t.*sudo apt install uhubctl"):
        Hub("a.power", "1-1", 2, tmp_path).set(on=True)


def test_without_the_kernels_switch_uhubctl_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "uhubctl"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/said\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    Hub("a.power", "1-1", 2, tmp_path).set(on=False)
    assert (tmp_path / "said").read_text() == "-l 1-1 -p 2 -a off\n"


def test_a_person_is_asked_on_the_terminal_and_waited_for(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    switching = threading.Thread(target=Hand("a.power", Path(os.ttyname(theirs))).set, kwargs={"on": True})
    switching.start()
    asked = b""
    while b"Enter" not in asked:
        asked += os.read(ours, 1000)
    os.write(ours, b"\n")
    switching.join(WITHIN_S)
    os.close(ours)
    os.close(theirs)
    assert (b"hil: switch a.power on, then press Enter" in asked, switching.is_alive()) == (True, False)


def test_without_a_terminal_nobody_is_asked(tmp_path: Path) -> None:
    with pytest.raises(RigError, match=r"a\.power is switched by hand, and there is no terminal to ask on"):
        Hand("a.power", tmp_path / "none").set(on=True)


def test_a_program_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hil.rigs.bench.power.COMMAND_S", 0.1)
    endless = [sys.executable, "-c", "import time; time.sleep(60)"]
    with pytest.raises(RigError, match=r"did not end in 0\.1 s"):
        Command("a.power", endless, endless).set(on=True)


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(RigError, match="no-such-relay on cannot be run: No such file"):
        Command("a.power", "no-such-relay on", "true").set(on=True)


class Chips:
    """The kernel's GPIO character devices as far as their calls go; what was asked is kept."""

    def __init__(self, folder: Path, labels: dict[str, str]) -> None:
        self.labels = labels
        self.folder = folder
        self.requests: list[tuple[str, int, int, int]] = []
        self.values: list[int] = []
        for name in labels:
            (folder / name).touch()

    def ioctl(self, fd: int, call: int, data: bytearray) -> None:
        name = Path(f"/proc/self/fd/{fd}").readlink().name
        if call == GET_CHIP_INFO:
            data[:] = struct.pack("32s32sI", name.encode(), self.labels[name].encode(), 54)
        elif call == GET_LINE:
            (offset,) = struct.unpack_from("I", data)
            (flags,) = struct.unpack_from("Q", data, 288)
            (value,) = struct.unpack_from("Q", data, 288 + 8 + 24 + 8)
            self.requests.append((name, offset, flags, value))
            data[-4:] = struct.pack("i", os.open(self.folder, os.O_RDONLY))
        elif call == SET_VALUES:
            self.values.append(struct.unpack("QQ", data)[0])


@pytest.mark.parametrize("chip", ["gpiochip1", "pinctrl-bcm2711"])
def test_a_line_is_taken_by_name_or_label_with_its_first_level_and_then_driven(tmp_path: Path, chip: str) -> None:
    chips = Chips(tmp_path, {"gpiochip0": "other", "gpiochip1": "pinctrl-bcm2711"})
    line = Line(chip, 17, active_low=True, folder=tmp_path, ioctl=chips.ioctl)
    for active in (True, False, True):
        line.set(active=active)
    line.close()
    assert (chips.requests, chips.values) == ([("gpiochip1", 17, 0b1010, 1)], [0, 1])


def test_a_chip_that_is_not_there_is_told_with_the_next_step(tmp_path: Path) -> None:
    line = Line("nothing", 1, folder=tmp_path, ioctl=Chips(tmp_path, {"gpiochip0": "other"}).ioctl)
    with pytest.raises(RigError, match=r"line 1 of nothing cannot be driven .*see `gpioinfo`"):
        Gpio("a.power", line).set(on=True)
