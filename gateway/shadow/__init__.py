"""Layer 5: shadows and commands: what is desired, reported and effective of each setpoint, and how it came to be.

`reconcile`, `document`, `command`, `restart` and `keys` are pure, layer 2, and are imported by their own names: the
package itself loads nothing.
"""
