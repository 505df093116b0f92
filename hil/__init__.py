"""Hardware in the loop: the same tests on simulated devices, in a guest on the real kernel's drivers, and on a bench.

Which folder for what:

- `plugin`: the fixtures and options of pytest. `rigs`: what is behind the fixtures. `peers`: the device's side of a bus
- `faults`: what can go wrong, and when. `trace`: what passed: written, read, compared, converted, played
- `cli`: `tidegate hil`, `tidegate trace`, `tidegate record`. `report`: runs as a page, and against each other
- `lease`, `agent`: boards that are shared, and boards at another machine
- `sim`, `hosts`, `kernel`, `firmware`: devices and far ends for the tests of the gateway's own drivers

For tests to import: `timing.py`, `uart_bits.py`, `trace`, `lease`. The other modules here serve several folders.
"""
