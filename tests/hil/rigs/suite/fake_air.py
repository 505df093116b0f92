"""A pytest plugin: this process's BlueZ is the shipped fake, and tests play the device within its reach.

The device has the words of the simulated peer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any

from hil.rigs.radio import address_of, manufacturer_of, service_of, uuid_of
from hil.sim.bluez.bus import private_bus
from hil.sim.bluez.peripheral import Characteristic, Peripheral
from hil.sim.bluez.service import FakeBluez

SERVICE = "0000180d-0000-1000-8000-00805f9b34fb"


class Device:
    """One device, under the address that it advertised first."""

    def __init__(self, bluez: FakeBluez) -> None:
        self._bluez = bluez
        self._peripherals: dict[str, Peripheral] = {}

    def advertise(
        self,
        address: str,
        rssi: int = -60,
        manufacturer_data: Any = None,
        service_data: Any = None,
        *,
        name: Any = None,
    ) -> None:
        at = address_of(address)
        if at not in self._peripherals:
            self._peripherals[at] = self._bluez.add(Peripheral(at, name, services={SERVICE: []}, period_s=None))
        peripheral = self._peripherals[at]
        peripheral.rssi_dbm = rssi
        peripheral.manufacturer = manufacturer_of(manufacturer_data)
        peripheral.service_data = {_long(uuid): data for uuid, data in service_of(service_data).items()}
        self._bluez.advertise(peripheral)

    def characteristic(
        self, uuid: str, value: bytes = b"", notify: bool = False, *, readable: bool = True, writable: bool = True
    ) -> Characteristic:
        kinds = (("read", readable), ("write", writable), ("write-without-response", writable), ("notify", notify))
        made = Characteristic(_long(uuid_of(uuid)), tuple(kind for kind, has in kinds if has), value)
        made.on_write = partial(setattr, made, "value")
        peripheral = next(iter(self._peripherals.values()))
        peripheral.services[SERVICE].append(made)
        peripheral.period_s = 0.02  # so that whoever would connect hears it
        self._bluez.add(peripheral)
        return made

    def notify(self, uuid: str, value: bytes) -> None:
        peripheral = next(iter(self._peripherals.values()))
        found = next(each for each in peripheral.characteristics if each.uuid == _long(uuid_of(uuid)))
        found.value = value
        self._bluez.notify(peripheral, found, value)

    def leave(self) -> None:
        for peripheral in self._peripherals.values():
            self._bluez.remove(peripheral)


class FakeAir:
    def __init__(self, bluez: FakeBluez) -> None:
        self._bluez = bluez

    @contextlib.contextmanager
    def device(self) -> Iterator[Device]:
        made = Device(self._bluez)
        yield made
        made.leave()


def _long(uuid: str) -> str:
    return uuid if "-" in uuid else f"{uuid:0>8}-0000-1000-8000-00805f9b34fb"


_stack = contextlib.ExitStack()


def pytest_configure(config: Any) -> None:
    bluez = _stack.enter_context(FakeBluez(_stack.enter_context(private_bus())))
    config.pluginmanager.register(FakeAir(bluez), "air")


def pytest_unconfigure() -> None:
    _stack.close()
