from __future__ import annotations

import pytest

from gateway.cli.wire import bus_of


@pytest.mark.parametrize(
    ("port", "bus"),
    [
        ("hci0", "ble"),
        ("hci0/AA:BB:CC:DD:EE:FF", "ble"),
        ("/dev/spidev0.1", "spi"),
        ("spidev0.1", "spi"),
        ("can0", "can"),
        ("slcan:/dev/ttyACM0", "can"),
        ("/dev/ttyUSB0", "uart"),
        ("usb:0403:6001", "uart"),
        ("replay:drive.log", "can"),
    ],
)
def test_a_port_text_says_which_bus_it_means(port: str, bus: str) -> None:
    assert bus_of(port) == bus
