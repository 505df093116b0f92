"""A bench: real boards on real ports behind the fixtures of every rig. Time is the machine's.

Each port has a thread that reads, stamps and records (`wire.py`); all else happens in the test's own thread, when it
waits. A port that goes away is a `RigLostError` that names it, at once and until the target is brought up again.
"""
