"""Faults that a test adds to its rig: what kinds there are, when one strikes, and which are in force.

- `catalogue.py` lists all kinds with their parameters; `schedule.py` says when one strikes
- `faults.py` is the fixture; `uart.py`, `can.py`, `ble.py`, `spi.py`: what strikes do on a bus. Pure
- `minimise.py`: the fewest faults that still make a test fail
"""
