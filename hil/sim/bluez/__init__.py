"""A BlueZ of our own on a private D-Bus: the real BlueZ backend of bleak finds adapters, devices and GATT tables in it.

`bus.py` runs the bus, `tree.py` holds the objects, `peripheral.py` says what a device is, `adapter.py` and `gatt.py`
answer the methods, `service.py` is the whole, with the faults a test can ask for. What it does was compared with
bluetoothd 5.66: the tests of `tests/kernel/ble` and `tests/drivers/test_ble_port.py` ask the same of both.
"""
