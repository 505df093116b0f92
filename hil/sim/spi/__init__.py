"""SPI devices as they answer on the wire, and a bus to put them on without hardware.

Models know bytes and nothing else, and need the standard library alone: the same ones stand behind `FakeSpidev`, behind
umockdev's ioctls (`umockdev.py`, run by Debian's own Python) and behind the kernel module hilspi (`hilspi.py`).
"""
