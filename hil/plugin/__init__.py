"""The pytest plugin `tidegate-hil`: the same tests on a simulated rig, in the kernel rig and on the bench.

pytest finds it by entry point. A run that uses none of its fixtures and options imports nothing but this package.

- `hooks.py` is what pytest calls; `options.py`, `fixtures.py` and `recorder.py` are what tests see
- `session.py`: which rig, round and seed a test runs with; `rounds.py`: `--hil-repeat`; `output.py`: JUnit and bus logs
"""
