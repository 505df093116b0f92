"""A GATT characteristic that is set, behind the methods that BlueZ offers; the bus itself is tested with the driver."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from hil.sim.behaviour import Behaviour
from hil.sim.bluez.gatt import GattTable
from hil.sim.bluez.peripheral import Peripheral
from hil.sim.bluez.reply import Failed, Later, Reply
from hil.sim.bluez.setting import Setting
from hil.sim.bluez.tree import Tree

UUID = "6e400002-b5a3-f393-e0a9-e50e24dcca9e"
REQUEST = {"type": SimpleNamespace(value="request")}


class Lamp:
    """A lamp of two bytes that was at 100 at power-on."""

    def __init__(self):
        self.now_s = 10.0
        self.setting = Setting(UUID, 2, 100, lambda: self.now_s)
        self.setting.flags = ("read", "write", "write-without-response")
        tree = Tree(lambda *_: None)
        self._gatt = GattTable(tree)
        self._gatt.show(Peripheral("F0:F1:F2:F3:F4:F5", services={"180f": [self.setting]}), "/dev")
        self._path = next(path for path in tree.managed() if "char" in path)

    def write(self, number, options=REQUEST):
        return self._gatt.method(self._path, "WriteValue", [number.to_bytes(2, "little"), options])

    def read(self, *, after_s=0.0):
        self.now_s += after_s
        return int.from_bytes(self._gatt.method(self._path, "ReadValue", [{}]).body[0], "little")

    def behave(self, **facts):
        self.setting.behave(Behaviour(**facts))
        return self


@pytest.fixture
def lamp():
    return Lamp()


def test_what_is_written_is_answered_and_read_back(lamp):
    assert lamp.write(700) == Reply()
    assert lamp.read() == 700


def test_a_lamp_that_lies_answers_and_stays(lamp):
    assert lamp.behave(lies=True).write(700) == Reply()
    assert lamp.read() == 100


def test_a_lamp_that_ignores_writes_never_answers_and_stays(lamp):
    assert lamp.behave(ignores=True).write(700) == Later(None)
    assert lamp.read() == 100


def test_a_lamp_that_refuses_answers_with_an_error_of_its_own(lamp):
    with pytest.raises(Failed, match="ATT error: 0x80"):
        lamp.behave(refuses=True).write(700)
    assert lamp.read() == 100


@pytest.mark.parametrize("late_s", [0.5, None])
def test_an_answer_that_is_late_or_never_comes_is_of_a_write_that_was_obeyed(lamp, late_s):
    assert lamp.behave(ack_after_s=late_s).write(700) == Later(late_s)
    assert lamp.read() == 700


def test_a_command_is_never_waited_for(lamp):
    assert lamp.behave(ack_after_s=0.5).write(700, {"type": SimpleNamespace(value="command")}) == Reply()


def test_a_lamp_is_slow_or_clamped_or_drifts_or_lags_as_it_is_told(lamp):
    lamp.behave(slow_s=1).write(700)
    assert [lamp.read(), lamp.read(after_s=1)] == [100, 700]
    lamp.behave(clamp=(0, 500)).write(900)
    assert lamp.read() == 500
    lamp.behave(drift_per_s=-1000)
    assert lamp.read(after_s=1) == 0
    lamp.behave().write(300)
    lamp.read()
    lamp.behave(lag_s=1).write(400)
    assert [lamp.read(after_s=0.5), lamp.read(after_s=0.4), lamp.read(after_s=0.7)] == [300, 300, 400]


def test_a_lamp_that_was_restarted_is_as_at_power_on(lamp):
    lamp.write(700)
    lamp.setting.restart()
    assert lamp.read() == 100


def test_a_number_of_another_size_is_refused(lamp):
    with pytest.raises(Failed, match="InvalidValueLength"):
        lamp.setting.write(b"\x01")


def test_a_characteristic_cannot_restart_its_device(lamp):
    with pytest.raises(ValueError, match="drop the connection"):
        lamp.behave(restarts=True)
