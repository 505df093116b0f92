"""Simulated devices on their wires: what can be done to each, whatever it is and however it is connected."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

from gateway.frame import CAN_EXTENDED, CAN_ID_MASK
from gateway.registry import require
from hil.sim.behaviour import Behaviour
from hil.sim.modbus import ModbusSlave, ModbusWire
from hil.sim.motor import CanFrame, MotorController
from hil.sim.node import CobsNode
from hil.sim.pty import Cable
from hil.sim.slcan import SlcanAdapter

GNSS_PERIOD_S: Final = 1.0


class Berth(Protocol):
    """One device and its wire. Raises: ValueError for what this one cannot."""

    def behave(self, behaviour: Behaviour) -> None:
        """Treat commands so from now on."""

    def restart(self, now_s: float) -> None:
        """Begin anew, at once, without being told to by a command."""

    def vanish(self) -> None:
        """Go off the wire; the device lives on."""

    def come_back(self, *, elsewhere: bool = False) -> None:
        """Return; `elsewhere`: as another node than before, behind the name that stays."""

    def tick(self, now_s: float) -> None:
        """Hear and say what is due."""


class OnCable:
    """What all devices on a cable have in common."""

    def __init__(self, cable: Cable) -> None:
        self.cable = cable

    def vanish(self) -> None:
        """Pull the cable."""
        self.cable.unplug()

    def come_back(self, *, elsewhere: bool = False) -> None:
        """Put the cable in again."""
        self.cable.plug(elsewhere=elsewhere)


class NodeOnCable(OnCable):
    """A COBS node."""

    def __init__(self, cable: Cable, node: CobsNode) -> None:
        super().__init__(cable)
        self.behave = node.behave
        self.restart: Callable[[float], None] = node.restart
        self._node = node

    def tick(self, now_s: float) -> None:
        """Hear and say what is due."""
        for answer in self._node.receive(self.cable.receive(), now_s) + self._node.due(now_s):
            self.cable.send(answer)


class GnssOnCable(OnCable):
    """A receiver that says a second's sentences each second and hears nothing."""

    def __init__(self, cable: Cable, seconds: Iterator[bytes]) -> None:
        super().__init__(cable)
        self._seconds = seconds
        self._due_s = -math.inf

    def behave(self, behaviour: Behaviour) -> None:
        """Raise ValueError: there is nothing to order."""
        raise ValueError(f"a GNSS receiver takes no orders; it cannot be told {behaviour}")

    def restart(self, now_s: float) -> None:
        """Say nothing for a period."""
        self._due_s = now_s + GNSS_PERIOD_S

    def tick(self, now_s: float) -> None:
        """Say what is due."""
        self.cable.receive()
        if now_s >= self._due_s:
            self._due_s = max(self._due_s, now_s - GNSS_PERIOD_S) + GNSS_PERIOD_S
            self.cable.send(next(self._seconds))


class SlaveOnCable(OnCable):
    """A Modbus device with a wire of its own."""

    def __init__(self, wire: ModbusWire, slave: ModbusSlave, live: Callable[[float], None]) -> None:
        """`live` moves the simulated world to a time, before the device answers."""
        super().__init__(wire.cable)
        self.behave = slave.behave
        self.restart = slave.restart
        self._wire = wire
        self._live = live

    def tick(self, now_s: float) -> None:
        """Hear and say what is due."""
        self._live(now_s)
        self._wire.step(now_s)


class MotorOnAdapter(OnCable):
    """A motor behind a CAN adapter on a serial line, whose cable it is that can be pulled."""

    def __init__(self, cable: Cable, motor: MotorController) -> None:
        super().__init__(cable)
        self.behave = motor.behave
        self.restart = motor.restart
        self._motor = motor
        self._adapter = SlcanAdapter()

    def come_back(self, *, elsewhere: bool = False) -> None:
        """Put the cable in again: an adapter that has just got power, its channel closed."""
        if not self.cable.is_plugged:
            self._adapter = SlcanAdapter()
        super().come_back(elsewhere=elsewhere)

    def tick(self, now_s: float) -> None:
        """Hear and say what is due."""
        self.cable.send(self._adapter.feed(self.cable.receive()))
        heard = [CanFrame(can_id, data) for can_id, data in self._adapter.frames]
        self._adapter.frames.clear()
        for frame in _said(self._motor, heard, now_s):
            self.cable.send(self._adapter.line(frame.can_id, frame.data))


class MotorOnBus:
    """A motor on python-can's virtual bus, which is there for this process alone."""

    def __init__(self, channel: str, motor: MotorController) -> None:
        self.behave = motor.behave
        self.restart = motor.restart
        self._motor = motor
        self._can: Any = require("can", "can")
        self._bus: Any = self._can.Bus(interface="virtual", channel=channel)
        self._is_there = True

    def vanish(self) -> None:
        """Lose the plug: the bus stays, the motor is not on it."""
        self._is_there = False

    def come_back(self, *, elsewhere: bool = False) -> None:
        """Be on the bus again. Raises: ValueError for elsewhere."""
        if elsewhere:
            raise ValueError("a virtual bus has one name; a motor behind an adapter can come back elsewhere")
        self._is_there = True

    def tick(self, now_s: float) -> None:
        """Hear and say what is due."""
        heard: list[CanFrame] = []
        while (message := self._bus.recv(0)) is not None:
            flags = CAN_EXTENDED if message.is_extended_id else 0
            heard.append(CanFrame(message.arbitration_id | flags, bytes(message.data)))
        for frame in _said(self._motor, heard if self._is_there else [], now_s):
            if self._is_there:
                is_extended = bool(frame.can_id & CAN_EXTENDED)
                number = frame.can_id & CAN_ID_MASK
                self._bus.send(self._can.Message(arbitration_id=number, data=frame.data, is_extended_id=is_extended))

    def end(self) -> None:
        """Close the bus."""
        self._bus.shutdown()


def _said(motor: MotorController, heard: list[CanFrame], now_s: float) -> list[CanFrame]:
    said = motor.due(now_s)
    for frame in heard:
        said += motor.receive(frame, now_s)
    return said
