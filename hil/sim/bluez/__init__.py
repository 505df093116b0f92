"""A BlueZ of our own on a private D-Bus: the real BlueZ backend of bleak finds adapters, devices and GATT tables in it.

`bus.py` runs the bus, `tree.py` holds the objects, `peripheral.py` says what a device is, `setting.py` what can be set
and told to disobey, `radio.py` and `gatt.py` answer the methods with what `reply.py` names, `service.py` is the whole,
with the faults a test can ask for. It is our idea of BlueZ: `tests/kernel/ble` asks bluetoothd itself the same as
`tests/drivers/test_ble_port.py` asks this one. Passive scanning (AdvertisementMonitor) is not in it, since the driver
does not use it.
"""
