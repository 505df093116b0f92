"""The kernel rig behind the fixtures: the bench rig inside a guest of `make rig`, on the drivers of a real kernel.

`buses.toml` is its rig file: vcan0, the SPI bus of the module hilspi, a serial line between two pseudo-terminals, and a
virtual Bluetooth adapter under bluetoothd.
Everything that it names is there while `tests/kernel/hil` runs, which makes it.
"""
