"""The device's side of each bus, on whatever rig: what the fixtures call `peer`. Knows no rig.

- `uart.py`, `can.py`, `ble.py`, `spi.py`: what a test can say to it; `scripted.py` is what they share
- scripted: `script.py` is the state machine, `*_script.py` what a request and a reply are on a bus. Pure
- a recorded trace: `playing.py`, `ble_playing.py`, around `hil.trace.player`
- from a profile of the gateway: `from_profile.py` and what it imports are pure, `attach.py` puts it on a bus
- `surroundings.py`: what a rig gives a peer
"""
