"""The words of rigs, and what the simulated one has. Imports nothing, for what must start fast."""

from __future__ import annotations

from typing import Final

PROTOCOLS: Final = ("uart", "can", "ble", "spi", "power")
STATES: Final = ("off", "powered", "answering", "configured")  # of a target; each needs the one before
SIMULATED: Final = "sim"  # name of the rig that serves without a file, and of its target
SIMULATED_RESOURCES: Final = {"uart0": "uart", "can0": "can", "ble0": "ble", "spi0": "spi", "power": "power"}
PROTOCOL_OF: Final = {"uart": "uart", "can_bus": "can", "ble": "ble", "spi": "spi", "power": "power"}  # by fixture
