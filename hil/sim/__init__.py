"""Simulated devices at the far end of a gateway's own drivers, made from the same profiles that decode them.

- `__main__.py` runs a site of them: `rig.py`, with `berth.py` (one on its wire) and `board.py` (one with real firmware)
- devices: `node.py`, `gnss.py`, `modbus.py`, `motor.py`, `ruuvi.py`, `thermostat.py`, and those of `spi` and `bluez`
- what they do with commands: `behaviour.py`, `obedience.py`, `orders.py`; wires: `pty.py`, `null_modem.py`, `slcan.py`,
  `vhci.py`
"""
