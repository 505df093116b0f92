"""Rigs: what a device under test is connected to. Three kinds behind one set of fixtures: simulated, kernel, bench."""
