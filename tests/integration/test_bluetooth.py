"""A whole gateway on BlueZ's D-Bus interface: tags discovered, a sealed one opened, a heart-rate strap connected."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.app import Gateway
from gateway.config import read_site
from hil.sim.bluez.bus import private_bus
from hil.sim.bluez.peripheral import Characteristic, Peripheral
from hil.sim.bluez.service import FakeBluez

pytestmark = pytest.mark.skipif(shutil.which("dbus-daemon") is None, reason="no dbus-daemon: sudo apt install dbus")

RUUVI = "0512fc5394c37c0004fffc040cac364200cdcbb8334c884f"  # docs.ruuvi.com, data format 5, valid data
SEALED = "41a47266c95f730011223378237214"  # bthome.io, "Encryption"
KEY = "231d39c1d7cc1ab1aee224cd096db932"
RATE = Characteristic("00002a37-0000-1000-8000-00805f9b34fb", ("notify",))
BATTERY = Characteristic("00002a19-0000-1000-8000-00805f9b34fb", ("read",), b"\x57")
SITE = """
[discover.ruuvi]
profile = "ruuvitag-df5"
port = "hci0"
limit = 2
[device.kitchen]
profile = "bthome"
port = "hci0/54:48:E6:8F:80:A5"
params = { key = { file = "kitchen.key" } }
[device.strap]
profile = "heart-rate"
port = "hci0"
"""


@pytest.fixture
def bluez() -> Iterator[FakeBluez]:
    with private_bus() as address, FakeBluez(address) as bluez:
        yield bluez


def tag(number: int) -> Peripheral:
    return Peripheral(f"CB:B8:33:4C:88:{number:02X}", manufacturer={0x0499: bytes.fromhex(RUUVI)})


def strap() -> Peripheral:
    services = {
        "0000180d-0000-1000-8000-00805f9b34fb": [RATE],
        "0000180f-0000-1000-8000-00805f9b34fb": [BATTERY],
    }
    uuids = ("0000180d-0000-1000-8000-00805f9b34fb",)
    return Peripheral("F0:F1:F2:F3:F4:F5", "Strap", service_uuids=uuids, services=services)


def kitchen() -> Peripheral:
    data = {"0000fcd2-0000-1000-8000-00805f9b34fb": bytes.fromhex(SEALED)}
    return Peripheral("54:48:E6:8F:80:A5", service_data=data)


def play(folder: Path, scenario: Callable[[Gateway], Awaitable[None]]) -> None:
    async def run() -> None:
        (folder / "kitchen.key").write_text(KEY + "\n")
        gateway = Gateway(read_site("site.toml", SITE.encode()), folder / "data", folder=folder)
        stop = asyncio.Event()
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(gateway.run(stop))
            try:
                await scenario(gateway)
            finally:
                stop.set()

    asyncio.run(run())


def values(gateway: Gateway) -> dict[tuple[str, str], dict[str, Any]]:
    return {(each["device"], each["message"]): each["values"] for each in gateway.queries.latest() if each["seq"]}


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - a gateway is watched from outside; play() sets the limit
        await asyncio.sleep(0.01)


def test_every_tag_that_is_heard_becomes_a_device_with_its_values(tmp_path: Path, bluez: FakeBluez) -> None:
    for number in (0x4F, 0x50):
        bluez.add(tag(number))

    async def scenario(gateway: Gateway) -> None:
        await until(lambda: {("ruuvi-884f", "df5"), ("ruuvi-8850", "df5")} <= set(values(gateway)))
        assert values(gateway)["ruuvi-884f", "df5"]["temperature"] == pytest.approx(24.3)
        assert values(gateway)["ruuvi-884f", "advertisement"] == {"rssi": -60}

    play(tmp_path, scenario)


def test_a_sealed_tag_is_opened_with_its_own_key(tmp_path: Path, bluez: FakeBluez) -> None:
    bluez.add(kitchen())

    async def scenario(gateway: Gateway) -> None:
        await until(
            lambda: any(device == "kitchen" and message != "advertisement" for device, message in values(gateway))
        )
        found = {name: value for (_, message), row in values(gateway).items() for name, value in row.items() if message}
        assert found["temperature"] == pytest.approx(25.06)
        assert found["humidity"] == pytest.approx(50.55)

    play(tmp_path, scenario)


def test_a_strap_is_connected_beside_the_scan_and_comes_back_after_a_disconnect(
    tmp_path: Path, bluez: FakeBluez
) -> None:
    peripheral = bluez.add(strap())
    bluez.add(tag(0x4F))

    def state(gateway: Gateway) -> str:
        return next(str(each["state"]) for each in gateway.status()["devices"] if each["name"] == "strap")

    async def scenario(gateway: Gateway) -> None:
        await until(lambda: ("strap", "battery") in values(gateway))
        assert values(gateway)["strap", "battery"] == {"battery": 87}
        await asyncio.to_thread(bluez.notify, peripheral, RATE, b"\x00\x48")
        await until(lambda: ("strap", "measurement") in values(gateway))
        assert values(gateway)["strap", "measurement"]["rate"] == 72
        await until(lambda: ("ruuvi-884f", "df5") in values(gateway))  # the scan goes on beside the connection
        await asyncio.to_thread(bluez.drop, peripheral)
        await until(lambda: state(gateway) == "DISCONNECTED")
        await until(lambda: state(gateway) == "CONNECTED")
        await asyncio.to_thread(bluez.notify, peripheral, RATE, b"\x00\x49")
        await until(lambda: values(gateway)["strap", "measurement"]["rate"] == 73)

    play(tmp_path, scenario)


def test_an_adapter_that_is_pulled_takes_its_devices_along_and_brings_them_back(
    tmp_path: Path, bluez: FakeBluez
) -> None:
    bluez.add(tag(0x4F))

    def states(gateway: Gateway) -> set[str]:
        return {str(each["state"]) for each in gateway.status()["devices"] if each["name"].startswith("ruuvi")}

    def delivered(gateway: Gateway) -> int:
        return sum(each["frames"]["delivered"] for each in gateway.status()["devices"])

    async def scenario(gateway: Gateway) -> None:
        await until(lambda: states(gateway) == {"CONNECTED"})
        await asyncio.to_thread(bluez.unplug)
        await until(lambda: states(gateway) <= {"DISCONNECTED", "ABSENT"})
        heard = delivered(gateway)
        assert states(gateway) <= {"DISCONNECTED", "ABSENT"}
        await asyncio.to_thread(bluez.plug)
        await until(lambda: states(gateway) == {"CONNECTED"})
        await until(lambda: delivered(gateway) > heard)
        assert values(gateway)["ruuvi-884f", "df5"]["temperature"] == pytest.approx(24.3)

    play(tmp_path, scenario)
