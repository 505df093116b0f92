"""Faults that a test adds to its rig: what kinds there are, when one strikes, and which are in force."""
