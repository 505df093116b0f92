"""Rigs: what a device under test is connected to. Three kinds behind one set of fixtures: simulated, kernel, bench.

- `base.py`: what every rig is, and its errors; `making.py` makes that of a rig file
- rig files: `model.py` says what is in one; `source.py`, `toml.py`, `file.py` and `check.py` read one; `identity.py`
  and `presence.py` find the boards, `doctor.py` tells what is missing
- for the simulated rig and the bench, which never import each other: `gateway.py`, `radio.py`, `ble_connection.py`,
  `agenda.py`, `disk.py`
"""
