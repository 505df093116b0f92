"""The simulated rig: buses, devices and time in this process. Seconds of a test pass at once, the same each time."""
