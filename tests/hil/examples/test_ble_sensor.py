"""BLE sensors behind a whole gateway: a tag that only advertises, and a strap that is connected to."""

from __future__ import annotations

import pytest

TAG, STRAP = "AA:BB:CC:DD:EE:01", "AA:BB:CC:DD:EE:02"
# Data format 5, the valid data of Ruuvi's test vectors: 24.3 Cel, 53.49 %, 100044 Pa.
# Source: docs.ruuvi.com, "Data format 5 (RAWv2)", test vectors.
RUUVI = bytes.fromhex("0512fc5394c37c0004fffc040cac364200cdcbb8334c884f")
TEMPERATURE = "cellar/climate/temperature"


@pytest.fixture
def cellar(gateway, ble):
    gateway.add("cellar", profile="ruuvitag-df5", port=f"ble0/{TAG}")
    ble.peer.advertise(TAG, rssi=-70, manufacturer_data={0x0499: RUUVI}, interval="1285ms")
    return gateway


@pytest.mark.hil(needs=["ble"])
def test_an_advertisement_becomes_a_value_with_its_unit(cellar):
    found = cellar.wait(TEMPERATURE, timeout=5)
    assert (found.value, found.units) == (24.3, "Cel")


def test_half_of_all_advertisements_lost_makes_a_value_late_and_no_worse(cellar, faults, clock):
    fault = faults.add("adv_loss", bus="ble0", probability=0.5)
    clock.sleep("60s")
    found = cellar.get(TEMPERATURE)
    assert fault.hits > 10
    assert (found.value, found.stale) == (24.3, False)


@pytest.fixture
def strap(gateway, ble):
    ble.peer.characteristic("2a37", b"\x00\x40", notify=True)
    ble.peer.characteristic("2a38", b"\x01")
    ble.peer.characteristic("2a19", b"\x55")
    ble.peer.advertise(STRAP, interval="500ms")
    gateway.add("strap", profile="heart-rate", port=f"ble0/{STRAP}")
    assert gateway.wait("strap/health/battery", timeout=60).value == 85
    return gateway


def test_a_notification_becomes_a_value(strap, ble):
    ble.peer.notify("2a37", b"\x00\x48")
    assert strap.wait("strap/heart/rate", timeout=5).value == 72


def test_a_strap_whose_link_breaks_is_connected_again(strap, ble, faults, clock):
    faults.add("disconnect", bus="ble0", count=1)
    clock.sleep("60s")
    assert strap.device("strap").state == "CONNECTED"
    ble.peer.notify("2a37", b"\x00\x49")
    assert strap.wait("strap/heart/rate", timeout=5).value == 73
