"""The real Linux drivers, proven: Debian's kernel in QEMU over this machine's own files, pytest inside.

    make rig            or            python -m hil.kernel

Two x86 guests, one after the other. In `buses` the tests of CAN, SPI and BLE meet vcan, slcan, spidev and BlueZ; in
`usb` those of the serial driver meet ftdi_sio, udevd and our rules, with a Cortex-M firmware in a QEMU of its own at
the far end of the cable. No image is built: a guest's root is this machine's, read-only, with a tmpfs above it.
"""
