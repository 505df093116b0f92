"""The simulated rig: buses, devices and time in this process. Seconds of a test pass at once, the same each time.

- `rig.py` makes `world.py` (time), `dut.py` (power and boot) and the buses, anew for each test
- the fixtures: `uart.py`, `canbus.py`, `ble.py`, `spi.py`, with the wires and links behind them in `uart_*.py`,
  `can_wire.py` and `ble_link.py`; the device's side is in `hil.peers`
- a whole gateway in the same time: `gateway.py`, `loop.py`, `ledger.py`; the buses as its ports: `ports.py`, `gatt.py`
"""
