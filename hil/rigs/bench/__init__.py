"""A bench: real boards on real ports behind the fixtures of every rig. Time is the machine's.

Each port has a thread that reads, stamps and records (`wire.py`); all else happens in the test's own thread, when it
waits. A port that goes away is a `RigLostError` that names it, at once and until the target is brought up again.

- `rig.py` makes `world.py` (time), `dut.py` (states) with `power.py` and `probe.py`, and the buses
- the fixtures: `uart.py`, `canbus.py`, `ble.py`, `spi.py`, each on its wire; `agent_*.py`: wires to another machine
- `uart_peer.py`, `can_peer.py`: a second adapter as the board; `leased.py`: the fence around a shared board
- `gateway.py`, `ports.py`, `bridge.py`: a whole gateway on the same ports
"""
